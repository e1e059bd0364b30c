// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_CORE_TENSOR_SUM_H_
#define WEIR_CORE_TENSOR_SUM_H_

#include <cstddef>

// Sums, copies and checks of float arrays: what the fixed tree over gradient parts is made of.
//
// Every input is `count` little-endian floats at any byte alignment, so a payload can be read where
// it was received. An output may equal an input; apart from that it overlaps nothing. Same bits on
// every x86-64 host and for any split of a range into calls (SumOfSquares: for the whole range
// only). Thread-safe; no allocation.
namespace weir {

// What Sum saw. `nonfinite_b`: NaN or infinity in b, the operand that just arrived.
// `nonfinite_out`: in the sum, so in either operand or by overflow. If either is set, `out` is to
// be dropped.
struct SumFlags {
  bool nonfinite_b = false;
  bool nonfinite_out = false;
};

// out = a + b, a being the left child of the tree.
SumFlags Sum(const void* a, const void* b, float* out, size_t count);

// out = x. Returns true if every element is finite.
bool CopyChecked(const void* x, float* out, size_t count);

// out = x * scale. Returns true if every element of out is finite.
bool Scale(const void* x, float scale, float* out, size_t count);

// Returns true if every element is finite.
bool AllFinite(const void* x, size_t count);

// The sum of x[i]^2 in double, in a fixed order: 16 running sums, element i into sum i mod 16,
// added up pairwise (0+8, 1+9,
// ...; then 0+4, ...). NaN or infinity in x gives NaN or infinity.
double SumOfSquares(const void* x, size_t count);

}  // namespace weir

#endif  // WEIR_CORE_TENSOR_SUM_H_
