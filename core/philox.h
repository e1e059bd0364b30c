// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_CORE_PHILOX_H_
#define WEIR_CORE_PHILOX_H_

#include <array>
#include <cstdint>

namespace weir {

// Philox4x32-10: a counter-based random number generator. The 128 random bits that belong to a
// counter are a function of counter and key alone, so any piece of a sequence can be computed
// anywhere, in any order. Source: J. Salmon et al., "Parallel Random Numbers: As Easy as 1, 2, 3",
// SC 2011; the constants are those of Random123.
inline std::array<uint32_t, 4> Philox4x32(std::array<uint32_t, 4> counter,
                                          std::array<uint32_t, 2> key) {
  for (int round = 0; round < 10; ++round) {
    const uint64_t p0 = uint64_t{0xD2511F53u} * counter[0];
    const uint64_t p1 = uint64_t{0xCD9E8D57u} * counter[2];
    counter = {static_cast<uint32_t>(p1 >> 32) ^ counter[1] ^ key[0], static_cast<uint32_t>(p1),
               static_cast<uint32_t>(p0 >> 32) ^ counter[3] ^ key[1], static_cast<uint32_t>(p0)};
    key[0] += 0x9E3779B9u;
    key[1] += 0xBB67AE85u;
  }
  return counter;
}

}  // namespace weir

#endif  // WEIR_CORE_PHILOX_H_
