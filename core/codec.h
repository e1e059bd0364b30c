// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_CORE_CODEC_H_
#define WEIR_CORE_CODEC_H_

#include <cstdint>

namespace weir {

// How the elements of a payload are stored. Values are those of weir.v1.Codec, whose comments say
// what each is; kUnspecified in a frame means F32. A value that came from outside may be a number
// beyond the enumerators.
enum class Codec : uint8_t {
  kUnspecified = 0,
  kF32 = 1,
  kF16 = 2,
  kBf16 = 3,
  kInt8 = 4,
};

}  // namespace weir

#endif  // WEIR_CORE_CODEC_H_
