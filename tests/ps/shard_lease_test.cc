// SPDX-License-Identifier: Apache-2.0
// A shard whose lease is over.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/ps/shard_harness.h"

namespace weir {
namespace {

using ::testing::HasSubstr;

constexpr absl::Duration kLease = absl::Seconds(10);

class ShardLeaseTest : public testing::Test {
 protected:
  ShardLeaseTest() { Renew(); }

  void Renew() {
    Effects effects;
    harness.shard.SetLease(harness.now + kLease, harness.now, &effects);
    EXPECT_TRUE(effects.empty());
  }
  // Time that passes without an event, as while the process is stopped.
  void Stop(absl::Duration time) { harness.now += time; }

  bool IsClosed(uint64_t session) {
    const absl::Status status = harness.CloseStatus(session);
    return absl::IsUnavailable(status) &&
           std::string(status.message()).find("the lease of shard 0 is over") != std::string::npos;
  }

  ShardHarness harness;
};

TEST_F(ShardLeaseTest, WithoutALeaseNoneIsJudged) {
  ShardHarness lone;
  const uint64_t session = lone.Connect(0);
  lone.Pass(absl::Hours(1000));
  EXPECT_EQ(lone.PushReply(session, lone.Send(session, lone.PushOf(0, 1, 0, 1))).outcome,
            Outcome::kApplied);
  EXPECT_FALSE(lone.shard.status().lapsed);
}

TEST_F(ShardLeaseTest, AFrameThatWaitedThroughTheLeaseIsNotAdmitted) {
  const uint64_t session = harness.Connect(0);
  Stop(kLease);
  const uint64_t push = harness.Send(session, harness.PushOf(0, 1, 0, 1));
  EXPECT_FALSE(harness.HasAnswer(session, push));
  EXPECT_TRUE(IsClosed(session));
  EXPECT_EQ(harness.Version(0), 0u);
  EXPECT_EQ(harness.shard.totals().applied, 0u);
  EXPECT_TRUE(harness.shard.status().lapsed);
  EXPECT_FALSE(harness.shard.status().serving);
}

TEST_F(ShardLeaseTest, AJobThatEndsAfterTheLeaseIsNotCommitted) {
  const uint64_t session = harness.Connect(0);
  harness.jobs_run_at_once = false;
  const uint64_t push = harness.Send(session, harness.PushOf(0, 1, 0, 1));
  Stop(kLease);
  harness.RunJobs();
  EXPECT_EQ(harness.Version(0), 0u);
  EXPECT_FALSE(harness.HasAnswer(session, push));
  EXPECT_TRUE(IsClosed(session));
}

TEST_F(ShardLeaseTest, WhoeverWaitsIsClosedWhenTheLeaseEndsThoughNothingComes) {
  const uint64_t session = harness.Connect(0);
  const uint64_t pull =
      harness.Send(session, harness.PullOf(0, PullCondition::kStep, /*version=*/1), 30000);
  EXPECT_LE(harness.shard.NextDeadline(), harness.now + kLease);
  harness.Pass(kLease);
  EXPECT_TRUE(IsClosed(session));
  EXPECT_FALSE(harness.HasAnswer(session, pull));
  EXPECT_EQ(harness.shard.NextDeadline(), absl::InfiniteFuture());
}

TEST_F(ShardLeaseTest, ALeaseThatIsRenewedInTimeGoesOn) {
  const uint64_t session = harness.Connect(0);
  for (uint64_t sequence = 1; sequence <= 5; ++sequence) {
    harness.Pass(kLease - absl::Milliseconds(1));
    Renew();
    const uint64_t push = harness.Send(session, harness.PushOf(0, sequence, sequence % 4, 1));
    PushReplyFrame reply = harness.PushReply(session, push);
    EXPECT_NE(reply.outcome, Outcome::kUnspecified) << sequence;
  }
  EXPECT_FALSE(harness.shard.status().lapsed);
}

TEST_F(ShardLeaseTest, ALeaseThatComesTooLateChangesNothing) {
  const uint64_t session = harness.Connect(0);
  Stop(kLease);
  Effects effects;
  harness.shard.SetLease(harness.now + kLease, harness.now, &effects);
  EXPECT_EQ(effects.closes.size(), 1u);
  harness.Send(session, harness.PushOf(0, 1, 0, 1));
  EXPECT_EQ(harness.Version(0), 0u);
  EXPECT_TRUE(harness.shard.status().lapsed);
}

TEST_F(ShardLeaseTest, WhoConnectsAfterwardsIsTurnedAwayAndALayoutIsRefused) {
  Stop(kLease);
  EXPECT_TRUE(IsClosed(harness.Open()));
  const absl::Status status = harness.Install(/*epoch=*/9);
  EXPECT_TRUE(absl::IsFailedPrecondition(status));
  EXPECT_THAT(std::string(status.message()), HasSubstr("the lease of shard 0 is over"));
}

TEST_F(ShardLeaseTest, ALayoutsFirstWeightsThatAreReadyTooLateAreNotTaken) {
  ShardHarness::Options options;
  options.install = false;
  ShardHarness late(options);
  late.jobs_run_at_once = false;
  Effects effects;
  late.shard.SetLease(late.now + kLease, late.now, &effects);
  ASSERT_TRUE(late.Install(1).ok());
  late.now += kLease;
  late.RunJobs();
  EXPECT_FALSE(late.shard.status().serving);
}

}  // namespace
}  // namespace weir
