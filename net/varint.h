// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_NET_VARINT_H_
#define WEIR_NET_VARINT_H_

#include <cstddef>
#include <cstdint>

#include "absl/numeric/bits.h"

namespace weir {

// Protobuf's variable-length integers, as the writers of frames need them: the shortest form.

inline size_t VarintSize(uint64_t value) {
  return (static_cast<size_t>(absl::bit_width(value | 1)) + 6) / 7;
}

// Writes VarintSize(value) bytes to `out`; returns what lies behind them.
inline char* PutVarint(uint64_t value, char* out) {
  for (; value >= 0x80; value >>= 7) *out++ = static_cast<char>(value | 0x80);
  *out++ = static_cast<char>(value);
  return out;
}

}  // namespace weir

#endif  // WEIR_NET_VARINT_H_
