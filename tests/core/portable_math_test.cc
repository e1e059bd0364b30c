// SPDX-License-Identifier: Apache-2.0
#include "core/portable_math.h"

#include <cmath>

#include "gtest/gtest.h"
#include "tests/core/random_floats.h"

namespace weir {
namespace {

TEST(PortableMathTest, LogIsTheLogarithmTo51BitsOverTheWholeRange) {
  TestRandom random(1);
  for (int i = 0; i < 1000000; ++i) {
    const double x = std::ldexp(random.Uniform(1, 2), static_cast<int>(random.Below(2040)) - 1020);
    const double expected = std::log(x);
    ASSERT_NEAR(PortableLog(x), expected, std::abs(expected) * 0x1p-51) << x;
  }
}

TEST(PortableMathTest, LogKeepsItsRelativeErrorNearOne) {
  EXPECT_EQ(PortableLog(1), 0);
  for (double x = 0x1p-52; x < 0.5; x *= 1.37) {
    for (double y : {1 + x, 1 - x}) {
      ASSERT_NEAR(PortableLog(y), std::log(y), std::abs(std::log(y)) * 0x1p-51) << y;
    }
  }
}

TEST(PortableMathTest, CosSinAreThoseOfTheTurnTo51Bits) {
  constexpr long double kTwoPi = 6.283185307179586476925286766559L;
  TestRandom random(2);
  for (int i = 0; i < 1000000; ++i) {
    const double turns = random.Uniform(-3, 3);
    const CosSin result = PortableCosSin(turns);
    ASSERT_NEAR(result.cos, static_cast<double>(std::cos(kTwoPi * turns)), 0x1p-51) << turns;
    ASSERT_NEAR(result.sin, static_cast<double>(std::sin(kTwoPi * turns)), 0x1p-51) << turns;
  }
}

TEST(PortableMathTest, CosSinAreExactAtQuarterTurns) {
  for (int quarters = -9; quarters <= 9; ++quarters) {
    const CosSin result = PortableCosSin(quarters * 0.25);
    const int at = (quarters % 4 + 4) % 4;
    EXPECT_EQ(result.cos, at == 0 ? 1 : at == 2 ? -1 : 0) << quarters;
    EXPECT_EQ(result.sin, at == 1 ? 1 : at == 3 ? -1 : 0) << quarters;
  }
}

TEST(PortableMathTest, PowerIsRepeatedMultiplication) {
  EXPECT_EQ(PortablePower(0.3, 0), 1);
  EXPECT_EQ(PortablePower(0, 0), 1);
  EXPECT_EQ(PortablePower(0, 5), 0);
  EXPECT_EQ(PortablePower(-2, 3), -8);
  EXPECT_EQ(PortablePower(2, 1023), 0x1p1023);
  EXPECT_EQ(PortablePower(0.5, ~uint64_t{0}), 0);
  EXPECT_NEAR(PortablePower(0.999, 1000), std::pow(0.999, 1000), 1e-14);
}

}  // namespace
}  // namespace weir
