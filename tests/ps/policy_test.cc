// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ps/asp_policy.h"
#include "ps/bsp_policy.h"

namespace weir {
namespace {

using ::testing::HasSubstr;
using Kind = Admission::Kind;

PushTerms Terms(uint64_t worker, uint64_t step, uint32_t first, uint32_t parts) {
  PushTerms push;
  push.id = {worker, 1, step + 1};
  push.base_version = step;
  push.step = step;
  push.block = {first, parts};
  push.examples = 10;
  push.atomicity = Atomicity::kSlice;
  return push;
}

class BspPolicyTest : public testing::Test {
 protected:
  // Takes the push as if its arithmetic had succeeded.
  std::vector<PushTerms> Take(const PushTerms& push) {
    EXPECT_EQ(policy.Admit(0, push.step, push).kind, Kind::kTake);
    const FoldPlan plan = policy.Plan(0, push);
    const bool has_sum = !plan.complete && (push.examples > 0 || !plan.addends.empty());
    return policy.Take(0, push, plan, has_sum ? pool.Allocate(64) : Buffer());
  }

  BufferPool pool;
  BspPolicy policy{/*gradient_shards=*/4, /*slices=*/2};
};

TEST_F(BspPolicyTest, AStepIsCompleteWhenEveryPartIsIn) {
  EXPECT_TRUE(Take(Terms(0, 0, 0, 1)).empty());
  EXPECT_TRUE(Take(Terms(1, 0, 2, 2)).empty());
  const PushTerms last = Terms(2, 0, 1, 1);
  const FoldPlan plan = policy.Plan(0, last);
  EXPECT_TRUE(plan.complete);
  EXPECT_EQ(plan.examples, 30u);
  ASSERT_EQ(plan.addends.size(), 2u);  // part 0 on the left, parts 2 and 3 on the right
  EXPECT_TRUE(plan.addends[0].is_left);
  EXPECT_FALSE(plan.addends[1].is_left);
  EXPECT_EQ(Take(last).size(), 3u);
  EXPECT_TRUE(Take(Terms(0, 1, 0, 1)).empty());  // the next step starts empty
}

TEST_F(BspPolicyTest, NeighboursAreFoldedAsSoonAsBothAreIn) {
  Take(Terms(0, 0, 2, 1));
  {
    const FoldPlan plan = policy.Plan(0, Terms(1, 0, 3, 1));
    EXPECT_FALSE(plan.complete);
    ASSERT_EQ(plan.addends.size(), 1u);
    EXPECT_TRUE(plan.addends[0].is_left);
  }
  Take(Terms(1, 0, 3, 1));
  EXPECT_EQ(pool.statistics().bytes_in_use, 256u);  // one sum is left of the two
  EXPECT_TRUE(policy.Plan(0, Terms(2, 0, 1, 1)).addends.empty());
}

TEST_F(BspPolicyTest, SlicesCollectOnTheirOwn) {
  Take(Terms(0, 0, 0, 4));
  EXPECT_EQ(policy.Admit(1, 0, Terms(0, 0, 0, 1)).kind, Kind::kTake);
}

TEST_F(BspPolicyTest, APartCountsOnceWhoeverSendsIt) {
  Take(Terms(0, 0, 0, 2));
  const Admission held = policy.Admit(0, 0, Terms(1, 0, 1, 1));
  EXPECT_EQ(held.kind, Kind::kDuplicate);
  EXPECT_EQ(held.first, Outcome::kPending);
  const Admission committed = policy.Admit(0, 5, Terms(1, 3, 1, 1));
  EXPECT_EQ(committed.kind, Kind::kDuplicate);
  EXPECT_EQ(committed.first, Outcome::kApplied);
  EXPECT_EQ(committed.version, 4u);
}

TEST_F(BspPolicyTest, TheSamePushSentAgainIsAttached) {
  Take(Terms(0, 0, 0, 2));
  EXPECT_EQ(policy.Admit(0, 0, Terms(0, 0, 0, 2)).kind, Kind::kAttach);
}

TEST_F(BspPolicyTest, APartialOverlapIsInvalidAndNamesThePartsHeld) {
  Take(Terms(0, 0, 1, 1));
  const Admission admission = policy.Admit(0, 0, Terms(1, 0, 0, 4));
  EXPECT_EQ(admission.kind, Kind::kInvalid);
  EXPECT_THAT(admission.reason, HasSubstr("holds part 1 of parts 0 to 3"));
}

TEST_F(BspPolicyTest, WhatIsNotABlockOfTheTreeIsInvalid) {
  for (const PartBlock block : {PartBlock{0, 0}, PartBlock{1, 2}, PartBlock{0, 3}, PartBlock{4, 1},
                                PartBlock{0, 8}, PartBlock{0xffffffff, 2}}) {
    EXPECT_EQ(policy.Admit(0, 0, Terms(0, 0, block.first, block.parts)).kind, Kind::kInvalid);
  }
}

TEST_F(BspPolicyTest, AStepAheadIsInvalid) {
  const Admission admission = policy.Admit(0, 4, Terms(0, 5, 0, 1));
  EXPECT_EQ(admission.kind, Kind::kInvalid);
  EXPECT_THAT(admission.reason, HasSubstr("step 5 is ahead"));
}

TEST_F(BspPolicyTest, AGradientOfOtherWeightsIsStale) {
  PushTerms push = Terms(0, 4, 0, 1);
  push.base_version = 3;
  EXPECT_EQ(policy.Admit(0, 4, push).kind, Kind::kStale);
}

TEST_F(BspPolicyTest, TheLearningRateIsThatOfPartZero) {
  PushTerms first = Terms(0, 0, 0, 2);
  first.learning_rate = 0.5;
  PushTerms second = Terms(1, 0, 2, 2);
  second.learning_rate = 0.25;
  Take(first);
  EXPECT_EQ(policy.Plan(0, second).learning_rate, 0.5);
  Take(second);
  first = Terms(0, 1, 0, 2);
  first.learning_rate = 0.125;
  second = Terms(1, 1, 2, 2);
  second.learning_rate = 0.25;
  Take(second);
  EXPECT_EQ(policy.Plan(0, first).learning_rate, 0.125);
  first.learning_rate = 0;
  EXPECT_EQ(policy.Plan(0, first).learning_rate, 0);
}

TEST_F(BspPolicyTest, SkippedPartsCountAsHeldWithWeightZero) {
  PushTerms skip = Terms(0, 0, 0, 2);
  skip.examples = 0;
  Take(skip);
  const FoldPlan plan = policy.Plan(0, Terms(1, 0, 2, 2));
  EXPECT_TRUE(plan.complete);
  EXPECT_TRUE(plan.addends.empty());
  EXPECT_EQ(plan.examples, 10u);
}

TEST_F(BspPolicyTest, WhoeverWaitsLearnsForWhom) {
  EXPECT_EQ(policy.WaitsFor(0, 0), "step 0 waits for parts 0 to 3 (never seen)");
  Take(Terms(0, 0, 0, 2));
  Take(Terms(7, 0, 2, 1));
  EXPECT_EQ(policy.WaitsFor(0, 0), "step 0 waits for part 3 (never seen)");
  Take(Terms(8, 0, 3, 1));
  EXPECT_EQ(
      policy.WaitsFor(0, 1),
      "step 1 waits for parts 0 to 1 (last held by worker 0), part 2 (last held by worker 7), "
      "part 3 (last held by worker 8)");
}

TEST_F(BspPolicyTest, TheSentenceOfWhoIsMissingStaysShort) {
  BspPolicy wide(/*gradient_shards=*/65536, /*slices=*/1);
  for (uint32_t part = 0; part < 200; part += 2)
    wide.Take(0, Terms(part, 0, part, 1), FoldPlan(), Buffer());
  EXPECT_LT(wide.WaitsFor(0, 0).size(), 500u);
  EXPECT_THAT(wide.WaitsFor(0, 0), HasSubstr("..."));
}

TEST(AspPolicyTest, AnyStalenessIsTakenWithoutABoundAndCommitsAlone) {
  AspPolicy policy(std::nullopt);
  PushTerms push = Terms(0, 0, 0, 0);
  EXPECT_EQ(policy.Admit(0, 1000000, push).kind, Kind::kTake);
  const FoldPlan plan = policy.Plan(0, push);
  EXPECT_TRUE(plan.complete);
  EXPECT_EQ(plan.examples, 10u);
  EXPECT_EQ(policy.Take(0, push, plan, Buffer()).size(), 1u);
}

TEST(AspPolicyTest, BeyondTheBoundIsStale) {
  AspPolicy policy(2);
  PushTerms push = Terms(0, 10, 0, 0);
  EXPECT_EQ(policy.Admit(0, 12, push).kind, Kind::kTake);
  EXPECT_EQ(policy.Admit(0, 13, push).kind, Kind::kStale);
  EXPECT_EQ(AspPolicy(0).Admit(0, 10, push).kind, Kind::kTake);
  EXPECT_EQ(AspPolicy(0).Admit(0, 11, push).kind, Kind::kStale);
}

TEST(AspPolicyTest, ABaseAheadOfTheSliceIsInvalid) {
  EXPECT_EQ(AspPolicy(std::nullopt).Admit(0, 9, Terms(0, 10, 0, 0)).kind, Kind::kInvalid);
}

TEST(AspPolicyTest, AtomicityOverSlicesIsNotYetThere) {
  PushTerms push = Terms(0, 0, 0, 0);
  for (const Atomicity atomicity : {Atomicity::kUnspecified, Atomicity::kAll}) {
    push.atomicity = atomicity;
    const Admission admission = AspPolicy(std::nullopt).Admit(0, 0, push);
    EXPECT_EQ(admission.kind, Kind::kInvalid);
    EXPECT_THAT(admission.reason, HasSubstr("not yet"));
  }
}

}  // namespace
}  // namespace weir
