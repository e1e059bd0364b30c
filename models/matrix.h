// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_MODELS_MATRIX_H_
#define WEIR_MODELS_MATRIX_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>

namespace weir {

// A dense row-major matrix in memory of the caller: [rows, columns]. Owns nothing.
struct ConstMatrix {
  const float* data = nullptr;
  int64_t rows = 0;
  int64_t columns = 0;

  const float* Row(int64_t row) const { return data + row * columns; }
};

// The same, to be written.
struct Matrix {
  float* data = nullptr;
  int64_t rows = 0;
  int64_t columns = 0;

  float* Row(int64_t row) const { return data + row * columns; }
  operator ConstMatrix() const { return {data, rows, columns}; }  // NOLINT: implicit by design
};

// The alignment that makes the bits of a product independent of where its matrices lie.
constexpr size_t kMatrixAlignment = 64;

// Memory of floats, aligned to kMatrixAlignment, that only ever grows: in the steady state it
// allocates nothing.
class AlignedFloats {
 public:
  // Memory of at least `count` floats. Growing loses the content and ends earlier pointers.
  float* Grow(size_t count);

 private:
  struct Free {
    void operator()(float* data) const {
      ::operator delete(data, std::align_val_t(kMatrixAlignment));
    }
  };
  std::unique_ptr<float, Free> data_;
  size_t capacity_ = 0;
};

// The three products of a dense layer, by Eigen. `c` is overwritten and must not overlap `a` or
// `b`; shapes must fit.
//
// Allocation free: they go tile by tile, and the scratch memory of a tile fits Eigen's limit for
// the stack (128 KiB).
//
// Same bits on any host of the baseline (x86-64-v3), given that the matrices are aligned to
// kMatrixAlignment and that the program has called FixEigenArithmetic() once: Eigen otherwise picks
// its blocks by the size of the caches it finds.
void Multiply(ConstMatrix a, ConstMatrix b, Matrix c);                 // c = a b
void MultiplyLeftTransposed(ConstMatrix a, ConstMatrix b, Matrix c);   // c = aᵀ b
void MultiplyRightTransposed(ConstMatrix a, ConstMatrix b, Matrix c);  // c = a bᵀ

// Fixes Eigen's threads (1) and its idea of the caches for the whole process. Every main that
// trains calls it first, before any other thread starts.
void FixEigenArithmetic();

}  // namespace weir

#endif  // WEIR_MODELS_MATRIX_H_
