// SPDX-License-Identifier: Apache-2.0
// Pushes and reads bounded by clocks: who waits for whom, and what becomes of a step.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "tests/ps/shard_harness.h"

namespace weir {
namespace {

using ::testing::HasSubstr;

constexpr uint32_t kSlices = 4;

ShardHarness::Options Ssp(uint64_t max_staleness, uint32_t workers) {
  ShardHarness::Options options;
  options.shard.mode = ConsistencyMode::kSsp;
  options.shard.max_staleness = max_staleness;
  options.shard.workers = workers;
  options.shard.schedule.base_rate = 1;
  return options;
}

// Two workers, of which the faster may be one step ahead.
class ShardSspTest : public testing::Test {
 protected:
  PushFrame PushAt(uint64_t of, uint64_t step, uint32_t slice) {
    PushFrame push = harness.PushOf(of, ++sequence, slice, 2.0f);
    push.step = step;
    push.base_version = harness.Version(slice);
    push.want_values = true;
    return push;
  }
  PushReplyFrame Push(uint64_t session, uint64_t of, uint64_t step, uint32_t slice) {
    return harness.PushReply(session, harness.Send(session, PushAt(of, step, slice)));
  }
  void FinishStep(uint64_t session, uint64_t of, uint64_t step) {
    for (uint32_t slice = 0; slice < kSlices; ++slice)
      EXPECT_EQ(Push(session, of, step, slice).outcome, Outcome::kApplied);
  }
  uint64_t Pull(uint64_t session, uint32_t slice, uint64_t clock) {
    return harness.Send(session, harness.PullOf(slice, PullCondition::kStep, clock));
  }
  void Tell(std::vector<uint32_t> owners, std::vector<uint32_t> lost) {
    Roster roster;
    roster.generation = ++generation;
    roster.owners = std::move(owners);
    roster.lost = std::move(lost);
    harness.Tell(roster);
  }

