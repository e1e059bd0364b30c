// SPDX-License-Identifier: Apache-2.0
#include "ps/clock_table.h"

#include <gtest/gtest.h>

namespace weir {
namespace {

ClockTable TableOf(uint32_t workers, size_t slices) {
  ClockTable clocks(workers);
  clocks.Begin(slices);
  return clocks;
}

Roster RosterOf(uint64_t generation, std::vector<uint32_t> owners, std::vector<uint32_t> lost) {
  Roster roster;
  roster.generation = generation;
  roster.owners = std::move(owners);
  roster.lost = std::move(lost);
  return roster;
}

TEST(ClockTableTest, EveryRankCountsAtClockZeroBeforeARoster) {
  const ClockTable clocks = TableOf(2, 3);
  ASSERT_TRUE(clocks.SlowestOn(2).has_value());
  EXPECT_EQ(clocks.SlowestOn(2)->worker, 0u);
  EXPECT_EQ(clocks.SlowestOn(2)->clock, 0u);
  EXPECT_EQ(clocks.claimed(1), 0u);
}

TEST(ClockTableTest, AStepThatIsOverOnASliceCountsOnThatSliceAlone) {
  ClockTable clocks = TableOf(1, 2);
  clocks.Finish(0, 1);
  EXPECT_EQ(clocks.clock(0, 0), 0u);
  EXPECT_EQ(clocks.clock(0, 1), 1u);
  EXPECT_EQ(clocks.claimed(0), 0u);
  EXPECT_EQ(clocks.furthest(0), 1u);
}

TEST(ClockTableTest, AClaimHoldsOnEverySliceAndNeverFalls) {
  ClockTable clocks = TableOf(1, 2);
  clocks.Finish(0, 1);
  EXPECT_TRUE(clocks.Claim(0, 1)) << "slice 0 had not come so far";
  EXPECT_EQ(clocks.clock(0, 0), 1u);
  EXPECT_EQ(clocks.clock(0, 1), 1u);
  EXPECT_FALSE(clocks.Claim(0, 1));
  EXPECT_FALSE(clocks.Claim(0, 0));
  EXPECT_EQ(clocks.claimed(0), 1u);
}

TEST(ClockTableTest, TheClaimOfAStepThatIsOverEverywhereMovesNoClock) {
  ClockTable clocks = TableOf(1, 2);
  clocks.Finish(0, 0);
  clocks.Finish(0, 1);
  EXPECT_FALSE(clocks.Claim(0, 1));
  EXPECT_EQ(clocks.clock(0, 0), 1u);
  EXPECT_TRUE(clocks.Claim(0, 3));
}

TEST(ClockTableTest, TheSlowestOfASliceIsTheOneWithTheLeastClockThere) {
  ClockTable clocks = TableOf(3, 2);
  clocks.Claim(0, 5);
  clocks.Claim(1, 4);
  clocks.Claim(2, 4);
  clocks.Finish(1, 0);
  EXPECT_EQ(clocks.SlowestOn(0)->worker, 2u);
  EXPECT_EQ(clocks.SlowestOn(1)->worker, 1u);
  EXPECT_EQ(clocks.SlowestOn(1)->clock, 4u);
  EXPECT_EQ(clocks.SlowestClaim()->worker, 1u);
}

TEST(ClockTableTest, AWorkerThatIsLostIsNotTheSlowestUntilItIsBack) {
  ClockTable clocks = TableOf(3, 1);
  for (uint64_t worker = 0; worker < 3; ++worker) clocks.Claim(worker, 10 + worker);
  clocks.SetRoster(RosterOf(1, {0, 1, 2}, {0}));
  EXPECT_EQ(clocks.SlowestOn(0)->worker, 1u);
  clocks.SetRoster(RosterOf(2, {0, 1, 2}, {}));
  EXPECT_EQ(clocks.SlowestOn(0)->worker, 0u);
  EXPECT_EQ(clocks.SlowestOn(0)->clock, 10u) << "its successor goes on with its clock";
}

TEST(ClockTableTest, AWorkerThatIsAddedBeginsWhereTheSlowestIs) {
  ClockTable clocks = TableOf(2, 1);
  clocks.Claim(0, 9);
  clocks.Claim(1, 6);
  clocks.SetRoster(RosterOf(1, {0, 1, 2}, {}));
  EXPECT_EQ(clocks.claimed(2), 6u);
  EXPECT_EQ(clocks.SlowestOn(0)->clock, 6u);
}

TEST(ClockTableTest, ARosterOfAnOlderGenerationIsIgnored) {
  ClockTable clocks = TableOf(2, 1);
  clocks.SetRoster(RosterOf(4, {1}, {}));
  clocks.SetRoster(RosterOf(3, {0, 1}, {}));
  EXPECT_EQ(clocks.SlowestOn(0)->worker, 1u);
}

TEST(ClockTableTest, AWorkerThatLeftIsNotWaitedForUntilASuccessorEnters) {
  ClockTable clocks = TableOf(2, 1);
  clocks.Claim(1, 7);
  clocks.Leave(0);
  EXPECT_EQ(clocks.SlowestOn(0)->worker, 1u);
  clocks.Enter(0);
  EXPECT_EQ(clocks.SlowestOn(0)->worker, 0u);
  clocks.Leave(0);
  clocks.Leave(1);
  EXPECT_FALSE(clocks.SlowestOn(0).has_value());
}

TEST(ClockTableTest, ASuccessorReadsAtTheStepThatItHasToFinish) {
  ClockTable clocks = TableOf(1, 2);
  clocks.Claim(0, 4);
  clocks.Finish(0, 0);
  EXPECT_EQ(clocks.reading_clock(0, 0), 5u);
  clocks.Enter(0);
  EXPECT_EQ(clocks.reading_clock(0, 0), 4u);
  clocks.Claim(0, 4);
  EXPECT_EQ(clocks.reading_clock(0, 0), 5u) << "now it has named its step";
}

TEST(ClockTableTest, ANewEpochBeginsAtClockZeroWithTheSameMembers) {
  ClockTable clocks = TableOf(2, 1);
  clocks.SetRoster(RosterOf(1, {1}, {}));
  clocks.Claim(1, 7);
  clocks.Begin(4);
  EXPECT_EQ(clocks.clock(1, 3), 0u);
  EXPECT_EQ(clocks.SlowestOn(3)->worker, 1u);
}

}  // namespace
}  // namespace weir
