// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_TESTS_CORE_CODEC_REFERENCE_H_
#define WEIR_TESTS_CORE_CODEC_REFERENCE_H_

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "core/codec.h"

namespace weir {

// What core/codec.h says, an element at a time and in double where that is exact: what the kernels
// are compared with.

inline uint32_t BitsOf(float x) {
  uint32_t bits;
  std::memcpy(&bits, &x, sizeof bits);
  return bits;
}

inline float FloatOf(uint32_t bits) {
  float x;
  std::memcpy(&x, &bits, sizeof x);
  return x;
}

// Rounds |x| to `digits` binary digits, or to a multiple of 2^least where that is coarser.
inline double Rounded(double x, int digits, int least) {
  if (x == 0) return 0;
  const int unit = std::max(std::ilogb(x) - digits + 1, least);
  return std::ldexp(std::nearbyint(std::ldexp(x, -unit)), unit);
}

inline uint16_t ReferenceF16(float x) {
  const uint16_t sign = static_cast<uint16_t>(BitsOf(x) >> 31 << 15);
  if (std::isnan(x)) return sign | 0x7E00 | (BitsOf(x) >> 13 & 0x3FF);
  if (std::isinf(x)) return sign | 0x7C00;
  const double value = std::min(Rounded(std::fabs(x), 11, -24), 65504.0);
  if (value < 0x1p-14) return sign | static_cast<uint16_t>(value * 0x1p24);
  const int exponent = std::ilogb(value);
  const double fraction = std::ldexp(value, -exponent) - 1;
  return sign | static_cast<uint16_t>(exponent + 15) << 10 | static_cast<uint16_t>(fraction * 1024);
}

inline float ReferenceFromF16(uint16_t h) {
  const uint32_t sign = static_cast<uint32_t>(h & 0x8000) << 16;
  const uint32_t exponent = h >> 10 & 31;
  const uint32_t fraction = h & 0x3FF;
  if (exponent == 31) {
    return FloatOf(sign | 0x7F800000 | fraction << 13 | (fraction != 0 ? 0x400000 : 0));
  }
  const double value =
      exponent == 0 ? fraction * 0x1p-24 : std::ldexp(1 + fraction / 1024.0, exponent - 15);
  return FloatOf(sign | BitsOf(static_cast<float>(value)));
}

inline uint16_t ReferenceBf16(float x) {
  const uint16_t sign = static_cast<uint16_t>(BitsOf(x) >> 31 << 15);
  if (std::isnan(x)) return static_cast<uint16_t>(BitsOf(x) >> 16) | 0x40;
  if (std::isinf(x)) return sign | 0x7F80;
  const double value = std::min(Rounded(std::fabs(x), 8, -133), 0x1.FEp127);
  return sign | static_cast<uint16_t>(BitsOf(static_cast<float>(value)) >> 16);
}

inline float ReferenceFromBf16(uint16_t h) { return FloatOf(static_cast<uint32_t>(h) << 16); }

// The scale of a block.
inline float ReferenceScale(const float* x, size_t count) {
  float largest = 0;
  for (size_t i = 0; i < count; ++i) {
    if (!std::isfinite(x[i])) return std::numeric_limits<float>::quiet_NaN();
    largest = std::max(largest, std::fabs(x[i]));
  }
  float scale = largest / 127;
  if (scale < std::numeric_limits<float>::min()) return 0;
  while (!std::isfinite(scale * 127)) scale = std::nextafter(scale, 0.0f);
  return scale;
}

inline float ReferenceLevel(float x, float scale) {
  return scale > 0 ? std::nearbyint(x / scale) : 0;
}

inline std::string ReferenceEncode(Codec codec, const std::vector<float>& x) {
  std::string out;
  if (codec == Codec::kInt8) {
    for (size_t i = 0; i < x.size(); i += kInt8BlockElements) {
      const size_t count = std::min(kInt8BlockElements, x.size() - i);
      const float scale = ReferenceScale(x.data() + i, count);
      out.append(reinterpret_cast<const char*>(&scale), sizeof scale);
      for (size_t j = i; j < i + count; ++j) {
        out.push_back(static_cast<char>(static_cast<int8_t>(ReferenceLevel(x[j], scale))));
      }
    }
    return out;
  }
  for (const float value : x) {
    if (codec == Codec::kF32) {
      out.append(reinterpret_cast<const char*>(&value), sizeof value);
      continue;
    }
    const uint16_t half = codec == Codec::kF16 ? ReferenceF16(value) : ReferenceBf16(value);
    out.append(reinterpret_cast<const char*>(&half), sizeof half);
  }
  return out;
}

inline std::vector<float> ReferenceDecode(Codec codec, const std::string& in, size_t count) {
  std::vector<float> out;
  const char* at = in.data();
  const auto take = [&at](auto* value) {
    std::memcpy(value, at, sizeof *value);
    at += sizeof *value;
  };
  float scale = 0;
  for (size_t i = 0; i < count; ++i) {
    float value = 0;
    uint16_t half = 0;
    int8_t level = 0;
    switch (codec) {
      case Codec::kF16:
        take(&half);
        value = ReferenceFromF16(half);
        break;
      case Codec::kBf16:
        take(&half);
        value = ReferenceFromBf16(half);
        break;
      case Codec::kInt8:
        if (i % kInt8BlockElements == 0) {
          take(&scale);
          const bool is_right = BitsOf(scale) == 0 || (std::isnormal(scale) && scale > 0);
          if (!is_right) scale = std::numeric_limits<float>::quiet_NaN();
        }
        take(&level);
        value = static_cast<float>(level) * scale;
        break;
      case Codec::kF32:
      case Codec::kUnspecified:
        take(&value);
        break;
    }
    out.push_back(value);
  }
  return out;
}

}  // namespace weir

#endif  // WEIR_TESTS_CORE_CODEC_REFERENCE_H_