  ShardHarness harness{Ssp(1, 2)};
  uint64_t slow = harness.Connect(0);
  uint64_t fast = harness.Connect(1);
  uint64_t sequence = 0;
  uint64_t generation = 0;
};

TEST_F(ShardSspTest, APushCommitsAtOnceAndBringsValuesWithinTheBound) {
  const PushReplyFrame reply = Push(fast, 1, 0, 0);
  EXPECT_EQ(reply.outcome, Outcome::kApplied);
  EXPECT_EQ(reply.version, 1u);
  EXPECT_EQ(reply.clocks_ahead, 0u);
  EXPECT_EQ(Floats(reply.tensor_data), harness.Weights(0));
}

TEST_F(ShardSspTest, ValuesThatItsWorkerMayNotReadYetDoNotComeWithAPush) {
  FinishStep(fast, 1, 0);
  const PushReplyFrame reply = Push(fast, 1, 1, 0);
  EXPECT_EQ(reply.outcome, Outcome::kApplied);
  EXPECT_EQ(reply.clocks_ahead, 1u);
  EXPECT_EQ(reply.count, 0u) << "it is at clock 2 here, two ahead";
  const uint64_t pull = harness.Send(fast, harness.PullOf(0));
  EXPECT_FALSE(harness.HasAnswer(fast, pull)) << "whether it says so or not";
  Push(slow, 0, 0, 0);
  EXPECT_EQ(harness.PullReply(fast, pull).version, 3u) << "with what the slow one pushed";
}

TEST_F(ShardSspTest, APushBeyondTheBoundIsStaleAndItsWorkerWaits) {
  const PushReplyFrame reply = Push(fast, 1, 2, 0);
  EXPECT_EQ(reply.outcome, Outcome::kStale);
  EXPECT_EQ(reply.count, 0u);
  EXPECT_EQ(reply.reason, "worker 1 is at clock 2, 2 ahead of worker 0; at most 1 is allowed");
  EXPECT_EQ(harness.Version(0), 0u);
  const uint64_t pull = harness.Send(fast, harness.PullOf(0));
  EXPECT_FALSE(harness.HasAnswer(fast, pull));
  FinishStep(slow, 0, 0);
  EXPECT_EQ(harness.PullReply(fast, pull).version, 1u);
  EXPECT_EQ(Push(fast, 1, 2, 0).outcome, Outcome::kApplied) << "under a new sequence";
}

TEST_F(ShardSspTest, AReadThatWaitsEndsByItsDeadlineAndNamesTheSlowest) {
  const uint64_t pull = harness.Send(fast, harness.PullOf(0, PullCondition::kStep, 2), 500);
  harness.Pass(absl::Milliseconds(499));
  EXPECT_FALSE(harness.HasAnswer(fast, pull));
  EXPECT_EQ(harness.shard.status().waits_for, "worker 0, which is at clock 0");
  harness.Pass(absl::Milliseconds(1));
  const ErrorReplyFrame error = harness.ErrorReply(fast, pull);
  EXPECT_EQ(error.outcome, Outcome::kPending);
  EXPECT_EQ(error.reason,
            "worker 0 is at clock 0, this reader at 2, and at most 1 ahead is allowed");
  EXPECT_EQ(harness.shard.status().waits_for, "");
}

TEST_F(ShardSspTest, AReadAtAClockSaysThatTheStepsBeforeAreOver) {
  const uint64_t pull = Pull(fast, 0, 2);
  EXPECT_FALSE(harness.HasAnswer(fast, pull));
  harness.PullReply(slow, Pull(slow, 3, 1));
  harness.PullReply(fast, pull);
}

TEST_F(ShardSspTest, ASyncWaitsUntilAllItsSlicesMayBeReadAndIsOneMoment) {
  FinishStep(fast, 1, 0);
  SyncFrame frame;
  frame.at_step = true;
  frame.step = 2;
  const uint64_t sync = harness.Send(fast, frame);
  for (uint32_t slice = 0; slice < kSlices; ++slice) {
    EXPECT_FALSE(harness.HasAnswer(fast, sync));
    Push(slow, 0, 0, slice);
  }
  const std::vector<ServerFrame> answers = harness.Answers(fast, sync);
  ASSERT_EQ(answers.size(), kSlices);
  for (const ServerFrame& answer : answers)
    EXPECT_EQ(std::get<PullReplyFrame>(answer.kind).version, 2u);
}

TEST_F(ShardSspTest, AConditionIsKeptWhileAReadWaits) {
  FinishStep(fast, 1, 0);
  FinishStep(fast, 1, 1);
  const uint64_t have = harness.Send(fast, harness.PullOf(0, PullCondition::kHave, 2));
  const uint64_t expect = harness.Send(fast, harness.PullOf(1, PullCondition::kExpect, 2));
  EXPECT_FALSE(harness.HasAnswer(fast, have));
  Tell({1}, {});
  EXPECT_TRUE(harness.PullReply(fast, have).not_modified);
  EXPECT_EQ(harness.PullReply(fast, expect).stale, false);
}

TEST_F(ShardSspTest, ASecondPushOfAStepIsADuplicateAndChangesNothing) {
  Push(fast, 1, 0, 0);
  const PushReplyFrame again = Push(fast, 1, 0, 0);
  EXPECT_EQ(again.outcome, Outcome::kDuplicate);
  EXPECT_EQ(again.first, Outcome::kApplied);
  EXPECT_EQ(harness.Version(0), 1u);
}

TEST_F(ShardSspTest, ASuccessorFinishesTheStepThatItsPredecessorBegan) {
  FinishStep(fast, 1, 0);
  Push(fast, 1, 1, 0);
  const uint64_t successor = harness.Connect(1, /*incarnation=*/2);
  EXPECT_EQ(harness.last_hello.clock, 1u) << "the step that was begun";
  EXPECT_EQ(Push(successor, 1, 1, 0).outcome, Outcome::kDuplicate);
  EXPECT_EQ(Push(successor, 1, 1, 1).outcome, Outcome::kApplied);
  EXPECT_EQ(harness.Version(0), 2u);
  EXPECT_EQ(harness.Version(1), 2u);
}

TEST_F(ShardSspTest, TwoSuccessorsOfWorkersThatDiedWithinAStepDoNotWaitForEachOther) {
  FinishStep(slow, 0, 0);
  FinishStep(fast, 1, 0);
  Push(slow, 0, 1, 0);
  Push(fast, 1, 1, 1);
  Push(fast, 1, 2, 1);  // each is two ahead of the other on a slice, were it at the step's end
  const uint64_t slows = harness.Connect(0, /*incarnation=*/2);
  const uint64_t fasts = harness.Connect(1, /*incarnation=*/2);
  EXPECT_EQ(harness.Answers(slows, harness.Send(slows, SyncFrame())).size(), kSlices);
  EXPECT_EQ(harness.last_hello.clock, 2u);
  EXPECT_EQ(harness.Answers(fasts, harness.Send(fasts, SyncFrame())).size(), kSlices);
}

TEST_F(ShardSspTest, APushOfAStepThatWasSaidToBeOverIsInvalid) {
  harness.PullReply(slow, Pull(slow, 0, 1));
  const PushReplyFrame reply = Push(slow, 0, 0, 0);
  EXPECT_EQ(reply.outcome, Outcome::kInvalid);
  EXPECT_EQ(reply.reason, "worker 0 has finished 1 steps: a push of step 0 comes too late");
}

TEST_F(ShardSspTest, AStepSaidToBeOverWhileItsPushIsComputedIsNotApplied) {
  harness.jobs_run_at_once = false;
  const uint64_t push = harness.Send(slow, PushAt(0, 0, 0));
  harness.PullReply(slow, Pull(slow, 1, 1));
  harness.RunJobs();
  EXPECT_EQ(harness.PushReply(slow, push).outcome, Outcome::kInvalid);
  EXPECT_EQ(harness.Version(0), 0u);
}

TEST_F(ShardSspTest, AWorkerThatIsLostHoldsNobodyUpAndItsSuccessorDoesAgain) {
  FinishStep(slow, 0, 0);
  FinishStep(fast, 1, 0);
  FinishStep(fast, 1, 1);
  FinishStep(fast, 1, 2);
  const uint64_t pull = Pull(fast, 0, 3);
  EXPECT_FALSE(harness.HasAnswer(fast, pull));
  Tell({0, 1}, {0});
  harness.PullReply(fast, pull);
  FinishStep(fast, 1, 3);
  Tell({0, 1}, {});
  EXPECT_EQ(Push(fast, 1, 4, 0).outcome, Outcome::kStale);
  EXPECT_EQ(harness.HasAnswer(fast, Pull(fast, 0, 4)), false);
}

TEST_F(ShardSspTest, ASlowerWorkerThatIsBackWhileAPushIsComputedMakesItStale) {
  Tell({0, 1}, {0});
  harness.jobs_run_at_once = false;
  const uint64_t push = harness.Send(fast, PushAt(1, 5, 0));
  Tell({0, 1}, {});
  harness.RunJobs();
  EXPECT_EQ(harness.PushReply(fast, push).outcome, Outcome::kStale);
  EXPECT_EQ(harness.Version(0), 0u);
}

TEST_F(ShardSspTest, AWorkerThatLeavesIsNotWaitedFor) {
  const uint64_t pull = Pull(fast, 0, 9);
  EXPECT_FALSE(harness.HasAnswer(fast, pull));
  harness.Send(slow, LeaveFrame());
  harness.PullReply(fast, pull);
}

TEST_F(ShardSspTest, APushWithoutExamplesEndsTheStep) {
  const uint64_t pull = Pull(fast, 0, 2);
  PushFrame skip = PushAt(0, 0, 0);
  skip.examples = 0;
  skip.gradient = Payload();
  EXPECT_EQ(harness.PushReply(slow, harness.Send(slow, skip)).outcome, Outcome::kApplied);
  harness.PullReply(fast, pull);
}

TEST_F(ShardSspTest, ReadersWithoutAClockNeverWait) {
  Pull(fast, 0, 9);
  const uint64_t reader = harness.ConnectReader();
  PullFrame pull = harness.PullOf(0);
  EXPECT_EQ(harness.PullReply(reader, harness.Send(reader, pull)).version, 0u);
}

TEST_F(ShardSspTest, AStepBeyondAnyThatCanBeCountedIsInvalid) {
  PushFrame push = PushAt(1, ~uint64_t{0}, 0);
  EXPECT_THAT(harness.PushReply(fast, harness.Send(fast, push)).reason, HasSubstr("step"));
  EXPECT_THAT(harness.ErrorReply(fast, Pull(fast, 0, uint64_t{1} << 63)).reason, HasSubstr("step"));
  SyncFrame sync;
  sync.at_step = true;
  sync.step = ~uint64_t{0};
  EXPECT_EQ(harness.ErrorReply(fast, harness.Send(fast, sync)).outcome, Outcome::kInvalid);
}

TEST_F(ShardSspTest, AnAtomicPushIsNotYetThere) {
  PushFrame push = PushAt(1, 0, 0);
  push.atomicity = Atomicity::kAll;
  EXPECT_THAT(harness.PushReply(fast, harness.Send(fast, push)).reason, HasSubstr("not yet"));
}

TEST_F(ShardSspTest, ANewEpochEndsTheWaitsAndBeginsAtClockZero) {
  const uint64_t pull = Pull(fast, 0, 9);
  ASSERT_TRUE(harness.Install(2).ok());
  EXPECT_EQ(harness.ErrorReply(fast, pull).outcome, Outcome::kMoved);
  EXPECT_EQ(Push(fast, 1, 0, 0).outcome, Outcome::kApplied);
}

TEST_F(ShardSspTest, ASessionThatClosesWhileItWaitsIsForgotten) {
  Pull(fast, 0, 9);
  harness.Disconnect(fast);
  FinishStep(slow, 0, 0);
  EXPECT_EQ(harness.shard.status().waits_for, "");
}

// Whatever the order of pushes, jobs, losses and returns: an applied push is within the bound.
TEST(ShardSspBoundTest, NoAppliedPushAndNoReadExceedsItHoweverJobsAreShuffled) {
  constexpr uint64_t kBound = 2;
  constexpr uint32_t kWorkers = 4;
  ShardHarness harness{Ssp(kBound, kWorkers)};
  harness.jobs_run_at_once = false;
  std::vector<uint64_t> sessions, sequences(kWorkers, 0);
  for (uint32_t worker = 0; worker < kWorkers; ++worker)
    sessions.push_back(harness.Connect(worker));
  std::vector<std::vector<uint64_t>> clock(kWorkers, std::vector<uint64_t>(kSlices, 0));
  const auto slowest = [&](uint32_t slice) {
    uint64_t least = clock[0][slice];
    for (const auto& its : clock) least = std::min(least, its[slice]);
    return least;
  };
  struct Out {
    uint32_t worker;
    uint32_t slice;
    uint64_t request;
    uint64_t step;
  };
  std::vector<Out> out;
  uint64_t applied = 0;
  for (int round = 0; round < 4000; ++round) {
    const uint32_t worker = harness.random() % kWorkers;
    const uint32_t slice = harness.random() % kSlices;
    const uint64_t step = *std::min_element(clock[worker].begin(), clock[worker].end());
    const bool busy = std::any_of(out.begin(), out.end(), [&](const Out& at) {
      return at.worker == worker && at.slice == slice;
    });
    if (!busy && clock[worker][slice] == step) {
      PushFrame push = harness.PushOf(worker, ++sequences[worker], slice, 1.0f);
      push.step = step;
      push.lowest_pending = sequences[worker] > 8 ? sequences[worker] - 8 : 0;
      push.want_values = true;
      out.push_back({worker, slice, harness.Send(sessions[worker], push), step});
    }
    if (harness.random() % 3 == 0) harness.RunOneJob();
    for (size_t i = 0; i < out.size();) {
      const Out at = out[i];
      if (!harness.HasAnswer(sessions[at.worker], at.request)) {
        ++i;
        continue;
      }
      const PushReplyFrame reply = harness.PushReply(sessions[at.worker], at.request);
      if (reply.outcome == Outcome::kApplied) {
        ++applied;
        EXPECT_LE(at.step, slowest(at.slice) + kBound);
        clock[at.worker][at.slice] = at.step + 1;
        EXPECT_TRUE(reply.count == 0 || at.step + 1 <= slowest(at.slice) + kBound);
      }
      out.erase(out.begin() + i);
    }
  }
  EXPECT_GT(applied, 500u);
}

}  // namespace
}  // namespace weir
