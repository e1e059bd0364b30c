// SPDX-License-Identifier: Apache-2.0
#include "core/portable_math.h"

#include <cstring>

namespace weir {
namespace {

// log 2 in two parts; the first has 21 zero bits at its end, so that k * kLog2High is exact for
// every exponent k.
constexpr double kLog2High = 0x1.62e42fee00000p-1;
constexpr double kLog2Low = 0x1.a39ef35793c76p-33;
constexpr double kSqrtHalf = 0x1.6a09e667f3bcdp-1;
constexpr double kTwoPi = 0x1.921fb54442d18p+2;

// c[0] + z c[1] + z^2 c[2] + ...
template <int kTerms>
double Polynomial(double z, const double (&c)[kTerms]) {
  double sum = c[kTerms - 1];
  for (int i = kTerms - 2; i >= 0; --i) sum = sum * z + c[i];
  return sum;
}

}  // namespace

double PortableLog(double x) {
  uint64_t bits;
  std::memcpy(&bits, &x, sizeof bits);
  int exponent = static_cast<int>(bits >> 52) - 1022;
  bits = (bits & 0x000FFFFFFFFFFFFFu) | 0x3FE0000000000000u;
  double m;
  std::memcpy(&m, &bits, sizeof m);  // in [1/2, 1)
  if (m < kSqrtHalf) {
    m *= 2;
    --exponent;
  }
  // 2 atanh(s) = 2 s (1 + s^2/3 + s^4/5 + ...), |s| < 0.1716: the first term left out is below
  // 2^-60 of the sum.
  static constexpr double kTerms[] = {1.0 / 3,  1.0 / 5,  1.0 / 7,  1.0 / 9,  1.0 / 11,
                                      1.0 / 13, 1.0 / 15, 1.0 / 17, 1.0 / 19, 1.0 / 21};
  const double f = m - 1;  // exact
  const double s = f / (2 + f);
  const double z = s * s;
  // 2 s = f - f s, so that the largest term is exact.
  const double rest = 2 * s * z * Polynomial(z, kTerms);
  return exponent * kLog2High + (f - (f * s - (rest + exponent * kLog2Low)));
}

CosSin PortableCosSin(double turns) {
  // 1 / (2n)! and 1 / (2n + 1)!, alternating; |x| <= pi / 4: the first term left out is below
  // 2^-58.
  static constexpr double kCos[] = {1.0,
                                    -1.0 / 2,
                                    1.0 / 24,
                                    -1.0 / 720,
                                    1.0 / 40320,
                                    -1.0 / 3628800,
                                    1.0 / 479001600,
                                    -1.0 / 87178291200,
                                    1.0 / 20922789888000};
  static constexpr double kSin[] = {1.0,
                                    -1.0 / 6,
                                    1.0 / 120,
                                    -1.0 / 5040,
                                    1.0 / 362880,
                                    -1.0 / 39916800,
                                    1.0 / 6227020800,
                                    -1.0 / 1307674368000,
                                    1.0 / 355687428096000};
  const double shifted = turns * 4 + (turns < 0 ? -0.5 : 0.5);
  const int64_t quarters = static_cast<int64_t>(shifted);  // rounds half away from zero
  const double x = (turns - static_cast<double>(quarters) * 0.25) * kTwoPi;
  const double z = x * x;
  const double c = Polynomial(z, kCos);
  const double s = x * Polynomial(z, kSin);
  switch (quarters & 3) {
    case 0:
      return {c, s};
    case 1:
      return {-s, c};
    case 2:
      return {-c, -s};
    default:
      return {s, -c};
  }
}

double PortablePower(double base, uint64_t exponent) {
  double result = 1;
  for (; exponent > 0; exponent >>= 1) {
    if (exponent & 1) result *= base;
    base *= base;
  }
  return result;
}

}  // namespace weir
