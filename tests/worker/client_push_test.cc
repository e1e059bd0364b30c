// SPDX-License-Identifier: Apache-2.0
// Pushes: what is sent, the credit it takes, and how it ends.
#include "tests/worker/client_harness.h"

namespace weir {
namespace {

class ClientPushTest : public ClientHarness {
 protected:
  void UseAsp() {
    options_.mode = Mode::kAsp;
    hello_.mode = 2;
  }
  uint64_t PushPullB(PushOptions options = {}) {
    return Push({{1, GradientB(), 0, 0, {}, ViewB()}}, options, /*want_values=*/true);
  }
};

TEST_F(ClientPushTest, SlicesOfOneGradientShareASequenceAndCarryTheirRange) {
  Start();
  PushOptions options;
  options.step = 5;
  options.first_part = 2;
  options.parts = 2;
  options.examples = 32;
  options.batch = 17;
  options.learning_rate = 0.5;
  const uint64_t call = Push({{0, GradientA()}}, options);
  uint64_t id0 = 0, id1 = 0;
  const PushFrame first = NextAs<PushFrame>(0, &id0);
  const PushFrame second = NextAs<PushFrame>(1, &id1);
  EXPECT_EQ(first.sequence, 1u);
  EXPECT_EQ(second.sequence, 1u);
  EXPECT_EQ(FloatsOf(first.gradient), (std::vector<float>{0, 1, 2, 3}));
  EXPECT_EQ(FloatsOf(second.gradient), (std::vector<float>{4, 5, 6, 7}));
  EXPECT_EQ(second.offset, 4u);
  EXPECT_EQ(second.count, 4u);
  EXPECT_EQ(first.step, 5u);
  EXPECT_EQ(first.base_version, 5u) << "in bsp the base is the step";
  EXPECT_EQ(first.first_part, 2u);
  EXPECT_EQ(first.parts, 2u);
  EXPECT_EQ(first.examples, 32u);
  EXPECT_EQ(first.batch, 17u);
  EXPECT_EQ(first.learning_rate, 0.5);
  EXPECT_EQ(first.atomicity, Atomicity::kAll);
  EXPECT_FALSE(first.want_values);
  Answer(0, id0, Outcomes(first, Outcome::kApplied, 6));
  EXPECT_FALSE(Done(call));
  Answer(1, id1, Outcomes(second, Outcome::kApplied, 6));
  const PushResult result = Value<PushResult>(call);
  EXPECT_EQ(result.sequence, 1u);
  EXPECT_EQ(result.tally.applied, 2u);
  EXPECT_EQ(result.tensors[0].min_version, 6u);
  EXPECT_TRUE(result.counted());
}

TEST_F(ClientPushTest, PushedBytesWaitForTheShardToTakeThemOver) {
  hello_.max_push_bytes = 20;  // one slice of 16 bytes
  Start();
  PushB();
  PushB();
  ASSERT_EQ(sent_[0].size(), 1u);
  uint64_t id = 0;
  const PushFrame first = NextAs<PushFrame>(0, &id);
  Answer(0, id, Outcomes(first, Outcome::kApplied, 1));
  EXPECT_TRUE(sent_[0].empty()) << "an answer alone releases no pushed bytes";
  released_[0] = 16;
  ServerFrame credit;
  credit.epoch = 1;
  credit.push_bytes_released = 16;
  credit.kind = CreditFrame{};
  Receive(0, credit);
  EXPECT_EQ(sent_[0].size(), 1u);
}

TEST_F(ClientPushTest, SmallPullsDoNotWaitBehindPushesThatWaitForCredit) {
  hello_.max_push_bytes = 20;  // one slice of 16 bytes
  Start();
  PushB();
  PushB();
  const uint64_t pull = Pull({{1, ViewB()}});
  uint64_t id = 0;
  NextAs<PushFrame>(0, &id);
  AnswerPull(0, 1, 1);
  EXPECT_TRUE(Done(pull));
  EXPECT_TRUE(sent_[0].empty()) << "the second push waits";
}

TEST_F(ClientPushTest, APullOfAStepWaitsBehindThePushesThatMakeIt) {
  hello_.max_push_bytes = 20;
  Start();
  PushB();
  PushB();
  PullOptions next;
  next.step = 1;
  Pull({{1, ViewB()}}, next);
  EXPECT_EQ(sent_[0].size(), 1u) << "it would keep its credit until they are sent";
}

TEST_F(ClientPushTest, StatesTakeNothingOfThePushedBytes) {
  hello_.max_push_bytes = 20;  // one slice
  Start();
  for (uint64_t state = 1; state <= 4; ++state) {
    ClientEffects effects;
    client_->PutState(100 + state, state, "sampler", Deadline{0}, now_, &effects);
    Run(&effects);
    uint64_t id = 0;
    NextAs<PutStateFrame>(0, &id);
    Answer(0, id, StateReplyFrame{state, {}});  // releases nothing: no push has come
    EXPECT_EQ(Code(100 + state), StatusCode::kOk);
  }
  PushB();
  EXPECT_EQ(sent_[0].size(), 1u);
}

TEST_F(ClientPushTest, StateThatIsTooLargeIsRefusedAndNotSent) {
  Start();
  ClientEffects effects;
  client_->PutState(100, 1, std::string((64 << 10) + 1, 's'), Deadline{0}, now_, &effects);
  Run(&effects);
  EXPECT_EQ(Code(100), StatusCode::kInvalidArgument);
  EXPECT_TRUE(sent_[0].empty());
}

TEST_F(ClientPushTest, StaleBringsTheFreshValuesAndTheNextPushIsBasedOnThem) {
  UseAsp();
  Start();
  Pull({{1, ViewB()}});
  AnswerPull(0, 3, 1);
  const uint64_t call = PushPullB();
  uint64_t id = 0;
  const PushFrame push = NextAs<PushFrame>(0, &id);
  EXPECT_TRUE(push.is_push_pull);
  EXPECT_EQ(push.base_version, 3u);
  EXPECT_EQ(push.atomicity, Atomicity::kSlice);
  PushReplyFrame stale = Outcomes(push, Outcome::kStale, 9);
  stale.count = 4;
  stale.tensor_data = Floats({8, 8, 8, 8});
  Answer(0, id, stale);
  const PushResult result = Value<PushResult>(call);
  EXPECT_EQ(result.tally.stale, 1u);
  EXPECT_FALSE(result.counted());
  EXPECT_EQ(result.slices[0].values_version, 9u);
  EXPECT_EQ(b_[0], 8);
  PushB();
  const PushFrame next = NextAs<PushFrame>(0, &id);
  EXPECT_EQ(next.base_version, 9u);
  EXPECT_EQ(next.sequence, push.sequence + 1) << "a push computed again takes a new sequence";
}

TEST_F(ClientPushTest, BasesNamedByTheCallerAreSentAsTheyAre) {
  UseAsp();
  Start();
  Push({{0, GradientA(), 0, 0, {5, 6}, {}}});
  uint64_t id = 0;
  EXPECT_EQ(NextAs<PushFrame>(0, &id).base_version, 5u);
  EXPECT_EQ(NextAs<PushFrame>(1, &id).base_version, 6u);
}

TEST_F(ClientPushTest, InvalidIsToldWithItsReason) {
  Start();
  const uint64_t call = PushB();
  uint64_t id = 0;
  const PushFrame push = NextAs<PushFrame>(0, &id);
  PushReplyFrame invalid = Outcomes(push, Outcome::kInvalid, 0);
  invalid.reason = "the gradient holds NaN or infinity";
  Answer(0, id, invalid);
  const PushResult result = Value<PushResult>(call);
  EXPECT_EQ(result.tally.invalid, 1u);
  EXPECT_EQ(result.reason, "the gradient holds NaN or infinity");
  EXPECT_FALSE(result.counted());
}

TEST_F(ClientPushTest, DuplicateWithoutValuesIsFollowedByAPullOfTheStepThatComesNext) {
  Start();
  PushOptions options;
  options.step = 4;
  const uint64_t call = PushPullB(options);
  uint64_t id = 0;
  const PushFrame push = NextAs<PushFrame>(0, &id);
  PushReplyFrame duplicate = Outcomes(push, Outcome::kDuplicate, 4);
  duplicate.first = Outcome::kPending;
  Answer(0, id, duplicate);
  EXPECT_FALSE(Done(call));
  const PullFrame pull = NextAs<PullFrame>(0, &id);
  EXPECT_EQ(pull.condition, PullCondition::kStep);
  EXPECT_EQ(pull.version, 5u);
  Answer(0, id, Values(2, 0, 5, 3));
  const PushResult result = Value<PushResult>(call);
  EXPECT_EQ(result.slices[0].first, PushOutcome::kPending);
  EXPECT_EQ(result.slices[0].values_version, 5u);
  EXPECT_EQ(b_[0], 3);
}

TEST_F(ClientPushTest, DuplicateOfAnInvalidPushIsInvalidAndWaitsForNoStep) {
  Start();
  const uint64_t call = Push({{1, GradientB(), 0, 0, {}, ViewB()}}, {}, /*want_values=*/true);
  uint64_t id = 0;
  const PushFrame push = NextAs<PushFrame>(0, &id);
  PushReplyFrame duplicate = Outcomes(push, Outcome::kDuplicate, 0);
  duplicate.first = Outcome::kInvalid;
  Answer(0, id, duplicate);
  EXPECT_TRUE(sent_[0].empty()) << "the step cannot commit before this part is pushed again";
  const PushResult result = Value<PushResult>(call);
  EXPECT_TRUE(result.ended(PushOutcome::kInvalid));
  EXPECT_FALSE(result.counted());
}

TEST_F(ClientPushTest, BlocksOfAStepBeyondTheRequestsAreRefusedAtOnce) {
  hello_.max_requests = 2;
  Start();
  PushOptions options;
  options.step = 7;
  const std::vector<TensorPush> all = {{0, GradientA()}, {1, GradientB()}};
  const uint64_t first = Push(all, options);
  options.first_part = 1;
  const uint64_t second = Push(all, options);
  EXPECT_EQ(Code(second), StatusCode::kResourceExhausted);
  EXPECT_EQ(Message(second),
            "step 7 does not fit: shard 0 (host0:1) takes 2 requests at once, and a push of 2 "
            "slices comes beside 1 blocks of the step with 2 requests that wait for it: use a "
            "larger slice_bytes or fewer gradient_shards");
  EXPECT_EQ(Message(first), Message(second)) << "it would wait for the second";
  options.step = 8;
  EXPECT_FALSE(Done(Push(all, options))) << "another step waits its turn";
}

TEST_F(ClientPushTest, OneBlockOfMoreSlicesThanRequestsGoesSliceBySlice) {
  hello_.max_requests = 1;
  Start();
  const uint64_t call = Push({{0, GradientA()}, {1, GradientB()}});
  for (const uint32_t shard : {0, 0, 1}) {
    ASSERT_EQ(sent_[shard].size(), 1u);
    uint64_t id = 0;
    const PushFrame push = NextAs<PushFrame>(shard, &id);
    Answer(shard, id, Outcomes(push, Outcome::kApplied, 1));
  }
  EXPECT_TRUE(Done(call));
}

TEST_F(ClientPushTest, EmptyPartNeedsNoPayload) {
  Start();
  PushOptions options;
  ClientEffects effects;
  client_->Push(500, {{0, {}}, {1, {}}}, {nullptr, nullptr}, options, false, now_, &effects);
  Run(&effects);
  uint64_t id = 0;
  const PushFrame push = NextAs<PushFrame>(0, &id);
  EXPECT_EQ(push.examples, 0u);
  EXPECT_TRUE(push.gradient.empty());
  EXPECT_EQ(push.count, 4u);
}

TEST_F(ClientPushTest, SliceNamedTwiceIsRefused) {
  Start();
  EXPECT_EQ(Code(Push({{1, GradientB()}, {1, GradientB()}})), StatusCode::kInvalidArgument);
}

TEST_F(ClientPushTest, UnknownOutcomeEndsTheConnectionNotTheProcess) {
  Start();
  const uint64_t call = PushB();
  uint64_t id = 0;
  const PushFrame push = NextAs<PushFrame>(0, &id);
  Answer(0, id, Outcomes(push, static_cast<Outcome>(200), 0));
  EXPECT_EQ(disconnected_.size(), 1u);
  EXPECT_FALSE(Done(call));
}

TEST_F(ClientPushTest, DuplicateOfWhatNoPushEndsWithEndsTheConnectionNotTheProcess) {
  for (const Outcome first : {Outcome::kUnspecified, Outcome::kOverloaded, Outcome::kMoved,
                              Outcome::kDuplicate, Outcome::kFenced, static_cast<Outcome>(200)}) {
    Start();
    disconnected_.clear();
    const uint64_t call = PushB();
    uint64_t id = 0;
    const PushFrame push = NextAs<PushFrame>(0, &id);
    PushReplyFrame duplicate = Outcomes(push, Outcome::kDuplicate, 1);
    duplicate.first = first;
    Answer(0, id, duplicate);
    EXPECT_EQ(disconnected_.size(), 1u) << static_cast<int>(first);
    EXPECT_FALSE(Done(call)) << static_cast<int>(first);
  }
}

TEST_F(ClientPushTest, SteadyStateAllocatesNoBlockForPayloads) {
  Start();
  uint64_t allocated = 0;
  for (int step = 0; step < 20; ++step) {
    PushOptions options;
    options.step = step;
    Push({{0, GradientA()}, {1, GradientB()}}, options);
    for (const uint32_t shard : {0u, 1u}) {
      while (!sent_[shard].empty()) {
        uint64_t id = 0;
        PushReplyFrame reply;
        {
          const PushFrame push = NextAs<PushFrame>(shard, &id);
          reply = Outcomes(push, Outcome::kApplied, step + 1);
        }
        Answer(shard, id, reply);
      }
    }
    if (step == 1) allocated = pool_.statistics().allocated;
  }
  EXPECT_EQ(pool_.statistics().allocated, allocated);
}

}  // namespace
}  // namespace weir
