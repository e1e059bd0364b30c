// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_CORE_PORTABLE_MATH_H_
#define WEIR_CORE_PORTABLE_MATH_H_

#include <cstdint>

// Functions whose standard versions differ in their last bits between C libraries, and within one
// between CPUs. These are made of IEEE 754 additions, multiplications and divisions in double only,
// so they give the same bits on every host and with every compiler (with -ffp-contract=off).
// Thread-safe.
namespace weir {

// The natural logarithm, for finite x > 0 that is not subnormal; error below 2^-51 relative (near 1
// too). log x = k log 2 + 2 atanh((m - 1) / (m + 1)) with x = m * 2^k and m in [sqrt(1/2),
// sqrt(2)]; atanh by its Taylor series.
double PortableLog(double x);

// The cosine and the sine of 2 * pi * turns, for |turns| < 2^50; error below 2^-51 absolute.
// Reduced to an eighth of a turn, exactly, then by their Taylor series. Exact at multiples of a
// quarter turn.
struct CosSin {
  double cos;
  double sin;
};
CosSin PortableCosSin(double turns);

// base^exponent by repeated squaring; 1 for exponent 0.
double PortablePower(double base, uint64_t exponent);

}  // namespace weir

#endif  // WEIR_CORE_PORTABLE_MATH_H_
