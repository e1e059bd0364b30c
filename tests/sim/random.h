// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_TESTS_SIM_RANDOM_H_
#define WEIR_TESTS_SIM_RANDOM_H_

#include <cstdint>

#include "absl/time/time.h"

namespace weir::sim {

// One step of splitmix64 (S. Vigna): a bijection that scatters its argument over 64 bits.
constexpr uint64_t Mix(uint64_t x) {
  x += 0x9e3779b97f4a7c15;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
  x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
  return x ^ (x >> 31);
}

template <typename... More>
constexpr uint64_t Mix(uint64_t x, More... more) {
  return Mix(x ^ Mix(more...));
}

// The only source of chance of a simulation: splitmix64. The same seed gives the same numbers in
// every build and process.
class Random {
 public:
  explicit Random(uint64_t seed) : state_(Mix(seed)) {}

  uint64_t Next() { return Mix(state_++); }
  // Below `bound`. REQUIRES: bound > 0.
  uint64_t Below(uint64_t bound) { return Next() % bound; }
  // Of [first, last].
  uint64_t Between(uint64_t first, uint64_t last) { return first + Below(last - first + 1); }
  absl::Duration Between(absl::Duration first, absl::Duration last) {
    const int64_t from = absl::ToInt64Microseconds(first);
    const int64_t to = absl::ToInt64Microseconds(last);
    return absl::Microseconds(from +
                              static_cast<int64_t>(Below(static_cast<uint64_t>(to - from) + 1)));
  }
  bool Chance(uint32_t percent) { return Below(100) < percent; }

 private:
  uint64_t state_;
};

}  // namespace weir::sim

#endif  // WEIR_TESTS_SIM_RANDOM_H_
