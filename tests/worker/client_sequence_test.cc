// SPDX-License-Identifier: Apache-2.0
// Sequences of pushes: which they take, what is sent again under its own, and tickets to ask with.
#include "tests/worker/client_harness.h"

namespace weir {
namespace {

class ClientSequenceTest : public ClientHarness {};

TEST_F(ClientSequenceTest, SequencesBeginAboveWhatAnyShardRemembers) {
  Create();
  SetLayout(1);
  hello_.last_sequence = 3;
  Greet(0);
  hello_.last_sequence = 41;
  Greet(1);
  PushB();
  uint64_t id = 0;
  EXPECT_EQ(NextAs<PushFrame>(0, &id).sequence, 42u);
  PushB();
  EXPECT_EQ(NextAs<PushFrame>(0, &id).sequence, 43u);
}

TEST_F(ClientSequenceTest, LowestPendingIsTheOldestPushUnderWay) {
  Start();
  PushB();
  PushB();
  uint64_t id1 = 0, id2 = 0, id3 = 0;
  const PushFrame first = NextAs<PushFrame>(0, &id1);
  const PushFrame second = NextAs<PushFrame>(0, &id2);
  EXPECT_EQ(first.lowest_pending, 1u);
  EXPECT_EQ(second.lowest_pending, 1u);
  Answer(0, id2, Outcomes(second, Outcome::kApplied, 1));
  PushB();
  EXPECT_EQ(NextAs<PushFrame>(0, &id3).lowest_pending, 1u);
  Answer(0, id1, Outcomes(first, Outcome::kApplied, 1));
  PushB();
  EXPECT_EQ(NextAs<PushFrame>(0, &id3).lowest_pending, 3u);
}

TEST_F(ClientSequenceTest, PushLeftUnansweredByALostConnectionIsSentAgainUnderItsSequence) {
  Start();
  const uint64_t call = PushB();
  uint64_t id = 0;
  const PushFrame before = NextAs<PushFrame>(0, &id);
  Disconnect(0);
  Advance(absl::Seconds(1));
  hello_.last_sequence = before.sequence;  // it had been applied, the answer was lost
  Greet(0);
  const PushFrame again = NextAs<PushFrame>(0, &id);
  EXPECT_EQ(again.sequence, before.sequence);
  EXPECT_EQ(FloatsOf(again.gradient), FloatsOf(before.gradient));
  PushReplyFrame duplicate = Outcomes(again, Outcome::kDuplicate, 1);
  duplicate.first = Outcome::kApplied;
  Answer(0, id, duplicate);
  const PushResult result = Value<PushResult>(call);
  EXPECT_EQ(result.tally.duplicate, 1u);
  EXPECT_EQ(result.slices[0].first, PushOutcome::kApplied);
  EXPECT_TRUE(result.counted());
}

TEST_F(ClientSequenceTest, AnsweredSlicesAreNotSentAgain) {
  Start();
  Push({{0, GradientA()}});
  uint64_t id = 0;
  const PushFrame first = NextAs<PushFrame>(0, &id);
  Answer(0, id, Outcomes(first, Outcome::kApplied, 1));
  Disconnect(0);
  Advance(absl::Seconds(1));
  Greet(0);
  EXPECT_TRUE(sent_[0].empty());
}

TEST_F(ClientSequenceTest, OverloadedIsSentAgainUnderItsSequenceWhenTheShardSays) {
  Start();
  const uint64_t call = PushB();
  uint64_t id = 0;
  const PushFrame push = NextAs<PushFrame>(0, &id);
  PushReplyFrame overloaded = Outcomes(push, Outcome::kOverloaded, 0);
  overloaded.retry_after_ms = 700;
  Answer(0, id, overloaded);
  Advance(absl::Milliseconds(699));
  EXPECT_TRUE(sent_[0].empty());
  Advance(absl::Milliseconds(1));
  const PushFrame again = NextAs<PushFrame>(0, &id);
  EXPECT_EQ(again.sequence, push.sequence);
  Answer(0, id, Outcomes(again, Outcome::kApplied, 1));
  EXPECT_TRUE(Done(call));
}

TEST_F(ClientSequenceTest, IdleTicketIsGivenUpWhenTheShardStaysFull) {
  Start();
  PushOptions abandoned;
  abandoned.sequence = Value<uint64_t>(NewSequence());
  PushB();
  uint64_t id = 0;
  PushFrame push = NextAs<PushFrame>(0, &id);
  EXPECT_EQ(push.lowest_pending, abandoned.sequence);
  for (int refusal = 0; refusal < 4; ++refusal) {
    EXPECT_EQ(push.lowest_pending, abandoned.sequence);
    Answer(0, id, Outcomes(push, Outcome::kOverloaded, 0));
    Advance(absl::Seconds(2));
    push = NextAs<PushFrame>(0, &id);
  }
  EXPECT_GT(push.lowest_pending, abandoned.sequence) << "the shard may forget what is confirmed";
  EXPECT_EQ(Code(PushB(abandoned)), StatusCode::kInvalidArgument);
}

TEST_F(ClientSequenceTest, TicketAsksHowAPushEndedAfterItsDeadline) {
  Start();
  const uint64_t sequence = Value<uint64_t>(NewSequence());
  PushOptions options;
  options.sequence = sequence;
  options.deadline = Deadline{1000};
  const uint64_t call = PushB(options);
  uint64_t id = 0;
  NextAs<PushFrame>(0, &id);
  Advance(absl::Seconds(1));
  EXPECT_EQ(Code(call), StatusCode::kDeadlineExceeded);
  EXPECT_NE(Message(call).find("ask again with sequence 1"), std::string::npos) << Message(call);
  // The servers must go on remembering it.
  uint64_t other = 0;
  PushB();
  EXPECT_EQ(NextAs<PushFrame>(0, &other).lowest_pending, sequence);
  // Asked again while the first request is still out: its answer is the answer.
  const uint64_t again = PushB(options);
  EXPECT_TRUE(sent_[0].empty());
  PushReplyFrame applied;
  applied.sequence = sequence;
  applied.tensor_id = 2;
  applied.outcome = Outcome::kApplied;
  applied.version = 1;
  Answer(0, id, applied);
  EXPECT_EQ(Value<PushResult>(again).tally.applied, 1u);
  EXPECT_EQ(Code(PushB(options)), StatusCode::kInvalidArgument) << "an ended ticket is closed";
}

TEST_F(ClientSequenceTest, TicketAskedAgainOverANewConnectionIsSentUnderItsSequence) {
  Start();
  PushOptions options;
  options.sequence = Value<uint64_t>(NewSequence());
  options.deadline = Deadline{1000};
  PushB(options);
  Advance(absl::Seconds(1));
  Disconnect(0);
  Advance(absl::Seconds(1));
  Greet(0);
  EXPECT_TRUE(sent_[0].empty()) << "nobody waits for it";
  PushB(options);
  uint64_t id = 0;
  EXPECT_EQ(NextAs<PushFrame>(0, &id).sequence, options.sequence);
}

TEST_F(ClientSequenceTest, TicketInUseOrUnknownIsRefused) {
  Start();
  PushOptions options;
  options.sequence = 12;
  EXPECT_EQ(Code(PushB(options)), StatusCode::kInvalidArgument);
  options.sequence = Value<uint64_t>(NewSequence());
  PushB(options);
  EXPECT_EQ(Code(PushB(options)), StatusCode::kFailedPrecondition);
}

TEST_F(ClientSequenceTest, OldestTicketIsForgottenWhenTooManyAreOpen) {
  options_.max_tickets = 2;
  Start();
  const uint64_t first = Value<uint64_t>(NewSequence());
  NewSequence();
  NewSequence();
  PushOptions options;
  options.sequence = first;
  EXPECT_EQ(Code(PushB(options)), StatusCode::kInvalidArgument);
}

TEST_F(ClientSequenceTest, PendingPushIsAskedForAgainUnderItsSequence) {
  hello_.max_wait_ms = 1000;
  Start();
  const uint64_t call = PushB();
  uint64_t id = 0;
  const PushFrame push = NextAs<PushFrame>(0, &id);
  PushReplyFrame pending = Outcomes(push, Outcome::kPending, 0);
  pending.reason = "step 0 waits for part 1";
  Answer(0, id, pending);
  EXPECT_NE(client_->WaitsFor().find("step 0 waits for part 1"), std::string::npos);
  Advance(absl::Milliseconds(10));
  const PushFrame again = NextAs<PushFrame>(0, &id);
  EXPECT_EQ(again.sequence, push.sequence);
  Answer(0, id, Outcomes(again, Outcome::kApplied, 1));
  EXPECT_TRUE(Done(call));
}

TEST_F(ClientSequenceTest, ShardThatRemembersTheGreatestSequenceOfAllIsNotSpokenTo) {
  for (const uint64_t last : {~uint64_t{0}, uint64_t{1} << 63}) {
    hello_.last_sequence = last;
    Create();
    SetLayout(1);
    disconnected_.clear();
    Connected(0);
    Answer(0, Next(0).request_id, hello_);
    EXPECT_EQ(disconnected_.size(), 1u);
    hello_.last_sequence = (uint64_t{1} << 62) - 1;
    Advance(absl::Seconds(1));
    Greet(0);
    Greet(1);
    EXPECT_EQ(Value<uint64_t>(NewSequence()), uint64_t{1} << 62);
  }
}

}  // namespace
}  // namespace weir
