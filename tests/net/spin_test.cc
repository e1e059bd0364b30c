// SPDX-License-Identifier: Apache-2.0
#include "net/spin.h"

#include <gtest/gtest.h>

namespace weir {
namespace {

TEST(SpinTest, NobodySpinsUnaskedWhereCoresAreFewerThanSpinners) {
  EXPECT_EQ(SpinTime(std::nullopt, 4, 4), kDefaultSpin);
  EXPECT_EQ(SpinTime(std::nullopt, 3, 4), absl::ZeroDuration());
  EXPECT_EQ(SpinTime(std::nullopt, 1, 2), absl::ZeroDuration());
}

TEST(SpinTest, AnExplicitWishWinsOverTheCountOfCores) {
  EXPECT_EQ(SpinTime(absl::Microseconds(50), 1, 4), absl::Microseconds(50));
  EXPECT_EQ(SpinTime(absl::ZeroDuration(), 4, 2), absl::ZeroDuration());
}

TEST(SpinTest, AWishIsAWholeNumberOfMicrosecondsUpToASecond) {
  EXPECT_EQ(*ParseSpin("--spin_us", ""), std::nullopt);
  EXPECT_EQ(*ParseSpin("--spin_us", "0"), absl::ZeroDuration());
  EXPECT_EQ(*ParseSpin("--spin_us", "75"), absl::Microseconds(75));
  EXPECT_EQ(*ParseSpin("--spin_us", "1000000"), kMaxSpin);
}

TEST(SpinTest, NonsenseIsRefusedByName) {
  for (const char* text : {"-1", "1000001", "9223372036854775807", "soon", "1.5", "30us", " "}) {
    const auto asked = ParseSpin("--spin_us", text);
    EXPECT_TRUE(absl::IsInvalidArgument(asked.status())) << text;
    EXPECT_NE(asked.status().message().find("--spin_us is "), std::string::npos) << text;
  }
}

TEST(SpinTest, EveryProcessOfALocalJobIsASpinnerAndOfAnotherThisOneAndItsPeer) {
  EXPECT_EQ(SpinnersOfJob(4, 16, /*local=*/true), 20u);
  EXPECT_EQ(SpinnersOfJob(4, 16, /*local=*/false), 2u);
}

TEST(SpinTest, ThereIsACore) { EXPECT_GE(UsableCores(), 1); }

}  // namespace
}  // namespace weir
