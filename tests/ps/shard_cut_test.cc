// SPDX-License-Identifier: Apache-2.0
// Cuts, and a shard that begins with one.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <limits>

#include "tests/ps/shard_harness.h"

namespace weir {
namespace {

using ::testing::HasSubstr;

constexpr uint32_t kSlices = 4;  // of the harness's tensor, 16 elements each

// Momentum, so that there is state; rate 1, one part a step.
ShardHarness::Options Bsp() {
  ShardHarness::Options options;
  options.shard.epoch = 5;
  options.shard.gradient_shards = 1;
  options.shard.schedule.base_rate = 1;
  options.shard.optimizer.type = OptimizerType::kMomentum;
  return options;
}

ShardHarness::Options Asp() {
  ShardHarness::Options options = Bsp();
  options.shard.mode = ConsistencyMode::kAsp;
  return options;
}

// What a checkpoint of `cut` would give back.
ShardRestore RestoreOf(const ShardCut& cut) {
  const auto copy = [](const Buffer& buffer) {
    const auto bytes = std::make_shared<std::string>(buffer.data(), buffer.size());
    Payload payload;
    payload.Append(bytes->data(), bytes->size(), bytes);
    return payload;
  };
  ShardRestore restore;
  restore.number = cut.number;
  restore.workers = cut.workers;
  for (const CutSlice& slice : cut.slices) {
    restore.slices.emplace_back();
    restore.slices.back().version = slice.version;
    restore.slices.back().weights = copy(slice.weights);
    for (size_t i = 0; i < slice.state.size(); ++i) {
      if (slice.state[i]) restore.slices.back().state[i] = copy(slice.state[i]);
    }
  }
  return restore;
}

class ShardCutTest : public testing::Test {
 protected:
  // Step `version` + 1 of one slice, with a gradient of its own for each step.
  static void PushSlice(ShardHarness* harness, uint64_t session, uint32_t slice) {
    const uint64_t version = harness->Version(slice);
    PushFrame push = harness->PushOf(1, 1000 * (slice + 1) + version, slice,
                                     static_cast<float>(1 + version + slice));
    push.batch = version;
    const PushReplyFrame reply = harness->PushReply(session, harness->Send(session, push));
    EXPECT_EQ(reply.outcome, Outcome::kApplied) << reply.reason;
  }
  static void Steps(ShardHarness* harness, uint64_t session, int steps) {
    for (int step = 0; step < steps; ++step) {
      for (uint32_t slice = 0; slice < kSlices; ++slice) PushSlice(harness, session, slice);
    }
  }
};

TEST_F(ShardCutTest, InBspACutIsOfTheStepAskedForThoughTheShardIsNotThereYet) {
  ShardHarness harness(Bsp());
  const uint64_t worker = harness.Connect(1);
  ASSERT_TRUE(harness.Cut(2).ok());
  Steps(&harness, worker, 1);
  EXPECT_TRUE(harness.cuts.empty());
  Steps(&harness, worker, 1);
  ASSERT_EQ(harness.cuts.size(), 1u);
  const ShardCut& cut = *harness.cuts[0];
  EXPECT_EQ(cut.number, 2u);
  EXPECT_EQ(cut.epoch, 5u);
  ASSERT_EQ(cut.slices.size(), kSlices);
  for (uint32_t slice = 0; slice < kSlices; ++slice) {
    EXPECT_EQ(cut.slices[slice].version, 2u);
    EXPECT_EQ(cut.slices[slice].spec.offset, slice * 16u);
    EXPECT_EQ(cut.slices[slice].weights.floats()[0], harness.Weight(slice));
  }
  Steps(&harness, worker, 2);
  EXPECT_EQ(harness.cuts.size(), 1u);
}

TEST_F(ShardCutTest, ACutHoldsItsStepThoughSlicesAreAheadOfOthersWhenItIsAskedForAndWhenItIsWhole) {
  ShardHarness harness(Bsp());
  const uint64_t worker = harness.Connect(1);
  Steps(&harness, worker, 1);
  PushSlice(&harness, worker, 0);
  const float at_two = harness.Weight(0);
  ASSERT_TRUE(harness.Cut(2).ok());
  PushSlice(&harness, worker, 0);  // a client that does not wait for the other slices
  for (uint32_t slice = 1; slice < kSlices; ++slice) PushSlice(&harness, worker, slice);
  ASSERT_EQ(harness.cuts.size(), 1u);
  EXPECT_EQ(harness.cuts[0]->slices[0].version, 2u);
  EXPECT_EQ(harness.cuts[0]->slices[0].weights.floats()[0], at_two);
  EXPECT_NE(harness.Weight(0), at_two);
}

TEST_F(ShardCutTest, ThereIsOneCutAtATimeAndItCanBeGivenUp) {
  ShardHarness harness(Bsp());
  const uint64_t worker = harness.Connect(1);
  ASSERT_TRUE(harness.Cut(2).ok());
  EXPECT_EQ(harness.Cut(3).code(), absl::StatusCode::kFailedPrecondition);
  harness.CutDone();  // given up before it was whole
  Steps(&harness, worker, 2);
  EXPECT_TRUE(harness.cuts.empty());
  ASSERT_TRUE(harness.Cut(3).ok());
  Steps(&harness, worker, 1);
  ASSERT_EQ(harness.cuts.size(), 1u);
  EXPECT_EQ(harness.Cut(4).code(), absl::StatusCode::kFailedPrecondition);  // the first is out
  harness.CutDone();
  EXPECT_TRUE(harness.Cut(4).ok());
}

TEST_F(ShardCutTest, ANewLayoutEndsACutThatIsNotWhole) {
  ShardHarness harness(Bsp());
  ASSERT_TRUE(harness.Cut(2).ok());
  ASSERT_TRUE(harness.Install(6).ok());
  Steps(&harness, harness.Connect(1, /*incarnation=*/2), 2);
  EXPECT_TRUE(harness.cuts.empty());
  EXPECT_TRUE(harness.Cut(3).ok());
}

TEST_F(ShardCutTest, ARestoredShardGoesOnWithTheSameBits) {
  ShardHarness calm(Bsp());
  const uint64_t worker = calm.Connect(1);
  Steps(&calm, worker, 2);
  ASSERT_TRUE(calm.Cut(2).ok());
  ASSERT_EQ(calm.cuts.size(), 1u);
  Steps(&calm, worker, 3);

  ShardHarness fresh([] {
    ShardHarness::Options options = Bsp();
    options.install = false;
    return options;
  }());
  ASSERT_TRUE(fresh.InstallRestored(6, RestoreOf(*calm.cuts[0])).ok());
  EXPECT_TRUE(fresh.shard.status().serving);
  EXPECT_EQ(fresh.shard.status().step, 2u);
  Steps(&fresh, fresh.Connect(1, /*incarnation=*/2), 3);
  for (uint32_t slice = 0; slice < kSlices; ++slice) {
    EXPECT_EQ(fresh.Version(slice), calm.Version(slice));
    EXPECT_EQ(fresh.Weights(slice), calm.Weights(slice));
  }
}

TEST_F(ShardCutTest, AShardThatServedGoesBackToACutAndTellsWhoWaitsThatItMoved) {
  ShardHarness harness(Bsp());
  const uint64_t worker = harness.Connect(1);
  Steps(&harness, worker, 2);
  ASSERT_TRUE(harness.Cut(2).ok());
  const std::vector<float> at_two = harness.Weights(1);
  Steps(&harness, worker, 1);
  PullFrame ahead = harness.PullOf(0, PullCondition::kStep, 4);
  const uint64_t waits = harness.Send(worker, ahead);
  EXPECT_FALSE(harness.HasAnswer(worker, waits));
  ASSERT_TRUE(harness.InstallRestored(6, RestoreOf(*harness.cuts[0])).ok());
  EXPECT_EQ(harness.ErrorReply(worker, waits).outcome, Outcome::kMoved);
  EXPECT_EQ(harness.Version(1), 2u);
  EXPECT_EQ(harness.Weights(1), at_two);
}

TEST_F(ShardCutTest, InAspACutIsTakenWhenItIsAskedForAndKeepsWhatIsKnownOfWorkers) {
  ShardHarness harness(Asp());
  const uint64_t worker = harness.Connect(1);
  Steps(&harness, worker, 3);
  EXPECT_TRUE(harness.cuts.empty());
  PutStateFrame put;
  put.sequence = 7;
  put.state.Append("abc", 3, nullptr);
  harness.Send(worker, put);
  PushSlice(&harness, worker, 2);
  ASSERT_TRUE(harness.Cut(1).ok());
  ASSERT_EQ(harness.cuts.size(), 1u);
  const ShardCut& cut = *harness.cuts[0];
  EXPECT_EQ(cut.slices[0].version, 3u);
  EXPECT_EQ(cut.slices[2].version, 4u);
  ASSERT_EQ(cut.workers.size(), 1u);
  EXPECT_EQ(cut.workers[0].worker, 1u);
  EXPECT_EQ(cut.workers[0].incarnation, 1u);
  EXPECT_EQ(cut.workers[0].next_batch, 4u);
  EXPECT_EQ(cut.workers[0].state_sequence, 7u);

  ShardHarness fresh([] {
    ShardHarness::Options options = Asp();
    options.install = false;
    return options;
  }());
  ASSERT_TRUE(fresh.InstallRestored(6, RestoreOf(cut)).ok());
  EXPECT_EQ(fresh.Version(2), 4u);
  HelloFrame hello = fresh.HelloOf(1);
  hello.incarnation = 2;
  const uint64_t session = fresh.Open();
  const auto answers = fresh.Answers(session, fresh.Send(session, hello));
  ASSERT_EQ(answers.size(), 1u);
  EXPECT_EQ(std::get<HelloReplyFrame>(answers[0].kind).next_batch, 4u);
  const auto state = fresh.Answers(session, fresh.Send(session, GetStateFrame()));
  ASSERT_EQ(state.size(), 1u);
  EXPECT_EQ(std::get<StateReplyFrame>(state[0].kind).sequence, 7u);
  EXPECT_EQ(std::get<StateReplyFrame>(state[0].kind).state.size(), 3u);
}

TEST_F(ShardCutTest, ACutOfAStepThatIsPastIsRefused) {
  ShardHarness harness(Bsp());
  const uint64_t worker = harness.Connect(1);
  Steps(&harness, worker, 1);
  PushSlice(&harness, worker, 2);
  const absl::Status refused = harness.Cut(1);
  EXPECT_EQ(refused.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(refused.message()), HasSubstr("is at step 2 already"));
  EXPECT_TRUE(harness.Cut(2).ok());
  ShardHarness empty([] {
    ShardHarness::Options options = Bsp();
    options.install = false;
    return options;
  }());
  EXPECT_EQ(empty.Cut(0).code(), absl::StatusCode::kFailedPrecondition);
}

TEST_F(ShardCutTest, ACutThatDoesNotFitTheLayoutChangesNothing) {
  ShardHarness harness(Bsp());
  const uint64_t worker = harness.Connect(1);
  Steps(&harness, worker, 2);
  ASSERT_TRUE(harness.Cut(2).ok());
  const ShardRestore good = RestoreOf(*harness.cuts[0]);
  ShardRestore bad = good;
  bad.slices.pop_back();
  EXPECT_THAT(std::string(harness.InstallRestored(6, bad).message()), HasSubstr("3 slices"));
  bad = good;
  bad.slices[1].state[0] = Payload();
  EXPECT_THAT(std::string(harness.InstallRestored(6, bad).message()), HasSubstr("[16, 32)"));
  bad = good;
  bad.slices[3].version = 3;
  EXPECT_THAT(std::string(harness.InstallRestored(6, bad).message()), HasSubstr("version 3"));
  EXPECT_EQ(harness.shard.status().epoch, 5u);
  EXPECT_EQ(harness.Version(0), 2u);
}

TEST_F(ShardCutTest, NanInACutIsNeverServed) {
  ShardHarness harness(Bsp());
  const uint64_t worker = harness.Connect(1);
  Steps(&harness, worker, 2);
  ASSERT_TRUE(harness.Cut(2).ok());
  for (const bool in_state : {false, true}) {
    ShardRestore bad = RestoreOf(*harness.cuts[0]);
    const auto bytes = std::make_shared<std::string>(16 * sizeof(float), '\0');
    const float nan = std::numeric_limits<float>::quiet_NaN();
    std::memcpy(&(*bytes)[12], &nan, sizeof(nan));
    Payload payload;
    payload.Append(bytes->data(), bytes->size(), bytes);
    (in_state ? bad.slices[2].state[0] : bad.slices[2].weights) = payload;
    ASSERT_TRUE(harness.InstallRestored(in_state ? 7 : 6, bad).ok());
    EXPECT_FALSE(harness.shard.status().serving);
    EXPECT_THAT(harness.shard.status().failure, HasSubstr("[32, 48)"));
  }
}

}  // namespace
}  // namespace weir
