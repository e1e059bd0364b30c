// SPDX-License-Identifier: Apache-2.0
// The limits and credits of a shard's sessions: what is beyond them closes the session and no
// other.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/ps/shard_harness.h"

namespace weir {
namespace {

using ::testing::HasSubstr;

TEST(ShardCreditTest, SessionsBeyondTheLimitAreClosed) {
  ShardHarness::Options options;
  options.shard.limits.max_sessions = 2;
  ShardHarness harness(options);
  const uint64_t a = harness.Connect(1);
  harness.Connect(2);
  const uint64_t c = harness.Open();
  EXPECT_EQ(harness.CloseStatus(c).code(), absl::StatusCode::kResourceExhausted);
  harness.Disconnect(c);
  harness.Disconnect(a);
  EXPECT_TRUE(harness.CloseStatus(harness.Connect(3)).ok());
}

TEST(ShardCreditTest, WorkersBeyondTheLimitAreClosed) {
  ShardHarness::Options options;
  options.shard.limits.max_workers = 1;
  ShardHarness harness(options);
  harness.Connect(1);
  EXPECT_EQ(harness.CloseStatus(harness.Connect(2)).code(), absl::StatusCode::kResourceExhausted);
}

class ShardBoundTest : public testing::Test {
 protected:
  static ShardHarness::Options Small() {
    ShardHarness::Options options;
    options.shard.gradient_shards = 2;
    options.shard.limits.max_requests = 3;
    options.shard.limits.max_push_bytes = 128;  // two slices
    options.shard.limits.max_reply_bytes = 256;
    return options;
  }
  ShardHarness harness{Small()};
};

TEST_F(ShardBoundTest, MoreRequestsThanTheCreditCloseTheSessionAndTheOthersGoOn) {
  ShardHarness::Options options = Small();
  options.shard.mode = ConsistencyMode::kAsp;  // states no more than it is given
  ShardHarness harness(options);
  const uint64_t other = harness.Connect(2);
  const uint64_t session = harness.Connect(1);
  harness.jobs_run_at_once = false;  // nothing is answered
  PushFrame skip = harness.PushOf(1, 1, 0, 0.0f);
  skip.gradient = Payload();
  const auto push = [&] {
    ++skip.sequence;
    harness.Send(session, skip);
  };
  harness.Send(session, harness.PushOf(1, 1, 0, 1.0f));
  for (int i = 0; i < 2; ++i) push();
  EXPECT_TRUE(harness.CloseStatus(session).ok());
  push();
  EXPECT_EQ(harness.CloseStatus(session).code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(harness.PullReply(other, harness.Send(other, harness.PullOf(0))).version, 0u);
}

TEST_F(ShardBoundTest, MorePushedBytesThanTheCreditCloseTheSession) {
  const uint64_t session = harness.Connect(1);
  harness.jobs_run_at_once = false;  // nothing is released
  harness.Send(session, harness.PushOf(1, 1, 0, 1.0f));
  harness.Send(session, harness.PushOf(1, 1, 1, 1.0f));
  EXPECT_TRUE(harness.CloseStatus(session).ok());
  harness.Send(session, harness.PushOf(1, 1, 2, 1.0f));
  EXPECT_EQ(harness.CloseStatus(session).code(), absl::StatusCode::kResourceExhausted);
}

TEST_F(ShardBoundTest, MoreAnswersThanTheCreditCloseTheSession) {
  const uint64_t session = harness.Connect(1);
  SyncFrame sync;
  sync.at_step = true;
  sync.step = 1;
  harness.Send(session, sync);  // all four slices
  EXPECT_TRUE(harness.CloseStatus(session).ok());
  harness.Send(session, harness.PullOf(0));
  EXPECT_EQ(harness.CloseStatus(session).code(), absl::StatusCode::kResourceExhausted);
}

TEST(ShardRequestsTest, AStepOfBspFitsWhatTheShardStates) {
  ShardOptions options;
  EXPECT_EQ(StatedMaxRequests(options, 10), 4096u);
  EXPECT_EQ(StatedMaxRequests(options, 5000), 5000u * 2 + 16) << "its pushes, and its pulls";
  options.gradient_shards = 6;  // three levels
  EXPECT_EQ(StatedMaxRequests(options, 5000), 5000u * 7 + 16);
  EXPECT_EQ(StatedMaxRequests(options, 100000), kMostRequests);
  options.limits.max_requests = 200000;
  EXPECT_EQ(StatedMaxRequests(options, 100000), 200000u);
  options.limits.max_requests = 5;
  options.mode = ConsistencyMode::kAsp;  // no push waits for another
  EXPECT_EQ(StatedMaxRequests(options, 5000), 5u);
}

TEST(ShardRequestsTest, TheShardStatesAndKeepsToWhatItsLayoutNeeds) {
  ShardHarness::Options options;
  options.shard.gradient_shards = 2;
  options.shard.limits.max_requests = 3;
  ShardHarness harness(options);
  const uint64_t stated = 4 * 3 + 16;
  const uint64_t session = harness.Open();
  const std::vector<ServerFrame> answer =
      harness.Answers(session, harness.Send(session, harness.HelloOf(1)));
  ASSERT_EQ(answer.size(), 1u);
  EXPECT_EQ(std::get<HelloReplyFrame>(answer[0].kind).max_requests, stated);
  for (uint64_t i = 0; i < stated; ++i)
    harness.Send(session, harness.PullOf(0, PullCondition::kStep, 1));
  EXPECT_TRUE(harness.CloseStatus(session).ok());
  harness.Send(session, harness.PullOf(0));
  EXPECT_EQ(harness.CloseStatus(session).code(), absl::StatusCode::kResourceExhausted);
}

TEST(ShardRequestsTest, WhoSaidHelloBeforeALayoutThatAllowsMoreSaysItAgain) {
  ShardHarness::Options options;
  options.install = false;
  options.shard.limits.max_requests = 3;
  ShardHarness harness(options);
  const uint64_t early = harness.Connect(1);
  ASSERT_TRUE(harness.Install(1).ok());
  EXPECT_EQ(harness.CloseStatus(early).code(), absl::StatusCode::kUnavailable);
  const uint64_t late = harness.Connect(1, 1, /*nonce=*/2);
  ASSERT_TRUE(harness.Install(2).ok());
  EXPECT_TRUE(harness.CloseStatus(late).ok()) << "it was told as much";
}

TEST(ShardRequestsTest, AFloodOfConditionalPullsWithoutReadingIsClosed) {
  ShardHarness::Options options;
  options.shard.limits.max_requests = 50;
  ShardHarness harness(options);
  const uint64_t session = harness.Connect(1);
  harness.frames_are_taken_at_once = false;
  PullFrame pull = harness.PullOf(0, PullCondition::kHave, 0);
  pull.offset = pull.count = 0;  // all four slices
  uint64_t pulls = 0;
  while (harness.CloseStatus(session).ok() && pulls < 1000) {
    harness.Send(session, pull);
    ++pulls;
  }
  EXPECT_EQ(harness.CloseStatus(session).code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(harness.CloseStatus(session).message()), HasSubstr("wait to be read"));
  EXPECT_EQ(pulls, 26u) << "two times fifty answers";
}

TEST_F(ShardBoundTest, ASyncOfManySlicesThatAreNotYetReadLeavesRoomForOtherRequests) {
  ShardHarness::Options options = Small();
  options.tensors = {{"w", {16 * 20}, {}}};  // twenty slices, three requests
  options.shard.limits.max_reply_bytes = 64 * 20;
  ShardHarness wide(options);
  wide.frames_are_taken_at_once = false;
  const uint64_t session = wide.Connect(1);
  EXPECT_EQ(wide.Answers(session, wide.Send(session, SyncFrame())).size(), 20u);
  EXPECT_EQ(wide.Answers(session, wide.Send(session, wide.PullOf(0))).size(), 1u);
  EXPECT_TRUE(wide.CloseStatus(session).ok()) << wide.CloseStatus(session);
}

TEST_F(ShardBoundTest, AHeldPushHoldsNoPayloadCreditAndTheClientIsToldOfIt) {
  const uint64_t session = harness.Connect(1);
  for (uint32_t slice = 0; slice < 2; ++slice)
    harness.Send(session, harness.PushOf(1, 1, slice, 1.0f));
  EXPECT_EQ(harness.last_released, 128u);  // both are held, both are released
  EXPECT_GT(harness.credit_frames, 0u);
  harness.Send(session, harness.PushOf(1, 1, 2, 1.0f));
  EXPECT_TRUE(harness.CloseStatus(session).ok());
}

TEST_F(ShardBoundTest, RefusedPushesGiveTheirCreditBack) {
  const uint64_t session = harness.Connect(1);
  for (int i = 0; i < 20; ++i) {
    PushFrame push = harness.PushOf(1, static_cast<uint64_t>(i + 1), 0, 1.0f);
    if (i % 2 == 0) push.tensor_id = 77;
    if (i % 2 == 1) push.step = push.base_version = 9;
    EXPECT_EQ(harness.PushReply(session, harness.Send(session, push)).outcome, Outcome::kInvalid);
  }
  EXPECT_EQ(harness.last_released, 20u * 64);
  EXPECT_TRUE(harness.CloseStatus(session).ok());
}

TEST_F(ShardBoundTest, WhatAClosedSessionHadQueuedNeverHappened) {
  const uint64_t session = harness.Connect(1);
  harness.jobs_run_at_once = false;
  PushFrame first = harness.PushOf(1, 1, 0, 1.0f);
  PushFrame second = harness.PushOf(1, 2, 0, 1.0f);
  second.first_part = 1;
  harness.Send(session, first);
  harness.Send(session, second);
  harness.Disconnect(session);
  harness.RunJobs();
  EXPECT_EQ(harness.Version(0), 0u);  // the first is held, the second is not
  const uint64_t again = harness.Connect(1, 1, 2);
  harness.jobs_run_at_once = true;
  harness.Send(again, second);
  EXPECT_EQ(harness.Version(0), 1u);
}

}  // namespace
}  // namespace weir
