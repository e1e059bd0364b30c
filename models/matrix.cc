// SPDX-License-Identifier: Apache-2.0
#include "models/matrix.h"

#include <Eigen/Core>
#include <algorithm>

namespace weir {
namespace {

using RowMajor = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

// Eigen packs tiles of rows × depth and depth × columns: 120 × 256 floats are 120 KiB, below its
// limit for the stack. 120 is a multiple of the rows and of the columns of Eigen's inner kernel;
// 256 is below the depth at which Eigen would split the sum itself on a cache of 32 KiB.
constexpr int64_t kTileSide = 120;
constexpr int64_t kTileDepth = 256;
static_assert(kTileSide * kTileDepth * sizeof(float) <= EIGEN_STACK_ALLOCATION_LIMIT);

Eigen::Map<const RowMajor> View(ConstMatrix m) { return {m.data, m.rows, m.columns}; }
Eigen::Map<RowMajor> View(Matrix m) { return {m.data, m.rows, m.columns}; }

// c = a b, tile by tile, in an order that depends on the shapes alone.
template <typename A, typename B>
void MultiplyTiled(const A& a, const B& b, Eigen::Map<RowMajor> c) {
  if (a.cols() == 0) c.setZero();
  for (int64_t row = 0; row < c.rows(); row += kTileSide) {
    const int64_t rows = std::min(kTileSide, c.rows() - row);
    for (int64_t column = 0; column < c.cols(); column += kTileSide) {
      const int64_t columns = std::min(kTileSide, c.cols() - column);
      auto tile = c.block(row, column, rows, columns);
      for (int64_t at = 0; at < a.cols(); at += kTileDepth) {
        const int64_t depth = std::min(kTileDepth, a.cols() - at);
        const auto left = a.block(row, at, rows, depth);
        const auto right = b.block(at, column, depth, columns);
        if (at == 0) {
          tile.noalias() = left * right;
        } else {
          tile.noalias() += left * right;
        }
      }
    }
  }
}

}  // namespace

float* AlignedFloats::Grow(size_t count) {
  if (count > capacity_) {
    data_.reset();
    data_.reset(static_cast<float*>(
        ::operator new(count * sizeof(float), std::align_val_t(kMatrixAlignment))));
    capacity_ = count;
  }
  return data_.get();
}

void Multiply(ConstMatrix a, ConstMatrix b, Matrix c) { MultiplyTiled(View(a), View(b), View(c)); }

void MultiplyLeftTransposed(ConstMatrix a, ConstMatrix b, Matrix c) {
  MultiplyTiled(View(a).transpose(), View(b), View(c));
}

void MultiplyRightTransposed(ConstMatrix a, ConstMatrix b, Matrix c) {
  MultiplyTiled(View(a), View(b).transpose(), View(c));
}

void FixEigenArithmetic() {
  Eigen::setNbThreads(1);
  Eigen::setCpuCacheSizes(32 << 10, 512 << 10, 4 << 20);
}

}  // namespace weir
