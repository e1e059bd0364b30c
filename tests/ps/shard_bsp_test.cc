// SPDX-License-Identifier: Apache-2.0
// Synchronous pushes: parts, steps, outcomes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "tests/ps/shard_harness.h"

namespace weir {
namespace {

using ::testing::HasSubstr;

// Two parts a step, SGD with rate 1 on zeros: a step with gradients a and b of one example each
// ends at w - (a + b) / 2.
ShardHarness::Options TwoParts() {
  ShardHarness::Options options;
  options.shard.epoch = 5;
  options.shard.gradient_shards = 2;
  options.shard.schedule.base_rate = 1;
  return options;
}

class ShardBspTest : public testing::Test {
 protected:
  PushFrame PartOf(uint64_t worker, uint64_t sequence, uint32_t part, float value,
                   uint32_t slice = 0) {
    PushFrame push = harness.PushOf(worker, sequence, slice, value);
    push.first_part = part;
    return push;
  }
  uint64_t SendA(PushFrame push, uint32_t deadline_ms = 0) {
    return harness.Send(a, std::move(push), deadline_ms);
  }
  uint64_t SendB(PushFrame push) { return harness.Send(b, std::move(push)); }
  // Commits the present step of slice 0 by pushes that nobody asks about again.
  void Step() {
    SendA(PartOf(1, ++sequence_, 0, 2.0f));
    SendB(PartOf(2, sequence_, 1, 2.0f));
  }

