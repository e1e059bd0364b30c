// SPDX-License-Identifier: Apache-2.0
#include "models/elementary.h"

#include <cmath>
#include <limits>

#include "gtest/gtest.h"

namespace weir {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

// The distance of `got` from `exact` in units of the last place of a float of that size.
double Ulps(float got, double exact) {
  const float near = static_cast<float>(std::fabs(exact));
  const double unit = static_cast<double>(std::nextafter(near, kInfinity)) - near;
  return std::fabs(got - exact) / unit;
}

// The largest error over `count` floats spread evenly from `low` to `high`, and where it is.
template <typename Ours, typename Exact>
void ExpectWithin(double limit, float low, float high, Ours ours, Exact exact) {
  constexpr int kCount = 2'000'000;
  double worst = 0;
  float where = low;
  for (int i = 0; i <= kCount; ++i) {
    const float x = low + (high - low) * (static_cast<float>(i) / kCount);
    const double error = Ulps(ours(x), exact(static_cast<double>(x)));
    if (!(error <= worst)) {
      worst = error;
      where = x;
    }
  }
  EXPECT_LE(worst, limit) << "at " << where;
}

TEST(ElementaryTest, ExpIsWithinTwoUlpsWhereverItsResultIsNormal) {
  const auto exact = [](double x) { return std::exp(x); };
  ExpectWithin(2, -87.3f, 88.7f, Exp, exact);
  ExpectWithin(2, -1.0f, 1.0f, Exp, exact);
}

TEST(ElementaryTest, ExpOverflowsToInfinityAndUnderflowsThroughSubnormalsToZero) {
  EXPECT_EQ(Exp(89.0f), kInfinity);
  EXPECT_EQ(Exp(kInfinity), kInfinity);
  EXPECT_EQ(Exp(-kInfinity), 0.0f);
  EXPECT_EQ(Exp(-104.0f), 0.0f);
  EXPECT_NEAR(Exp(-100.0f) / std::exp(-100.0), 1.0, 0.05);
  EXPECT_EQ(Exp(0.0f), 1.0f);
  EXPECT_TRUE(std::isnan(Exp(kNan)));
}

TEST(ElementaryTest, LogIsWithinTwoUlpsFromTheSmallestToTheLargestFloat) {
  double worst = 0;
  for (uint32_t bits = 1; bits < 0x7f800000u; bits += 997) {
    const float x = FloatOfBits(bits);
    const double error = Ulps(Log(x), std::log(static_cast<double>(x)));
    worst = error <= worst ? worst : error;
  }
  EXPECT_LE(worst, 2);
  ExpectWithin(2, 0.5f, 20.0f, Log, [](double x) { return std::log(x); });
}

TEST(ElementaryTest, LogOfTheEdgesIsWhatTheStandardSays) {
  EXPECT_EQ(Log(0.0f), -kInfinity);
  EXPECT_EQ(Log(1.0f), 0.0f);
  EXPECT_EQ(Log(kInfinity), kInfinity);
  EXPECT_TRUE(std::isnan(Log(-1.0f)));
  EXPECT_TRUE(std::isnan(Log(kNan)));
}

TEST(ElementaryTest, TanhIsWithinTwoUlps) {
  const auto exact = [](double x) { return std::tanh(x); };
  ExpectWithin(2, -12.0f, 12.0f, Tanh, exact);
  ExpectWithin(2, -0.7f, 0.7f, Tanh, exact);
  EXPECT_EQ(Tanh(kInfinity), 1.0f);
  EXPECT_EQ(Tanh(-kInfinity), -1.0f);
  EXPECT_TRUE(std::isnan(Tanh(kNan)));
}

TEST(ElementaryTest, SigmoidIsWithinThreeUlpsAndDoesNotOverflow) {
  ExpectWithin(3, -87.0f, 87.0f, Sigmoid, [](double x) { return 1 / (1 + std::exp(-x)); });
  EXPECT_EQ(Sigmoid(1000.0f), 1.0f);
  EXPECT_EQ(Sigmoid(-1000.0f), 0.0f);
  EXPECT_TRUE(std::isnan(Sigmoid(kNan)));
}

// The values that a build must give on every host and with every compiler; recorded from g++ 12 at
// -O2.
TEST(ElementaryTest, BitsAreThoseOfEveryOtherBuild) {
  uint64_t hash = 0;
  for (uint32_t i = 0; i < 200'000; ++i) {
    const float x = (static_cast<float>(i) - 100'000.0f) * 0.001f;
    for (float y : {Exp(x), Log(x * x + 0.001f), Tanh(x), Sigmoid(x)}) {
      hash = (hash ^ FloatBits(y)) * 0x100000001b3u;
    }
  }
  EXPECT_EQ(hash, 3904514994170385621u);
}

}  // namespace
}  // namespace weir
