// SPDX-License-Identifier: Apache-2.0
#include "models/matrix.h"

#include <Eigen/Core>
#include <cmath>
#include <vector>

#include "gtest/gtest.h"
#include "models/elementary.h"
#include "models/random.h"

namespace weir {
namespace {

// A matrix of small random values in memory of its own.
struct Filled {
  Filled(int64_t rows, int64_t columns, uint64_t seed) {
    SeededRandom random(seed, 0);
    matrix = {memory.Grow(static_cast<size_t>(rows * columns)), rows, columns};
    for (int64_t i = 0; i < rows * columns; ++i) matrix.data[i] = random.Uniform() - 0.5f;
  }
  AlignedFloats memory;
  Matrix matrix;
};

double At(ConstMatrix m, bool transposed, int64_t row, int64_t column) {
  return transposed ? m.Row(column)[row] : m.Row(row)[column];
}

// Checks c = a b, where a or b is the transpose of what is given, against sums in double precision.
void ExpectProduct(ConstMatrix a, bool a_transposed, ConstMatrix b, bool b_transposed,
                   ConstMatrix c) {
  const int64_t depth = a_transposed ? a.rows : a.columns;
  for (int64_t row = 0; row < c.rows; ++row) {
    for (int64_t column = 0; column < c.columns; ++column) {
      double sum = 0;
      for (int64_t i = 0; i < depth; ++i) {
        sum += At(a, a_transposed, row, i) * At(b, b_transposed, i, column);
      }
      ASSERT_NEAR(c.Row(row)[column], sum, 1e-4) << row << ", " << column;
    }
  }
}

struct Sizes {
  int64_t rows, depth, columns;
};

class ProductTest : public testing::TestWithParam<Sizes> {};

TEST_P(ProductTest, EachProductEqualsTheSumsInDoublePrecision) {
  const auto [rows, depth, columns] = GetParam();
  Filled a(rows, depth, 1), a_transposed(depth, rows, 2);
  Filled b(depth, columns, 3), b_transposed(columns, depth, 4);
  Filled c(rows, columns, 5);
  Multiply(a.matrix, b.matrix, c.matrix);
  ExpectProduct(a.matrix, false, b.matrix, false, c.matrix);
  MultiplyLeftTransposed(a_transposed.matrix, b.matrix, c.matrix);
  ExpectProduct(a_transposed.matrix, true, b.matrix, false, c.matrix);
  MultiplyRightTransposed(a.matrix, b_transposed.matrix, c.matrix);
  ExpectProduct(a.matrix, false, b_transposed.matrix, true, c.matrix);
}

INSTANTIATE_TEST_SUITE_P(Sizes, ProductTest,
                         testing::Values(Sizes{1, 1, 1}, Sizes{3, 4, 3}, Sizes{1, 64, 10},
                                         Sizes{17, 1, 33}, Sizes{5, 0, 4}, Sizes{0, 4, 4},
                                         Sizes{43, 64, 256}, Sizes{121, 257, 10},
                                         Sizes{130, 520, 125}, Sizes{240, 300, 1}));

TEST(MatrixTest, ProductsOfNothingAreZero) {
  Filled a(2, 0, 1), b(0, 3, 2), c(2, 3, 3);
  Multiply(a.matrix, b.matrix, c.matrix);
  for (int i = 0; i < 6; ++i) EXPECT_EQ(c.matrix.data[i], 0.0f);
}

// A hash of the bits of products of many shapes.
uint64_t HashOfProducts() {
  uint64_t hash = 0;
  for (const Sizes& size : {Sizes{43, 64, 256}, Sizes{7, 3, 10}, Sizes{130, 300, 125},
                            Sizes{64, 784, 125}, Sizes{1, 256, 10}}) {
    Filled a(size.rows, size.depth, 1), b(size.depth, size.columns, 2);
    Filled c(size.rows, size.columns, 3);
    Multiply(a.matrix, b.matrix, c.matrix);
    for (int64_t i = 0; i < size.rows * size.columns; ++i) {
      hash = (hash ^ FloatBits(c.matrix.data[i])) * 0x100000001b3u;
    }
  }
  return hash;
}

// The bits that a build must give on every host and with every compiler; recorded from g++ 12 at
// -O2.
TEST(MatrixTest, BitsAreThoseOfEveryOtherBuildWhateverTheCachesOfTheHost) {
  constexpr uint64_t kHash = 7030014357382948500u;
  FixEigenArithmetic();
  EXPECT_EQ(HashOfProducts(), kHash);
  Eigen::setCpuCacheSizes(16 << 10, 128 << 10, 1 << 20);
  EXPECT_NE(HashOfProducts(), kHash) << "this test no longer shows that the caches matter";
  FixEigenArithmetic();
  EXPECT_EQ(HashOfProducts(), kHash);
}

TEST(AlignedFloatsTest, MemoryIsAlignedAndStaysWhileItIsLargeEnough) {
  AlignedFloats memory;
  float* first = memory.Grow(100);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(first) % kMatrixAlignment, 0u);
  EXPECT_EQ(memory.Grow(50), first);
  EXPECT_EQ(memory.Grow(100), first);
  float* second = memory.Grow(100'000);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(second) % kMatrixAlignment, 0u);
}

}  // namespace
}  // namespace weir
