// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_CORE_CODEC_KERNELS_H_
#define WEIR_CORE_CODEC_KERNELS_H_

#include <cstddef>

// The vector code behind core/codec.h, one file a family. For codec.cc and kernels only.
namespace weir {

// So far ahead of what is encoded the memory is asked for: the processor's own prefetching, which
// stops at each page, leaves a core waiting. Beyond the end nothing happens.
inline constexpr size_t kAheadElements = 512;

// core/codec_half.cc: both sixteen-bit formats.
bool EncodeF16(const float* x, size_t count, char* out);
void DecodeF16(const char* in, size_t count, float* out);
bool EncodeBf16(const float* x, size_t count, char* out);
void DecodeBf16(const char* in, size_t count, float* out);

// core/codec_int8.cc. With `residual` null there is no feedback.
bool EncodeInt8(const float* x, float* residual, size_t count, char* out);
void DecodeInt8(const char* in, size_t count, float* out);

}  // namespace weir

#endif  // WEIR_CORE_CODEC_KERNELS_H_
