// SPDX-License-Identifier: Apache-2.0
#include "net/spin.h"

#include <gtest/gtest.h>

namespace weir {
namespace {

TEST(SpinTest, NobodySpinsWhereCoresAreFewerThanSpinners) {
  EXPECT_EQ(SpinTime(absl::Microseconds(50), 4, 4), absl::Microseconds(50));
  EXPECT_EQ(SpinTime(absl::Microseconds(50), 3, 4), absl::ZeroDuration());
  EXPECT_EQ(SpinTime(absl::Microseconds(50), 1, 2), absl::ZeroDuration());
}

TEST(SpinTest, EveryProcessOfALocalJobIsASpinnerAndOfAnotherThisOneAndItsPeer) {
  EXPECT_EQ(SpinnersOfJob(4, 16, /*local=*/true), 20u);
  EXPECT_EQ(SpinnersOfJob(4, 16, /*local=*/false), 2u);
}

TEST(SpinTest, ThereIsACore) { EXPECT_GE(UsableCores(), 1); }

}  // namespace
}  // namespace weir
