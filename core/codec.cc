// SPDX-License-Identifier: Apache-2.0
#include "core/codec.h"

#include <cstring>

#include "absl/strings/str_cat.h"
#include "core/codec_kernels.h"
#include "core/tensor_sum.h"

namespace weir {
namespace {

constexpr Codec kAll[] = {Codec::kF32, Codec::kF16, Codec::kBf16, Codec::kInt8};

}  // namespace

const char* CodecName(Codec codec) {
  switch (codec) {
    case Codec::kUnspecified:
      break;
    case Codec::kF32:
      return "f32";
    case Codec::kF16:
      return "f16";
    case Codec::kBf16:
      return "bf16";
    case Codec::kInt8:
      return "int8";
  }
  return "codec of unknown number";
}

std::optional<Codec> ParseCodec(absl::string_view name) {
  for (const Codec codec : kAll) {
    if (name == CodecName(codec)) return codec;
  }
  return std::nullopt;
}

std::string KnownCodecs() {
  return absl::StrCat("F32 (", static_cast<int>(Codec::kF32), "), F16 (",
                      static_cast<int>(Codec::kF16), "), BF16 (", static_cast<int>(Codec::kBf16),
                      "), INT8 (", static_cast<int>(Codec::kInt8), ")");
}

bool Encode(Codec codec, const float* x, size_t count, char* out) {
  switch (codec) {
    case Codec::kF16:
      return EncodeF16(x, count, out);
    case Codec::kBf16:
      return EncodeBf16(x, count, out);
    case Codec::kInt8:
      return EncodeInt8(x, nullptr, count, out);
    case Codec::kF32:
    case Codec::kUnspecified:
      break;
  }
  if (count > 0) std::memcpy(out, x, count * sizeof(float));
  return AllFinite(x, count);
}

bool EncodeInt8WithFeedback(const float* gradient, float* residual, size_t count, char* out) {
  return EncodeInt8(gradient, residual, count, out);
}

void Decode(Codec codec, const char* in, size_t count, float* out) {
  switch (codec) {
    case Codec::kF16:
      return DecodeF16(in, count, out);
    case Codec::kBf16:
      return DecodeBf16(in, count, out);
    case Codec::kInt8:
      return DecodeInt8(in, count, out);
    case Codec::kF32:
    case Codec::kUnspecified:
      break;
  }
  if (count > 0) std::memcpy(out, in, count * sizeof(float));
}

}  // namespace weir
