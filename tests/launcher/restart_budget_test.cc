// SPDX-License-Identifier: Apache-2.0
#include "launcher/restart_budget.h"

#include "gtest/gtest.h"

namespace weir {
namespace {

RestartRules Rules(uint32_t limit) {
  RestartRules rules;
  rules.limit = limit;
  rules.window = absl::Minutes(1);
  rules.backoff = absl::Seconds(2);
  return rules;
}

TEST(RestartBudgetTest, TheFirstIsAtOnceAndEachFurtherOneWaitsTwiceAsLong) {
  RestartBudget budget;
  const absl::Time now = absl::UnixEpoch();
  EXPECT_EQ(budget.OnLoss(Rules(9), now), absl::ZeroDuration());
  EXPECT_EQ(budget.OnLoss(Rules(9), now), absl::Seconds(2));
  EXPECT_EQ(budget.OnLoss(Rules(9), now), absl::Seconds(4));
  EXPECT_EQ(budget.OnLoss(Rules(9), now), absl::Seconds(8));
  EXPECT_EQ(budget.granted(), 4u);
}

TEST(RestartBudgetTest, NoWaitIsLongerThanTheLongest) {
  RestartBudget budget;
  for (int i = 0; i < 8; ++i) (void)budget.OnLoss(Rules(1000), absl::UnixEpoch());
  for (int i = 0; i < 900; ++i) {
    EXPECT_EQ(budget.OnLoss(Rules(1000), absl::UnixEpoch()), RestartRules::kLongestBackoff);
  }
}

TEST(RestartBudgetTest, BeyondTheLimitThereIsNoneUntilTheWindowHasMovedOn) {
  RestartBudget budget;
  absl::Time now = absl::UnixEpoch();
  EXPECT_TRUE(budget.OnLoss(Rules(2), now).has_value());
  now += absl::Seconds(30);
  EXPECT_TRUE(budget.OnLoss(Rules(2), now).has_value());
  now += absl::Seconds(29);
  EXPECT_EQ(budget.OnLoss(Rules(2), now), std::nullopt);
  now += absl::Seconds(1);  // a minute after the first
  EXPECT_EQ(budget.OnLoss(Rules(2), now), absl::Seconds(2));
  EXPECT_EQ(budget.granted(), 3u) << "what was refused does not count";
}

TEST(RestartBudgetTest, ALimitOfNoneGrantsNone) {
  RestartBudget budget;
  EXPECT_EQ(budget.OnLoss(Rules(0), absl::UnixEpoch()), std::nullopt);
}

}  // namespace
}  // namespace weir
