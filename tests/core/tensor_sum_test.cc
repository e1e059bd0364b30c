// SPDX-License-Identifier: Apache-2.0
#include "core/tensor_sum.h"

#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "gtest/gtest.h"
#include "tests/core/random_floats.h"

namespace weir {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

// The floats again, at byte `offset` of a buffer of their own.
class Shifted {
 public:
  Shifted(const std::vector<float>& floats, size_t offset)
      : bytes_(floats.size() * sizeof(float) + offset + 1), offset_(offset) {
    if (floats.empty()) return;
    std::memcpy(bytes_.data() + offset_, floats.data(), floats.size() * sizeof(float));
  }
  const void* data() const { return bytes_.data() + offset_; }

 private:
  std::vector<char> bytes_;
  size_t offset_;
};

TEST(TensorSumTest, SumIsTheFloatSumAtEveryLengthAndAlignment) {
  TestRandom random(1);
  for (size_t count = 0; count <= 70; ++count) {
    const std::vector<float> a = random.Floats(count, -1, 1);
    const std::vector<float> b = random.Floats(count, -1e6, 1e6);
    for (size_t offset = 0; offset < 9; ++offset) {
      std::vector<float> out(count + 1, 7.0f);
      const SumFlags flags =
          Sum(Shifted(a, offset).data(), Shifted(b, 8 - offset).data(), out.data(), count);
      EXPECT_FALSE(flags.nonfinite_b || flags.nonfinite_out);
      for (size_t i = 0; i < count; ++i) ASSERT_EQ(out[i], a[i] + b[i]) << i << " of " << count;
      ASSERT_EQ(out[count], 7.0f) << "wrote beyond " << count;
    }
  }
}

TEST(TensorSumTest, SumMayBeWrittenOverEitherOperand) {
  TestRandom random(2);
  const std::vector<float> a = random.Floats(53, -1, 1);
  const std::vector<float> b = random.Floats(53, -1, 1);
  std::vector<float> expected(53);
  Sum(a.data(), b.data(), expected.data(), 53);
  std::vector<float> over_a = a;
  Sum(over_a.data(), b.data(), over_a.data(), 53);
  std::vector<float> over_b = b;
  Sum(a.data(), over_b.data(), over_b.data(), 53);
  EXPECT_EQ(over_a, expected);
  EXPECT_EQ(over_b, expected);
}

TEST(TensorSumTest, SumNamesTheOperandThatIsNotFinite) {
  for (size_t count : {1, 5, 16, 37}) {
    for (size_t i = 0; i < count; ++i) {
      for (float poison : {kInfinity, -kInfinity, kNan}) {
        const std::vector<float> good(count, 1.0f);
        std::vector<float> bad = good;
        bad[i] = poison;
        std::vector<float> out(count);
        SumFlags flags = Sum(good.data(), bad.data(), out.data(), count);
        EXPECT_TRUE(flags.nonfinite_b);
        EXPECT_TRUE(flags.nonfinite_out);
        flags = Sum(bad.data(), good.data(), out.data(), count);
        EXPECT_FALSE(flags.nonfinite_b);
        EXPECT_TRUE(flags.nonfinite_out);
      }
    }
  }
}

TEST(TensorSumTest, OverflowOfASumIsSeen) {
  const float big[] = {1, 3e38f};
  float out[2];
  const SumFlags flags = Sum(big, big, out, 2);
  EXPECT_FALSE(flags.nonfinite_b);
  EXPECT_TRUE(flags.nonfinite_out);
}

TEST(TensorSumTest, CopyAndScaleKeepEveryLengthAndAlignment) {
  TestRandom random(3);
  for (size_t count = 0; count <= 70; ++count) {
    const std::vector<float> x = random.Floats(count, -1, 1);
    for (size_t offset = 0; offset < 9; ++offset) {
      std::vector<float> copy(count + 1, 7.0f);
      std::vector<float> scaled(count + 1, 7.0f);
      EXPECT_TRUE(CopyChecked(Shifted(x, offset).data(), copy.data(), count));
      EXPECT_TRUE(Scale(Shifted(x, offset).data(), 0.3f, scaled.data(), count));
      for (size_t i = 0; i < count; ++i) {
        ASSERT_EQ(copy[i], x[i]);
        ASSERT_EQ(scaled[i], x[i] * 0.3f);
      }
      ASSERT_EQ(copy[count], 7.0f);
      ASSERT_EQ(scaled[count], 7.0f);
    }
  }
}

TEST(TensorSumTest, OneNonfiniteElementIsFoundWhereverItIs) {
  for (size_t count : {1, 5, 16, 37, 64}) {
    std::vector<float> out(count);
    for (size_t i = 0; i < count; ++i) {
      for (float poison : {kInfinity, -kInfinity, kNan, -kNan}) {
        std::vector<float> x(count, std::numeric_limits<float>::max());
        EXPECT_TRUE(AllFinite(x.data(), count));
        x[i] = poison;
        EXPECT_FALSE(AllFinite(x.data(), count));
        EXPECT_FALSE(CopyChecked(x.data(), out.data(), count));
        EXPECT_FALSE(Scale(x.data(), 1, out.data(), count));
      }
    }
  }
}

TEST(TensorSumTest, OverflowByScalingIsSeen) {
  const float x[] = {1, 1e38f, 1};
  float out[3];
  EXPECT_FALSE(Scale(x, 16, out, 3));
}

TEST(TensorSumTest, SumOfSquaresIsTheSixteenRunningSumsAddedInPairs) {
  TestRandom random(4);
  for (size_t count = 0; count <= 100; ++count) {
    const std::vector<float> x = random.Floats(count, -1, 1);
    double sums[16] = {};
    for (size_t i = 0; i < count; ++i) sums[i % 16] += static_cast<double>(x[i]) * x[i];
    for (size_t half : {8, 4, 2, 1}) {
      for (size_t j = 0; j < half; ++j) sums[j] += sums[j + half];
    }
    for (size_t offset = 0; offset < 5; ++offset) {
      ASSERT_EQ(SumOfSquares(Shifted(x, offset).data(), count), sums[0]) << count;
    }
  }
}

TEST(TensorSumTest, SumOfSquaresOfPoisonIsNotFinite) {
  std::vector<float> x(20, 1.0f);
  x[17] = kNan;
  EXPECT_FALSE(std::isfinite(SumOfSquares(x.data(), x.size())));
  x[17] = -kInfinity;
  EXPECT_FALSE(std::isfinite(SumOfSquares(x.data(), x.size())));
}

}  // namespace
}  // namespace weir
