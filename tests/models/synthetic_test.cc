// SPDX-License-Identifier: Apache-2.0
#include "models/synthetic.h"

#include <algorithm>
#include <cmath>

#include "gtest/gtest.h"
#include "models/elementary.h"

namespace weir {
namespace {

RawTable Draw(int64_t rows, int64_t features, int64_t classes, uint64_t seed) {
  Result<RawTable> table = DrawSynthetic(rows, features, classes, seed, DatasetLimits());
  EXPECT_TRUE(table.ok()) << table.status().ToString();
  return std::move(table).value();
}

TEST(SyntheticTest, IsAFunctionOfTheSeed) {
  EXPECT_EQ(Draw(50, 8, 4, 1).features, Draw(50, 8, 4, 1).features);
  EXPECT_NE(Draw(50, 8, 4, 1).features, Draw(50, 8, 4, 2).features);
}

// A change here breaks runs that were begun by an earlier build.
TEST(SyntheticTest, BitsAreThoseOfEveryOtherBuild) {
  uint64_t hash = 0;
  for (float value : Draw(50, 8, 4, 1).features) hash = (hash ^ FloatBits(value)) * 0x100000001b3u;
  EXPECT_EQ(hash, 12681748778485522568u);
}

TEST(SyntheticTest, ARowDoesNotDependOnHowManyFollow) {
  const RawTable few = Draw(20, 8, 4, 1), many = Draw(100, 8, 4, 1);
  EXPECT_TRUE(std::equal(few.features.begin(), few.features.end(), many.features.begin()));
}

TEST(SyntheticTest, ClassesComeInTurnAndSpreadAroundTheirCentresWithDeviationOne) {
  constexpr int64_t kRows = 6000, kFeatures = 4, kClasses = 3;
  const RawTable table = Draw(kRows, kFeatures, kClasses, 5);
  EXPECT_EQ(table.labels.names().size(), 3u);
  double mean[kClasses][kFeatures] = {}, square = 0;
  for (int64_t row = 0; row < kRows; ++row) {
    ASSERT_EQ(table.labels.ids()[row], row % kClasses);
    for (int64_t i = 0; i < kFeatures; ++i) {
      mean[row % kClasses][i] += table.features[row * kFeatures + i] / (kRows / kClasses);
    }
  }
  for (int64_t row = 0; row < kRows; ++row) {
    for (int64_t i = 0; i < kFeatures; ++i) {
      square += std::pow(table.features[row * kFeatures + i] - mean[row % kClasses][i], 2);
    }
  }
  EXPECT_NEAR(std::sqrt(square / (kRows * kFeatures)), 1.0, 0.03);
}

TEST(SyntheticTest, AbsurdSizesAreRefused) {
  const auto code = [](int64_t rows, int64_t features, int64_t classes) {
    return DrawSynthetic(rows, features, classes, 1, DatasetLimits()).status().code();
  };
  EXPECT_EQ(code(3, 1, 4), StatusCode::kInvalidArgument);
  EXPECT_EQ(code(10, 0, 4), StatusCode::kInvalidArgument);
  EXPECT_EQ(code(10, 1, 1), StatusCode::kInvalidArgument);
  EXPECT_EQ(code(-10, 1, 2), StatusCode::kInvalidArgument);
  EXPECT_EQ(code(int64_t{1} << 40, 1, 2), StatusCode::kResourceExhausted);
  EXPECT_EQ(code(10, int64_t{1} << 40, 2), StatusCode::kResourceExhausted);
  EXPECT_EQ(code(9'000'000, 60'000, 2), StatusCode::kResourceExhausted);
}

}  // namespace
}  // namespace weir
