// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_MODELS_ELEMENTARY_H_
#define WEIR_MODELS_ELEMENTARY_H_

#include <cstdint>
#include <cstring>
#include <limits>

namespace weir {

// exp, log, tanh and the logistic function of floats in plain arithmetic: additions,
// multiplications, divisions and moves of bits, no call of libm, no branch. So a compiler may
// vectorise them, and (built with -ffp-contract=off) they give the same bits on every host. The C
// library's own choose their code, and thereby their bits, by the CPU they find.
//
// Polynomials: Cephes (Moshier 1992), expf.c, logf.c, tanhf.c. The largest error seen over the
// tests' sweep is stated at each function, in units of the last place (ulp) of the exact result.

inline uint32_t FloatBits(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof(bits));
  return bits;
}

inline float FloatOfBits(uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, sizeof(value));
  return value;
}

// 2^n for -126 <= n <= 127.
inline float PowerOfTwo(int32_t n) { return FloatOfBits((static_cast<uint32_t>(n) + 127u) << 23); }

// e^x within 2 ulp; overflows to infinity, underflows through the subnormals to 0; NaN gives NaN.
inline float Exp(float x) {
  x = x > 89.0f ? 89.0f : x;
  x = x < -104.0f ? -104.0f : x;
  // n = x / ln 2, rounded: adding 1.5 * 2^23 leaves no bits for the fraction.
  constexpr float kRound = 12582912.0f;
  const float rounded = x * 1.44269504088896341f + kRound;
  const int32_t n = static_cast<int32_t>(FloatBits(rounded) - FloatBits(kRound));
  const float whole = rounded - kRound;
  const float r = (x - whole * 0.693359375f) + whole * 2.12194440e-4f;
  float p = 1.9875691500e-4f;
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  const float y = (p * (r * r) + r) + 1.0f;
  // In two steps, as 2^n alone may lie outside the floats where the result does not.
  const int32_t half = n >> 1;
  return (y * PowerOfTwo(half)) * PowerOfTwo(n - half);
}

// ln x within 2 ulp for positive finite x; ln 0 is -infinity; a negative x or NaN gives NaN;
// infinity gives infinity.
inline float Log(float x) {
  constexpr float kSmallest = std::numeric_limits<float>::min();
  const bool subnormal = x < kSmallest;
  const float scaled = subnormal ? x * 16777216.0f : x;
  // scaled = m * 2^e with m in [sqrt(1/2), sqrt(2)).
  const uint32_t bits = FloatBits(scaled) + (0x3f800000u - 0x3f3504f3u);
  const float e =
      static_cast<float>(static_cast<int32_t>(bits >> 23) - 127) - (subnormal ? 24.0f : 0.0f);
  const float m = FloatOfBits((bits & 0x007fffffu) + 0x3f3504f3u) - 1.0f;
  const float z = m * m;
  float p = 7.0376836292e-2f;
  p = p * m - 1.1514610310e-1f;
  p = p * m + 1.1676998740e-1f;
  p = p * m - 1.2420140846e-1f;
  p = p * m + 1.4249322787e-1f;
  p = p * m - 1.6668057665e-1f;
  p = p * m + 2.0000714765e-1f;
  p = p * m - 2.4999993993e-1f;
  p = p * m + 3.3333331174e-1f;
  float y = p * m * z;
  y = y - e * 2.12194440e-4f;
  y = y - 0.5f * z;
  y = (m + y) + e * 0.693359375f;
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  y = x == 0.0f ? -kInfinity : y;
  y = x == kInfinity ? kInfinity : y;
  return x >= 0.0f ? y : std::numeric_limits<float>::quiet_NaN();
}

// tanh x within 2 ulp; NaN gives NaN.
inline float Tanh(float x) {
  const float size = x < 0.0f ? -x : x;
  const float z = x * x;
  float p = -5.70498872745e-3f;
  p = p * z + 2.06390887954e-2f;
  p = p * z - 5.37397155531e-2f;
  p = p * z + 1.33314422036e-1f;
  p = p * z - 3.33332819422e-1f;
  const float small = p * z * x + x;
  const float large = 1.0f - 2.0f / (Exp(size + size) + 1.0f);
  return size < 0.625f ? small : (x < 0.0f ? -large : large);
}

// 1 / (1 + e^-x) within 3 ulp, without overflow on the way; NaN gives NaN.
inline float Sigmoid(float x) {
  const float e = Exp(x < 0.0f ? x : -x);
  return (x < 0.0f ? e : 1.0f) / (1.0f + e);
}

}  // namespace weir

#endif  // WEIR_MODELS_ELEMENTARY_H_
