// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_CORE_CODEC_H_
#define WEIR_CORE_CODEC_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "absl/strings/string_view.h"

// How floats travel: to bytes and back. Weights and optimizer state are f32 everywhere; a codec is
// for the wire.
//
//   f32   4 bytes an element: the floats, little-endian.
//   f16   2 bytes an element, IEEE binary16, rounded to nearest even. Finite values beyond 65504
//         become +-65504; NaN and infinity stay. Error: at most 2^-11 of |x| for |x| in
//         [2^-14, 65504], at most 2^-25 below.
//   bf16  2 bytes an element, the upper half of the float, rounded to nearest even. Finite values
//         beyond the largest become the largest; NaN and infinity stay. Error: at most 2^-8 of |x|
//         for |x| in [2^-126, 0x1.FEp127], at most 2^-134 below.
//   int8  blocks of 128 elements from the array's start, the last one shorter, each
//         [f32 scale][n int8]. With m = max|x| of the block: scale = m / 127,
//         q = x / scale rounded to nearest even, so in [-127, 127]; the element is q * scale.
//         Error: at most scale / 2, but for 2^-23 * m of rounding. Integers up to 127 times a power
//         of two come back exactly where their block holds +-127 times it.
//         A block whose scale would be 0 or subnormal is all zeros (m < 2^-119); the largest scale
//         is the largest that 127 times is finite. A block that holds NaN or infinity has the scale
//         NaN and comes back as NaN everywhere. So does a received block whose scale is negative
//         (-0 too), NaN, infinite or subnormal, which no encoder writes: whoever checks the decoded
//         values refuses it. A received q of -128 is decoded like any other.
//
// Encoded bytes may lie at any address; floats lie at multiples of 4. Same bits on every x86-64
// host, whatever its vector width. Thread-safe; no allocation.
namespace weir {

// Values are those of weir.v1.Codec. A number that came from outside and is none of these is kept,
// so that it can be refused by name: ask IsKnownCodec first.
enum class Codec : uint8_t { kUnspecified = 0, kF32 = 1, kF16 = 2, kBf16 = 3, kInt8 = 4 };

inline constexpr size_t kInt8BlockElements = 128;

// One of the four.
constexpr bool IsKnownCodec(Codec codec) { return codec >= Codec::kF32 && codec <= Codec::kInt8; }
// What a frame means: unspecified is f32.
constexpr Codec Specified(Codec codec) {
  return codec == Codec::kUnspecified ? Codec::kF32 : codec;
}

const char* CodecName(Codec codec);  // "f32", "f16", "bf16", "int8"; "codec of unknown number"
std::optional<Codec> ParseCodec(absl::string_view name);
// "F32 (1), F16 (2), BF16 (3), INT8 (4)", for sentences about others.
std::string KnownCodecs();

// The bytes of `count` elements. REQUIRES: IsKnownCodec(codec); count <= 2^40.
constexpr uint64_t EncodedBytes(Codec codec, uint64_t count) {
  if (codec == Codec::kF32) return count * sizeof(float);
  if (codec != Codec::kInt8) return count * sizeof(uint16_t);
  const uint64_t blocks = (count + kInt8BlockElements - 1) / kInt8BlockElements;
  return count + blocks * sizeof(float);
}

// Writes EncodedBytes(codec, count) bytes to `out`. Returns true if every element of x is finite.
// An int8 array may be encoded in pieces that start at multiples of kInt8BlockElements, any other
// in any pieces: the bytes are the same. REQUIRES: IsKnownCodec(codec).
bool Encode(Codec codec, const float* x, size_t count, char* out);

// As Encode(kInt8, ...) of x = gradient + residual; the residual becomes what this lost: x minus
// what a receiver decodes, or 0 throughout a block whose x holds NaN or infinity. Returns true if
// every x is finite.
bool EncodeInt8WithFeedback(const float* gradient, float* residual, size_t count, char* out);

// Reads EncodedBytes(codec, count) bytes of `in`, each once: memory that somebody else may be
// writing is safe to give. REQUIRES: IsKnownCodec(codec).
void Decode(Codec codec, const char* in, size_t count, float* out);

// Elements of one int8 block whose scale, read from it, has these bits; they are checked here.
void DecodeInt8Elements(uint32_t scale_bits, const char* in, size_t count, float* out);

}  // namespace weir

#endif  // WEIR_CORE_CODEC_H_
