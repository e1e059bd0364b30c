// SPDX-License-Identifier: Apache-2.0
// Asynchronous pushes: each a version of its own, within the bound.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <map>

#include "tests/ps/shard_harness.h"

namespace weir {
namespace {

using ::testing::HasSubstr;

ShardHarness::Options Asp(std::optional<uint64_t> max_staleness) {
  ShardHarness::Options options;
  options.shard.mode = ConsistencyMode::kAsp;
  options.shard.max_staleness = max_staleness;
  options.shard.schedule.base_rate = 1;
  return options;
}

class ShardAspTest : public testing::Test {
 protected:
  ShardHarness harness{Asp(1)};
  uint64_t worker = harness.Connect(1);
};

TEST_F(ShardAspTest, EveryPushIsAVersion) {
  for (uint64_t sequence = 1; sequence <= 3; ++sequence) {
    const PushReplyFrame reply =
        harness.PushReply(worker, harness.Send(worker, harness.PushOf(1, sequence, 0, 2.0f)));
    EXPECT_EQ(reply.outcome, Outcome::kApplied);
    EXPECT_EQ(reply.version, sequence);
  }
  EXPECT_EQ(harness.Weight(0), -6.0f);
  EXPECT_EQ(harness.shard.totals().applied, 3u);
  EXPECT_EQ(harness.shard.status().waits_for, "");
}

TEST_F(ShardAspTest, BytesOfGradientsAndThoseCopiedOnTheWayAreCounted) {
  PushFrame push = harness.PushOf(1, 1, 0, 2.0f);
  const uint64_t bytes = push.gradient.size();
  harness.Send(worker, push);
  EXPECT_EQ(harness.shard.totals().payload_bytes, bytes);
  EXPECT_EQ(harness.shard.totals().payload_bytes_copied, 0u);
  push.sequence = 2;
  push.gradient.CountCopied(bytes);  // as by the parser of frames in another order
  harness.Send(worker, push);
  EXPECT_EQ(harness.shard.totals().payload_bytes, 2 * bytes);
  EXPECT_EQ(harness.shard.totals().payload_bytes_copied, bytes);
}

TEST_F(ShardAspTest, ASequenceBeyondAnyThatGrowsByOneIsInvalid) {
  for (const uint64_t sequence : {~uint64_t{0}, uint64_t{1} << 63}) {
    const PushReplyFrame reply =
        harness.PushReply(worker, harness.Send(worker, harness.PushOf(1, sequence, 0, 2.0f)));
    EXPECT_EQ(reply.outcome, Outcome::kInvalid);
    EXPECT_NE(reply.reason.find("sequence"), std::string::npos) << reply.reason;
  }
  EXPECT_EQ(harness.Weight(0), 0.0f);
  const uint64_t last = (uint64_t{1} << 63) - 1;
  EXPECT_EQ(
      harness.PushReply(worker, harness.Send(worker, harness.PushOf(1, last, 0, 2.0f))).outcome,
      Outcome::kApplied);
}

TEST_F(ShardAspTest, APushSentAgainIsADuplicateAndCountsOnce) {
  PushFrame push = harness.PushOf(1, 1, 0, 2.0f);
  push.want_values = true;
  harness.Send(worker, push);
  const uint64_t reconnected = harness.Connect(1, 1, 2);
  const PushReplyFrame reply = harness.PushReply(reconnected, harness.Send(reconnected, push));
  EXPECT_EQ(reply.outcome, Outcome::kDuplicate);
  EXPECT_EQ(reply.first, Outcome::kApplied);
  EXPECT_EQ(reply.version, 1u);
  EXPECT_EQ(Floats(reply.tensor_data)[0], -2.0f);
  EXPECT_EQ(harness.Version(0), 1u);
  EXPECT_EQ(harness.Weight(0), -2.0f);
  EXPECT_EQ(harness.shard.totals().duplicate, 1u);
}

TEST_F(ShardAspTest, APushSentAgainWhileItsJobIsOutCountsOnce) {
  harness.jobs_run_at_once = false;
  const PushFrame push = harness.PushOf(1, 1, 0, 2.0f);
  const uint64_t first = harness.Send(worker, push);
  const uint64_t again = harness.Send(worker, push);
  harness.RunJobs();
  EXPECT_EQ(harness.PushReply(worker, first).outcome, Outcome::kApplied);
  EXPECT_EQ(harness.PushReply(worker, again).outcome, Outcome::kDuplicate);
  EXPECT_EQ(harness.Version(0), 1u);
}

TEST_F(ShardAspTest, BeyondTheBoundAPushIsStaleAndBringsFreshValues) {
  PushFrame late = harness.PushOf(1, 3, 0, 2.0f);
  late.want_values = true;
  PushFrame in_time = harness.PushOf(1, 2, 0, 2.0f);
  harness.Send(worker, harness.PushOf(1, 1, 0, 2.0f));
  EXPECT_EQ(harness.PushReply(worker, harness.Send(worker, in_time)).outcome, Outcome::kApplied);
  const PushReplyFrame reply = harness.PushReply(worker, harness.Send(worker, late));
  EXPECT_EQ(reply.outcome, Outcome::kStale);
  EXPECT_EQ(reply.version, 2u);
  EXPECT_EQ(Floats(reply.tensor_data)[0], -4.0f);
  EXPECT_EQ(harness.Version(0), 2u);
  EXPECT_EQ(harness.PushReply(worker, harness.Send(worker, late)).first, Outcome::kStale);
}

TEST_F(ShardAspTest, TheBoundIsToldInTheHello) {
  const uint64_t session = harness.Open();
  const std::vector<ServerFrame> answers =
      harness.Answers(session, harness.Send(session, harness.HelloOf(9)));
  const auto& reply = std::get<HelloReplyFrame>(answers[0].kind);
  EXPECT_TRUE(reply.has_max_staleness);
  EXPECT_EQ(reply.max_staleness, 1u);
  EXPECT_EQ(reply.mode, 2u);
}

TEST_F(ShardAspTest, AnAtomicPushIsNotYetThere) {
  PushFrame push = harness.PushOf(1, 1, 0, 2.0f);
  push.atomicity = Atomicity::kUnspecified;
  const PushReplyFrame reply = harness.PushReply(worker, harness.Send(worker, push));
  EXPECT_EQ(reply.outcome, Outcome::kInvalid);
  EXPECT_THAT(reply.reason, HasSubstr("not yet"));
}

TEST_F(ShardAspTest, ReadingAtAStepIsInvalid) {
  EXPECT_THAT(
      harness.ErrorReply(worker, harness.Send(worker, harness.PullOf(0, PullCondition::kStep, 0)))
          .reason,
      HasSubstr("of bsp"));
  SyncFrame sync;
  sync.at_step = true;
  EXPECT_THAT(harness.ErrorReply(worker, harness.Send(worker, sync)).reason, HasSubstr("of bsp"));
}

TEST_F(ShardAspTest, PoisonStaysOut) {
  PushFrame push = harness.PushOf(1, 1, 0, std::numeric_limits<float>::infinity());
  push.want_values = true;
  const PushReplyFrame reply = harness.PushReply(worker, harness.Send(worker, push));
  EXPECT_EQ(reply.outcome, Outcome::kInvalid);
  EXPECT_THAT(reply.reason, HasSubstr("non-finite"));
  EXPECT_EQ(harness.Version(0), 0u);
  EXPECT_EQ(harness.Weights(0), std::vector<float>(16, 0.0f));
}

TEST_F(ShardAspTest, ASkipIsAVersionThatChangesNothing) {
  PushFrame push = harness.PushOf(1, 1, 0, 2.0f);
  push.examples = 0;
  EXPECT_EQ(harness.PushReply(worker, harness.Send(worker, push)).version, 1u);
  EXPECT_EQ(harness.Weight(0), 0.0f);
}

TEST_F(ShardAspTest, APushMayOverrideTheLearningRate) {
  PushFrame push = harness.PushOf(1, 1, 0, 2.0f);
  push.learning_rate = 0.25;
  push.examples = 2;
  harness.Send(worker, push);
  EXPECT_EQ(harness.Weight(0), -0.25f);
}

TEST_F(ShardAspTest, TheScheduleCountsVersions) {
  ShardHarness::Options options = Asp(std::nullopt);
  options.shard.schedule.type = ScheduleType::kStep;
  options.shard.schedule.every = 2;
  options.shard.schedule.gamma = 0.5;
  ShardHarness stepped(options);
  const uint64_t session = stepped.Connect(1);
  for (uint64_t sequence = 1; sequence <= 4; ++sequence)
    stepped.Send(session, stepped.PushOf(1, sequence, 0, 1.0f));
  EXPECT_EQ(stepped.Weight(0), -3.0f);  // 1 + 1 + 1/2 + 1/2
}

// Workers push from bases of every age, jobs end in any order: no applied push exceeds the bound,
// each counts once.
TEST_F(ShardAspTest, TheBoundIsNeverExceededHoweverJobsAreShuffled) {
  for (uint64_t seed = 1; seed <= 30; ++seed) {
    const uint64_t bound = seed % 4;
    ShardHarness shuffled(Asp(bound));
    shuffled.jobs_run_at_once = false;
    shuffled.RunJobs();
    shuffled.random.seed(seed);
    std::vector<uint64_t> sessions;
    for (uint64_t id = 0; id < 4; ++id) sessions.push_back(shuffled.Connect(id));
    struct Sent {
      uint64_t session, request, base;
    };
    std::vector<Sent> sent;
    for (uint64_t i = 0; i < 200; ++i) {
      const uint64_t who = shuffled.random() % 4;
      PushFrame push =
          shuffled.PushOf(who, i + 1, static_cast<uint32_t>(shuffled.random() % 4), 1.0f);
      sent.push_back({sessions[who], 0, push.base_version});
      sent.back().request = shuffled.Send(sessions[who], push);
      if (shuffled.random() % 2 == 0) shuffled.RunOneJob();
    }
    shuffled.RunJobs();
    std::map<Outcome, uint64_t> outcomes;
    for (const Sent& push : sent) {
      const PushReplyFrame reply = shuffled.PushReply(push.session, push.request);
      ++outcomes[reply.outcome];
      if (reply.outcome == Outcome::kApplied) {
        EXPECT_LE(reply.version - 1 - push.base, bound);
      } else {
        EXPECT_EQ(reply.outcome, Outcome::kStale);
        EXPECT_GT(reply.version - push.base, bound);
      }
    }
    EXPECT_GT(outcomes[Outcome::kApplied], 0u);
    if (bound == 0) {
      EXPECT_GT(outcomes[Outcome::kStale], 0u);
    }
    uint64_t versions = 0;
    float weights = 0;
    for (uint32_t slice = 0; slice < 4; ++slice) {
      versions += shuffled.Version(slice);
      weights += shuffled.Weight(slice);
    }
    EXPECT_EQ(versions, outcomes[Outcome::kApplied]);
    EXPECT_EQ(weights, -static_cast<float>(versions));
    EXPECT_EQ(shuffled.shard.totals().applied, outcomes[Outcome::kApplied]);
    EXPECT_EQ(shuffled.shard.totals().stale, outcomes[Outcome::kStale]);
  }
}

}  // namespace
}  // namespace weir