  ShardHarness harness{TwoParts()};
  uint64_t a = harness.Connect(1);
  uint64_t b = harness.Connect(2);
  uint64_t sequence_ = 100;
};

TEST_F(ShardBspTest, AStepCommitsWhenAllItsPartsAreIn) {
  const uint64_t first = SendA(PartOf(1, 1, 0, 2.0f));
  EXPECT_FALSE(harness.HasAnswer(a, first));
  EXPECT_EQ(harness.Version(0), 0u);
  EXPECT_EQ(harness.Weight(0), 0.0f);
  const PushReplyFrame second = harness.PushReply(b, SendB(PartOf(2, 1, 1, 4.0f)));
  EXPECT_EQ(second.outcome, Outcome::kApplied);
  EXPECT_EQ(second.version, 1u);
  EXPECT_EQ(second.sequence, 1u);
  EXPECT_TRUE(second.tensor_data.empty());
  const PushReplyFrame reply = harness.PushReply(a, first);
  EXPECT_EQ(reply.outcome, Outcome::kApplied);
  EXPECT_EQ(reply.version, 1u);
  EXPECT_EQ(harness.Weight(0), -3.0f);
  EXPECT_EQ(harness.Version(1), 0u);
  EXPECT_EQ(harness.shard.totals().applied, 2u);
}

TEST_F(ShardBspTest, WantedValuesComeWithTheCommit) {
  PushFrame push = PartOf(1, 1, 0, 2.0f);
  push.is_push_pull = true;
  const uint64_t first = SendA(push);
  push = PartOf(2, 1, 1, 2.0f);
  push.want_values = true;
  const PushReplyFrame second = harness.PushReply(b, SendB(push));
  EXPECT_EQ(second.count, 16u);
  EXPECT_EQ(second.codec, Codec::kF32);
  EXPECT_EQ(Floats(second.tensor_data), std::vector<float>(16, -2.0f));
  EXPECT_EQ(Floats(harness.PushReply(a, first).tensor_data), std::vector<float>(16, -2.0f));
}

TEST_F(ShardBspTest, AnAppliedPushSentAgainIsADuplicateAndChangesNothing) {
  SendA(PartOf(1, 1, 0, 2.0f));
  SendB(PartOf(2, 1, 1, 2.0f));
  PushFrame again = PartOf(1, 1, 0, 50.0f);
  again.step = again.base_version = 0;
  again.want_values = true;
  const PushReplyFrame reply = harness.PushReply(a, SendA(again));
  EXPECT_EQ(reply.outcome, Outcome::kDuplicate);
  EXPECT_EQ(reply.first, Outcome::kApplied);
  EXPECT_EQ(reply.version, 1u);
  EXPECT_EQ(Floats(reply.tensor_data), std::vector<float>(16, -2.0f));
  EXPECT_EQ(harness.Weight(0), -2.0f);
  EXPECT_EQ(harness.Version(0), 1u);
  EXPECT_EQ(harness.shard.totals().duplicate, 1u);
}

TEST_F(ShardBspTest, ADuplicateBringsTheValuesThatItMadeWhileTheyAreHereAndElseTheNewest) {
  PushFrame push = PartOf(1, 1, 0, 2.0f);
  push.want_values = true;
  SendA(push);
  SendB(PartOf(2, 1, 1, 2.0f));
  Step();
  PushReplyFrame reply = harness.PushReply(a, SendA(push));
  EXPECT_EQ(reply.version, 1u);
  EXPECT_EQ(Floats(reply.tensor_data)[0], -2.0f);
  Step();
  reply = harness.PushReply(a, SendA(push));
  EXPECT_EQ(reply.version, 3u);
  EXPECT_EQ(Floats(reply.tensor_data)[0], -6.0f);
}

TEST_F(ShardBspTest, ACommittedPartIsADuplicateUnderANewSequenceWhoeverSendsIt) {
  Step();
  const uint64_t c = harness.Connect(3);
  PushFrame push = PartOf(3, 1, 1, 2.0f);
  push.step = push.base_version = 0;
  const PushReplyFrame reply = harness.PushReply(c, harness.Send(c, push));
  EXPECT_EQ(reply.outcome, Outcome::kDuplicate);
  EXPECT_EQ(reply.first, Outcome::kApplied);
  EXPECT_EQ(reply.version, 1u);
  EXPECT_EQ(harness.Version(0), 1u);
}

TEST_F(ShardBspTest, AHeldPartIsADuplicateOfAPendingPush) {
  const uint64_t held = SendA(PartOf(1, 1, 0, 2.0f));
  const PushReplyFrame reply = harness.PushReply(b, SendB(PartOf(2, 1, 0, 50.0f)));
  EXPECT_EQ(reply.outcome, Outcome::kDuplicate);
  EXPECT_EQ(reply.first, Outcome::kPending);
  EXPECT_FALSE(harness.HasAnswer(a, held));
  SendB(PartOf(2, 2, 1, 2.0f));
  EXPECT_EQ(harness.PushReply(a, held).outcome, Outcome::kApplied);
  EXPECT_EQ(harness.Weight(0), -2.0f);
}

TEST_F(ShardBspTest, AHeldPushSentAgainIsAnsweredToTheNewerRequest) {
  const uint64_t first = SendA(PartOf(1, 1, 0, 2.0f));
  const uint64_t again = SendA(PartOf(1, 1, 0, 2.0f));
  EXPECT_EQ(harness.PushReply(a, first).outcome, Outcome::kPending);
  harness.Disconnect(a);
  a = harness.Connect(1, 1, 2);
  const uint64_t after_reconnect = SendA(PartOf(1, 1, 0, 2.0f));
  EXPECT_FALSE(harness.HasAnswer(a, again));
  SendB(PartOf(2, 1, 1, 2.0f));
  EXPECT_EQ(harness.PushReply(a, after_reconnect).outcome, Outcome::kApplied);
  EXPECT_EQ(harness.Weight(0), -2.0f);
}

TEST_F(ShardBspTest, ASuccessorInheritsAHeldPartAndTheStepIsFinishedOnce) {
  SendA(PartOf(1, 1, 0, 2.0f));
  const uint64_t successor = harness.Connect(1, /*incarnation=*/2);
  EXPECT_EQ(harness.PushReply(successor, harness.Send(successor, PartOf(1, 1, 0, 2.0f))).first,
            Outcome::kPending);
  EXPECT_EQ(harness.PushReply(b, SendB(PartOf(2, 1, 1, 2.0f))).outcome, Outcome::kApplied);
  EXPECT_EQ(harness.Weight(0), -2.0f);
}

TEST_F(ShardBspTest, TheSuccessorLearnsWhatItsPredecessorLeftBehind) {
  Step();
  const uint64_t successor = harness.Open();
  HelloFrame hello = harness.HelloOf(1);
  hello.incarnation = 2;
  const std::vector<ServerFrame> answers =
      harness.Answers(successor, harness.Send(successor, hello));
  const auto& reply = std::get<HelloReplyFrame>(answers[0].kind);
  EXPECT_EQ(reply.last_sequence, 101u);
  EXPECT_EQ(reply.last_batch, 201u);
}

TEST_F(ShardBspTest, APartialOverlapIsInvalidAndNamesThePartsHeld) {
  SendA(PartOf(1, 1, 1, 2.0f));
  PushFrame both = PartOf(2, 1, 0, 2.0f);
  both.parts = 2;
  const PushReplyFrame reply = harness.PushReply(b, SendB(both));
  EXPECT_EQ(reply.outcome, Outcome::kInvalid);
  EXPECT_THAT(reply.reason, HasSubstr("part 1"));
}

TEST_F(ShardBspTest, AGradientOfOlderWeightsIsStaleAndBringsFreshOnes) {
  Step();
  PushFrame push = PartOf(1, 1, 0, 2.0f);
  push.base_version = 0;
  push.want_values = true;
  const PushReplyFrame reply = harness.PushReply(a, SendA(push));
  EXPECT_EQ(reply.outcome, Outcome::kStale);
  EXPECT_EQ(reply.version, 1u);
  EXPECT_EQ(Floats(reply.tensor_data), harness.Weights(0));
  EXPECT_EQ(harness.shard.totals().stale, 1u);
  // Final and remembered; recomputed under a new sequence it counts.
  EXPECT_EQ(harness.PushReply(a, SendA(push)).first, Outcome::kStale);
  SendA(PartOf(1, 200, 0, 2.0f));
  EXPECT_EQ(harness.PushReply(b, SendB(PartOf(2, 200, 1, 2.0f))).version, 2u);
}

TEST_F(ShardBspTest, AStepAheadIsInvalid) {
  PushFrame push = PartOf(1, 1, 0, 2.0f);
  push.step = push.base_version = 3;
  const PushReplyFrame reply = harness.PushReply(a, SendA(push));
  EXPECT_EQ(reply.outcome, Outcome::kInvalid);
  EXPECT_THAT(reply.reason, HasSubstr("ahead"));
}

TEST_F(ShardBspTest, APushThatMakesNoSenseIsInvalidAndSaysWhy) {
  uint64_t sequence = 0;
  const auto reason = [&](void (*breaks)(PushFrame*)) {
    PushFrame push = PartOf(1, ++sequence, 0, 2.0f);
    breaks(&push);
    const PushReplyFrame reply = harness.PushReply(a, SendA(push));
    EXPECT_EQ(reply.outcome, Outcome::kInvalid);
    return reply.reason;
  };
  EXPECT_THAT(reason([](PushFrame* p) { p->tensor_id = 9; }), HasSubstr("no tensor has the id 9"));
  EXPECT_THAT(reason([](PushFrame* p) { p->layer_name = "nope"; }),
              HasSubstr("no tensor is named 'nope'"));
  EXPECT_THAT(reason([](PushFrame* p) { p->offset = 1; }),
              HasSubstr("no slice of tensor 'w' at offset 1"));
  EXPECT_THAT(reason([](PushFrame* p) { p->count = 15; }), HasSubstr("with 15 elements"));
  EXPECT_THAT(reason([](PushFrame* p) { p->worker_id = 2; }),
              HasSubstr("of worker 2 in a session of worker 1"));
  EXPECT_THAT(reason([](PushFrame* p) { p->sequence = 0; }), HasSubstr("at least 1"));
  EXPECT_THAT(reason([](PushFrame* p) { p->lowest_pending = p->sequence + 1; }),
              HasSubstr("lowest_pending"));
  EXPECT_THAT(reason([](PushFrame* p) { p->codec = static_cast<Codec>(17); }),
              HasSubstr("unsupported codec 17"));
  EXPECT_THAT(reason([](PushFrame* p) { p->atomicity = static_cast<Atomicity>(8); }),
              HasSubstr("unsupported atomicity 8"));
  EXPECT_THAT(reason([](PushFrame* p) { p->learning_rate = -0.5; }), HasSubstr("learning rate"));
  EXPECT_THAT(
      reason([](PushFrame* p) { p->learning_rate = std::numeric_limits<double>::quiet_NaN(); }),
      HasSubstr("learning rate"));
  EXPECT_THAT(reason([](PushFrame* p) { p->learning_rate = 1e300; }), HasSubstr("learning rate"));
  EXPECT_THAT(reason([](PushFrame* p) { p->learning_rate = 1e-300; }), HasSubstr("learning rate"));
  EXPECT_THAT(reason([](PushFrame* p) { p->examples = ~uint64_t{0}; }), HasSubstr("2^40"));
  EXPECT_THAT(reason([](PushFrame* p) { p->parts = 0; }), HasSubstr("not a block"));
  EXPECT_THAT(reason([](PushFrame* p) { p->first_part = 2; }), HasSubstr("not a block"));
  EXPECT_THAT(reason([](PushFrame* p) { p->gradient = Payload(); }),
              HasSubstr("the gradient has 0 bytes; 16 elements in f32 have 64"));
  EXPECT_THAT(reason([](PushFrame* p) { p->gradient.Append("x", 1, nullptr); }),
              HasSubstr("65 bytes"));
  EXPECT_THAT(reason([](PushFrame* p) {
                p->examples = 0;
                p->gradient.Append("x", 1, nullptr);
              }),
              HasSubstr("65 bytes"));
  EXPECT_EQ(harness.shard.totals().invalid, sequence);
  EXPECT_EQ(harness.Version(0), 0u);
}

TEST_F(ShardBspTest, AnInvalidPushIsRemembered) {
  PushFrame push = PartOf(1, 1, 0, 2.0f);
  push.codec = static_cast<Codec>(17);
  SendA(push);
  const PushReplyFrame reply = harness.PushReply(a, SendA(PartOf(1, 1, 0, 2.0f)));
  EXPECT_EQ(reply.outcome, Outcome::kDuplicate);
  EXPECT_EQ(reply.first, Outcome::kInvalid);
  EXPECT_THAT(reply.reason, HasSubstr("codec 17"));
}

TEST_F(ShardBspTest, PoisonStaysOutAndThePartStaysOpen) {
  for (const uint32_t part : {0, 1}) {
    const PushFrame poison = PartOf(1, 10 + part, part, std::numeric_limits<float>::quiet_NaN());
    const PushReplyFrame reply = harness.PushReply(a, SendA(poison));
    EXPECT_EQ(reply.outcome, Outcome::kInvalid);
    EXPECT_THAT(reply.reason, HasSubstr("non-finite"));
    if (part == 0) SendB(PartOf(2, 1, 0, 2.0f));  // the second poison would have completed the step
  }
  EXPECT_EQ(harness.Version(0), 0u);
  EXPECT_EQ(harness.PushReply(a, SendA(PartOf(1, 20, 1, 2.0f))).outcome, Outcome::kApplied);
  EXPECT_EQ(harness.Weights(0), std::vector<float>(16, -2.0f));
}

TEST_F(ShardBspTest, AnUpdateThatWouldOverflowTheWeightsIsRefused) {
  SendA(PartOf(1, 1, 0, 2.0f));
  const PushReplyFrame reply =
      harness.PushReply(b, SendB(PartOf(2, 1, 1, std::numeric_limits<float>::max())));
  EXPECT_EQ(reply.outcome, Outcome::kApplied);  // half of it still fits
  PushFrame push = PartOf(1, 2, 0, 3e38f);
  push.learning_rate = 1e20;
  SendA(push);
  const PushReplyFrame overflow = harness.PushReply(b, SendB(PartOf(2, 2, 1, 1.0f)));
  EXPECT_EQ(overflow.outcome, Outcome::kInvalid);
  EXPECT_THAT(overflow.reason, HasSubstr("weights"));
  EXPECT_EQ(harness.Version(0), 1u);
}

TEST_F(ShardBspTest, AStepOfSkipsCommitsUnchangedWeights) {
  Step();
  for (const uint32_t part : {0, 1}) {
    PushFrame skip = PartOf(1, 1 + part, part, 0.0f);
    skip.examples = 0;
    if (part == 0) skip.gradient = Payload();
    SendA(skip);
  }
  EXPECT_EQ(harness.Version(0), 2u);
  EXPECT_EQ(harness.Weight(0), -2.0f);
}

TEST_F(ShardBspTest, ASkippedPartHasWeightZeroWhateverItHolds) {
  PushFrame skip = PartOf(1, 1, 0, 1000.0f);
  skip.examples = 0;
  SendA(skip);
  PushFrame push = PartOf(2, 1, 1, 8.0f);
  push.examples = 4;
  SendB(push);
  EXPECT_EQ(harness.Version(0), 1u);
  EXPECT_EQ(harness.Weight(0), -2.0f);  // 8 / 4
}

TEST_F(ShardBspTest, TheSumIsDividedByAllExamplesOfTheStep) {
  PushFrame push = PartOf(1, 1, 0, 6.0f);
  push.examples = 3;
  SendA(push);
  SendB(PartOf(2, 1, 1, 2.0f));
  EXPECT_EQ(harness.Weight(0), -2.0f);  // (6 + 2) / (3 + 1)
}

TEST_F(ShardBspTest, TheHolderOfPartZeroMayOverrideTheLearningRate) {
  PushFrame push = PartOf(2, 1, 1, 2.0f);
  push.learning_rate = 100;
  SendB(push);
  push = PartOf(1, 1, 0, 2.0f);
  push.learning_rate = 0.5;
  SendA(push);
  EXPECT_EQ(harness.Weight(0), -1.0f);
}

TEST_F(ShardBspTest, ThePushWhoseDeadlinePassesIsPendingAndMayStillCommit) {
  const uint64_t request = SendA(PartOf(1, 1, 0, 2.0f), /*deadline_ms=*/100);
  harness.Pass(absl::Milliseconds(100));
  const PushReplyFrame pending = harness.PushReply(a, request);
  EXPECT_EQ(pending.outcome, Outcome::kPending);
  EXPECT_EQ(pending.sequence, 1u);
  EXPECT_EQ(pending.reason, "step 0 waits for part 1 (never seen)");
  SendB(PartOf(2, 1, 1, 2.0f));
  EXPECT_FALSE(harness.HasAnswer(a, request));
  PushFrame again = PartOf(1, 1, 0, 2.0f);
  again.step = again.base_version = 0;
  const PushReplyFrame reply = harness.PushReply(a, SendA(again));
  EXPECT_EQ(reply.outcome, Outcome::kDuplicate);
  EXPECT_EQ(reply.first, Outcome::kApplied);
}

TEST_F(ShardBspTest, AConfirmedSequenceIsFenced) {
  PushFrame push = PartOf(1, 7, 0, 2.0f);
  push.lowest_pending = 7;
  SendA(push);
  const PushReplyFrame reply = harness.PushReply(a, SendA(PartOf(1, 6, 0, 2.0f)));
  EXPECT_EQ(reply.outcome, Outcome::kFenced);
  EXPECT_THAT(reply.reason, HasSubstr("confirmed"));
}

TEST_F(ShardBspTest, PushesBehindARunningJobAreJudgedWhenItIsDone) {
  harness.jobs_run_at_once = false;
  const uint64_t first = SendA(PartOf(1, 1, 0, 2.0f));
  const uint64_t again = SendA(PartOf(1, 1, 0, 2.0f));
  const uint64_t second = SendB(PartOf(2, 1, 1, 2.0f));
  PushFrame next = PartOf(1, 2, 0, 2.0f);
  next.step = next.base_version = 1;
  const uint64_t third = SendA(next);
  EXPECT_EQ(harness.jobs.size(), 1u);
  harness.RunJobs();
  EXPECT_EQ(harness.PushReply(a, first).outcome,
            Outcome::kPending);  // sent again: the newer request is answered
  EXPECT_EQ(harness.PushReply(a, again).outcome, Outcome::kApplied);
  EXPECT_EQ(harness.PushReply(b, second).outcome, Outcome::kApplied);
  EXPECT_FALSE(harness.HasAnswer(a, third));
  EXPECT_EQ(harness.Version(0), 1u);
}

TEST_F(ShardBspTest, AWorkerThatHasLeftMayReadButNotPushUntilItComesBack) {
  const uint64_t leave = harness.Send(a, LeaveFrame());
  EXPECT_TRUE(std::holds_alternative<LeaveReplyFrame>(harness.Answers(a, leave)[0].kind));
  const PushReplyFrame reply = harness.PushReply(a, SendA(PartOf(1, 1, 0, 2.0f)));
  EXPECT_EQ(reply.outcome, Outcome::kInvalid);
  EXPECT_THAT(reply.reason, HasSubstr("worker 1 has left"));
  EXPECT_EQ(harness.PullReply(a, harness.Send(a, harness.PullOf(0))).version, 0u);
  const uint64_t back = harness.Connect(1, 2);
  const uint64_t held = harness.Send(back, PartOf(1, 1, 0, 2.0f));
  SendB(PartOf(2, 1, 1, 2.0f));
  EXPECT_EQ(harness.PushReply(back, held).outcome, Outcome::kApplied);
}

TEST_F(ShardBspTest, StateIsKeptForTheWorkerAndTheNewestSequenceWins) {
  const auto put = [&](uint64_t session, uint64_t sequence, const char* text) {
    PutStateFrame frame;
    frame.sequence = sequence;
    frame.state.Append(text, 3, nullptr);
    return std::get<StateReplyFrame>(
        harness.Answers(session, harness.Send(session, frame))[0].kind);
  };
  const auto get = [&](uint64_t session) {
    return std::get<StateReplyFrame>(
        harness.Answers(session, harness.Send(session, GetStateFrame()))[0].kind);
  };
  EXPECT_EQ(get(a).sequence, 0u);
  EXPECT_EQ(put(a, 5, "abc").sequence, 5u);
  EXPECT_EQ(put(a, 4, "old").sequence, 5u);
  const uint64_t successor = harness.Connect(1, 2);
  const StateReplyFrame state = get(successor);
  EXPECT_EQ(state.sequence, 5u);
  std::string text(3, ' ');
  state.state.CopyTo(&text[0]);
  EXPECT_EQ(text, "abc");
  EXPECT_EQ(get(b).sequence, 0u);
}

TEST_F(ShardBspTest, AStateTooLargeOrWithoutASequenceIsInvalid) {
  PutStateFrame put;
  put.sequence = 1;
  const std::string large((64 << 10) + 1, 'x');
  put.state.Append(large.data(), large.size(), nullptr);
  EXPECT_THAT(harness.ErrorReply(a, harness.Send(a, put)).reason, HasSubstr("65537 bytes"));
  EXPECT_THAT(harness.ErrorReply(a, harness.Send(a, PutStateFrame())).reason,
              HasSubstr("at least 1"));
}

TEST_F(ShardBspTest, StatusNamesTheLeastStepAndWhomItWaitsFor) {
  Step();
  EXPECT_EQ(harness.shard.status().step, 0u);
  for (uint32_t slice = 1; slice < 4; ++slice) {
    SendA(PartOf(1, 1, 0, 2.0f, slice));
    SendB(PartOf(2, 1, 1, 2.0f, slice));
  }
  EXPECT_EQ(harness.shard.status().step, 1u);
  SendA(PartOf(1, 2, 0, 2.0f));
  EXPECT_EQ(harness.shard.status().waits_for, "step 1 waits for part 1 (last held by worker 2)");
}

TEST_F(ShardBspTest, AWorkerThatNeverConfirmsIsOverloadedNotForgotten) {
  ShardHarness::Options options = TwoParts();
  options.shard.limits.max_requests = 2;
  ShardHarness small(options);
  const uint64_t outcomes = small.shard.max_requests() + 2 * small.shard.slice_count();
  const uint64_t session = small.Connect(1);
  PushReplyFrame reply;
  for (uint64_t sequence = 1; sequence <= outcomes + 1; ++sequence) {
    PushFrame ahead = small.PushOf(1, sequence, 0, 1.0f);
    ahead.step = ahead.base_version = 99;
    reply = small.PushReply(session, small.Send(session, ahead));
    EXPECT_EQ(reply.outcome, sequence <= outcomes ? Outcome::kInvalid : Outcome::kOverloaded);
  }
  EXPECT_GT(reply.retry_after_ms, 0u);
  EXPECT_THAT(reply.reason, HasSubstr("lowest_pending"));
  PushFrame confirms = small.PushOf(1, outcomes + 1, 0, 1.0f);
  confirms.step = confirms.base_version = 99;
  confirms.lowest_pending = outcomes + 1;
  EXPECT_EQ(small.PushReply(session, small.Send(session, confirms)).outcome, Outcome::kInvalid);
}

}  // namespace
}  // namespace weir
