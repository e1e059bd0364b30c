// SPDX-License-Identifier: Apache-2.0
// Pulls and syncs: routing, reassembly, versions, credits.
#include "tests/worker/client_harness.h"

namespace weir {
namespace {

class ClientPullTest : public ClientHarness {};

TEST_F(ClientPullTest, SlicesOfATensorComeFromTheirShardsIntoTheCallersMemory) {
  Start();
  const uint64_t call = Pull({{0, ViewA()}, {1, ViewB()}});
  AnswerPull(1, 3, 1.5f);  // the second half first
  AnswerPull(0, 4, 2.5f);
  EXPECT_FALSE(Done(call));
  AnswerPull(0, 5, 3.5f);
  const PullResult result = Value<PullResult>(call);
  EXPECT_EQ(a_, (std::vector<float>{2.5, 2.5, 2.5, 2.5, 1.5, 1.5, 1.5, 1.5}));
  EXPECT_EQ(b_, (std::vector<float>{3.5, 3.5, 3.5, 3.5}));
  ASSERT_EQ(result.tensors.size(), 2u);
  EXPECT_EQ(result.tensors[0].slices, (std::vector<uint64_t>{4, 3}));
  EXPECT_EQ(result.tensors[0].min_version, 3u);
  EXPECT_EQ(result.tensors[0].max_version, 4u);
  EXPECT_EQ(result.min_version, 3u);
  EXPECT_EQ(result.max_version, 5u);
}

TEST_F(ClientPullTest, RangeOfATensorLandsWhereItBelongs) {
  Start();
  const uint64_t call = Pull({{0, ViewA(), 4, 4, {}}});
  EXPECT_TRUE(sent_[0].empty());
  AnswerPull(1, 1, 7);
  EXPECT_TRUE(Done(call));
  EXPECT_EQ(a_, (std::vector<float>{0, 0, 0, 0, 7, 7, 7, 7}));
}

TEST_F(ClientPullTest, RangeThatCutsASliceIsRefused) {
  Start();
  EXPECT_EQ(Code(Pull({{0, ViewA(), 2, 4, {}}})), StatusCode::kInvalidArgument);
  EXPECT_EQ(Code(Pull({{0, ViewA(), 0, 6, {}}})), StatusCode::kInvalidArgument);
  EXPECT_EQ(Code(Pull({{0, ViewA(), 8, 0, {}}})), StatusCode::kInvalidArgument);
  EXPECT_EQ(Code(Pull({{2, ViewA()}})), StatusCode::kNotFound);
  EXPECT_EQ(Code(Pull({})), StatusCode::kInvalidArgument);
}

TEST_F(ClientPullTest, ViewOfTheWrongSizeTypeOrDeviceIsRefused) {
  Start();
  EXPECT_EQ(Code(Pull({{1, ViewA()}})), StatusCode::kInvalidArgument);
  MutableTensorView view = ViewB();
  view.type = ElementType::kFloat16;
  EXPECT_EQ(Code(Pull({{1, view}})), StatusCode::kUnimplemented);
  view = ViewB();
  view.device = Device::kCuda;
  EXPECT_EQ(Code(Pull({{1, view}})), StatusCode::kUnimplemented);
  view = ViewB();
  view.data = nullptr;
  EXPECT_EQ(Code(Pull({{1, view}})), StatusCode::kInvalidArgument);
}

TEST_F(ClientPullTest, VersionsAtHandAreNamedAndNotSentAgain) {
  Start();
  const uint64_t call = Pull({{0, ViewA(), 0, 0, {6, 7}}});
  uint64_t id = 0;
  PullFrame first = NextAs<PullFrame>(0, &id);
  EXPECT_EQ(first.condition, PullCondition::kHave);
  EXPECT_EQ(first.version, 6u);
  PullReplyFrame unchanged;
  unchanged.tensor_id = 1;
  unchanged.count = 4;
  unchanged.version = 6;
  unchanged.not_modified = true;
  Answer(0, id, unchanged);
  AnswerPull(1, 9, 5);
  const PullResult result = Value<PullResult>(call);
  EXPECT_EQ(result.not_modified, 1u);
  EXPECT_EQ(result.tensors[0].slices, (std::vector<uint64_t>{6, 9}));
  EXPECT_EQ(a_, (std::vector<float>{0, 0, 0, 0, 5, 5, 5, 5}));
}

TEST_F(ClientPullTest, ExpectedVersionThatIsNotThereCountsAsStale) {
  Start();
  PullOptions options;
  options.expect = 3;
  const uint64_t call = Pull({{1, ViewB()}}, options);
  uint64_t id = 0;
  EXPECT_EQ(NextAs<PullFrame>(0, &id).condition, PullCondition::kExpect);
  PullReplyFrame stale;
  stale.tensor_id = 2;
  stale.count = 4;
  stale.version = 8;
  stale.stale = true;
  Answer(0, id, stale);
  const PullResult result = Value<PullResult>(call);
  EXPECT_EQ(result.stale, 1u);
  EXPECT_EQ(result.max_version, 8u);
}

TEST_F(ClientPullTest, StepWhoseWeightsAreGoneEndsTheCallAborted) {
  Start();
  PullOptions options;
  options.step = 3;
  const uint64_t call = Pull({{1, ViewB()}}, options);
  uint64_t id = 0;
  EXPECT_EQ(NextAs<PullFrame>(0, &id).condition, PullCondition::kStep);
  PullReplyFrame stale;
  stale.tensor_id = 2;
  stale.count = 4;
  stale.version = 8;
  stale.stale = true;
  Answer(0, id, stale);
  EXPECT_EQ(Code(call), StatusCode::kAborted);
  EXPECT_EQ(client_->statistics().requests, 0u);
}

TEST_F(ClientPullTest, SyncAsksEachShardOnceForAllItsSlices) {
  Start();
  PullOptions options;
  options.step = 2;
  const uint64_t call = Sync({{0, ViewA()}, {1, ViewB()}}, options);
  uint64_t id = 0;
  const SyncFrame sync = NextAs<SyncFrame>(0, &id);
  EXPECT_EQ(sync.tensor_ids, (std::vector<uint32_t>{1, 2}));
  EXPECT_TRUE(sync.at_step);
  EXPECT_EQ(sync.step, 2u);
  PullReplyFrame first = Values(1, 0, 2, 4);
  first.remaining = 1;
  Answer(0, id, first);
  Answer(0, id, Values(2, 0, 2, 6));
  EXPECT_FALSE(Done(call));
  const SyncFrame other = NextAs<SyncFrame>(1, &id);
  EXPECT_EQ(other.tensor_ids, (std::vector<uint32_t>{1}));
  Answer(1, id, Values(1, 4, 2, 5));
  EXPECT_EQ(Value<PullResult>(call).max_version, 2u);
  EXPECT_EQ(a_, (std::vector<float>{4, 4, 4, 4, 5, 5, 5, 5}));
  EXPECT_EQ(b_[3], 6);
}

TEST_F(ClientPullTest, SyncBeyondTheReplyCreditIsRefusedUnlessAStepMakesItACut) {
  hello_.max_reply_bytes = 16;  // one slice
  Start();
  EXPECT_EQ(Code(Sync({{0, ViewA()}, {1, ViewB()}})), StatusCode::kResourceExhausted);
  PullOptions options;
  options.step = 2;
  const uint64_t call = Sync({{0, ViewA()}, {1, ViewB()}}, options);
  AnswerPull(0, 2, 1);
  AnswerPull(0, 2, 1);
  AnswerPull(1, 2, 1);
  EXPECT_TRUE(Done(call));
}

TEST_F(ClientPullTest, PullSentAgainAfterALostConnectionIsAnsweredOnce) {
  Start();
  const uint64_t call = Pull({{0, ViewA()}});
  AnswerPull(1, 1, 1);
  Disconnect(0);
  Advance(absl::Seconds(1));
  Greet(0);
  AnswerPull(0, 2, 2);
  EXPECT_EQ(Value<PullResult>(call).tensors[0].slices, (std::vector<uint64_t>{2, 1}));
  EXPECT_EQ(client_->statistics().resent, 1u);
}

TEST_F(ClientPullTest, SyncThatLeavesASliceOutEndsTheConnectionAndNotTheCall) {
  for (const bool brings_one_twice : {false, true}) {
    connections_.clear();
    disconnected_.clear();
    Start();
    const uint64_t call = Sync({{0, ViewA()}, {1, ViewB()}});
    uint64_t id = 0;
    NextAs<SyncFrame>(1, &id);
    Answer(1, id, Values(1, 4, 7, 2));
    NextAs<SyncFrame>(0, &id);
    PullReplyFrame part = Values(1, 0, 7, 1);
    if (brings_one_twice) {
      part.remaining = 1;
      Answer(0, id, part);
      part.remaining = 0;
    }
    Answer(0, id, part);
    EXPECT_EQ(disconnected_.size(), 1u);
    EXPECT_FALSE(Done(call));
  }
}

TEST_F(ClientPullTest, SyncCutByALostConnectionBeginsAnew) {
  Start();
  const uint64_t call = Sync({{0, ViewA()}, {1, ViewB()}});
  uint64_t id = 0;
  NextAs<SyncFrame>(1, &id);
  Answer(1, id, Values(1, 4, 2, 5));
  NextAs<SyncFrame>(0, &id);
  PullReplyFrame first = Values(1, 0, 2, 4);
  first.remaining = 1;
  Answer(0, id, first);
  Disconnect(0);
  Advance(absl::Seconds(1));
  Greet(0);
  NextAs<SyncFrame>(0, &id);
  first = Values(1, 0, 3, 8);
  first.remaining = 1;
  Answer(0, id, first);
  EXPECT_FALSE(Done(call));
  Answer(0, id, Values(2, 0, 3, 9));
  EXPECT_EQ(Value<PullResult>(call).tensors[0].slices, (std::vector<uint64_t>{3, 2}));
  EXPECT_EQ(a_[0], 8);
}

TEST_F(ClientPullTest, ASyncCountsAsManyRequestsAsItHasAnswers) {
  hello_.max_requests = 2;
  Start();
  const uint64_t b = Pull({{1, ViewB()}});
  Sync({{0, ViewA()}, {1, ViewB()}});  // two answers of shard 0, one of shard 1
  EXPECT_EQ(sent_[0].size(), 1u) << "the pull";
  EXPECT_EQ(sent_[1].size(), 1u);
  AnswerPull(0, 1, 1);
  EXPECT_TRUE(Done(b));
  ASSERT_EQ(sent_[0].size(), 1u);
  EXPECT_TRUE(std::holds_alternative<SyncFrame>(sent_[0].front().kind));
}

TEST_F(ClientPullTest, ASyncOfMoreAnswersThanRequestsGoesAlone) {
  hello_.max_requests = 1;
  Start();
  Sync({{0, ViewA()}, {1, ViewB()}});
  EXPECT_EQ(sent_[0].size(), 1u);
  Pull({{1, ViewB()}});
  EXPECT_EQ(sent_[0].size(), 1u) << "it waits for the sync";
}

TEST_F(ClientPullTest, RequestsBeyondTheCreditWaitFirstLayersFirst) {
  hello_.max_requests = 1;
  Start();
  const uint64_t b = Pull({{1, ViewB()}});
  const uint64_t b_again = Pull({{1, ViewB()}});
  const uint64_t a = Pull({{0, ViewA()}});
  EXPECT_EQ(sent_[0].size(), 1u);
  AnswerPull(0, 1, 1);
  EXPECT_TRUE(Done(b));
  ASSERT_EQ(sent_[0].size(), 1u) << "one credit, one request";
  EXPECT_EQ(std::get<PullFrame>(sent_[0].front().kind).tensor_id, 1u)
      << "the first layer overtakes";
  AnswerPull(0, 1, 1);
  AnswerPull(1, 1, 1);
  EXPECT_TRUE(Done(a));
  AnswerPull(0, 1, 1);
  EXPECT_TRUE(Done(b_again));
}

TEST_F(ClientPullTest, ReplyBytesAreNeverAskedForBeyondTheCredit) {
  hello_.max_reply_bytes = 20;  // one slice of 16 bytes, not two
  Start();
  Pull({{0, ViewA()}, {1, ViewB()}});
  EXPECT_EQ(sent_[0].size(), 1u);
  EXPECT_EQ(sent_[1].size(), 1u);
  AnswerPull(0, 1, 1);
  EXPECT_EQ(sent_[0].size(), 1u);
}

TEST_F(ClientPullTest, PullsThatFollowEachOtherDoNotKeepASyncWaitingForEver) {
  hello_.max_reply_bytes = 40;  // two slices of 16 bytes, not three
  Start();
  Pull({{1, ViewB()}});
  Pull({{1, ViewB()}});
  const uint64_t sync = Sync({{0, ViewA()}, {1, ViewB()}});
  Pull({{1, ViewB()}});
  EXPECT_EQ(sent_[0].size(), 2u);
  AnswerPull(0, 1, 1);
  EXPECT_EQ(sent_[0].size(), 1u) << "room for the pull that came last, but the sync needs it";
  AnswerPull(0, 1, 1);
  uint64_t id = 0;
  NextAs<SyncFrame>(0, &id);
  EXPECT_FALSE(Done(sync));
}

TEST_F(ClientPullTest, SliceThatNoCreditCouldHoldIsRefusedNamingTheLimit) {
  hello_.max_reply_bytes = 15;
  Start();
  const uint64_t call = Pull({{1, ViewB()}});
  EXPECT_EQ(Code(call), StatusCode::kResourceExhausted);
  EXPECT_NE(Message(call).find("15 reply bytes"), std::string::npos) << Message(call);
}

TEST_F(ClientPullTest, DeadlineEndsTheCallAndSaysForWhomItWaited) {
  Start();
  PullOptions options;
  options.deadline = Deadline{2000};
  options.step = 4;
  const uint64_t call = Pull({{1, ViewB()}}, options);
  const ClientFrame frame = Next(0);
  EXPECT_EQ(frame.deadline_ms, 1750u)
      << "the server is given less, so that its answer comes in time";
  Advance(absl::Milliseconds(1750));
  Answer(0, frame.request_id, ErrorReplyFrame{Outcome::kPending, "step 3 waits for parts 2 to 3"});
  Advance(absl::Milliseconds(250));
  EXPECT_EQ(Code(call), StatusCode::kDeadlineExceeded);
  EXPECT_EQ(Message(call),
            "pull not done in time: 1 answer is missing, the first from shard 0 (host0:1): step 3 "
            "waits for parts 2 to 3");
}

TEST_F(ClientPullTest, WaitThatTheServerEndsEarlyIsAskedForAgain) {
  hello_.max_wait_ms = 1000;
  Start();
  PullOptions options;
  options.step = 4;
  const uint64_t call = Pull({{1, ViewB()}}, options);
  const ClientFrame frame = Next(0);
  EXPECT_EQ(frame.deadline_ms, 1000u);
  Advance(absl::Milliseconds(1000));
  Answer(0, frame.request_id, ErrorReplyFrame{Outcome::kPending, "step 3 waits for part 2"});
  Advance(absl::Milliseconds(10));
  AnswerPull(0, 4, 1);
  EXPECT_TRUE(Value<PullResult>(call).max_version == 4);
}

TEST_F(ClientPullTest, AnswerAfterTheDeadlineTouchesNoMemoryAndGivesItsCreditBack) {
  hello_.max_requests = 1;
  Start();
  PullOptions options;
  options.deadline = Deadline{100};
  const uint64_t call = Pull({{1, ViewB()}}, options);
  Advance(absl::Milliseconds(101));
  EXPECT_EQ(Code(call), StatusCode::kDeadlineExceeded);
  const uint64_t next = Pull({{1, ViewB()}});
  ASSERT_EQ(sent_[0].size(), 1u) << "the credit is still out";
  AnswerPull(0, 1, 5);
  EXPECT_EQ(b_[0], 0);
  AnswerPull(0, 1, 6);
  EXPECT_TRUE(Done(next));
  EXPECT_EQ(b_[0], 6);
}

TEST_F(ClientPullTest, CancelledCallEndsAtOnceAndOnlyOnce) {
  Start();
  const uint64_t call = Pull({{1, ViewB()}});
  ClientEffects effects;
  client_->Cancel(call, now_, &effects);
  client_->Cancel(call, now_, &effects);
  Run(&effects);
  EXPECT_EQ(Code(call), StatusCode::kCancelled);
  AnswerPull(0, 1, 5);
  EXPECT_EQ(b_[0], 0);
}

TEST_F(ClientPullTest, OverloadedIsAskedAgainLater) {
  Start();
  const uint64_t call = Pull({{1, ViewB()}});
  Answer(0, Next(0).request_id, ErrorReplyFrame{Outcome::kOverloaded, ""});
  EXPECT_TRUE(sent_[0].empty());
  Advance(absl::Milliseconds(51));
  AnswerPull(0, 1, 5);
  EXPECT_TRUE(Done(call));
}

TEST_F(ClientPullTest, InvalidEndsTheCallWithTheShardsSentence) {
  Start();
  const uint64_t call = Pull({{0, ViewA()}});
  Answer(0, Next(0).request_id, ErrorReplyFrame{Outcome::kInvalid, "no tensor 1"});
  EXPECT_EQ(Code(call), StatusCode::kInvalidArgument);
  EXPECT_EQ(Message(call), "shard 0 (host0:1): no tensor 1");
  AnswerPull(1, 1, 1);  // the other half comes too late
  EXPECT_EQ(a_[4], 0);
}

TEST_F(ClientPullTest, AnswerThatDoesNotFitEndsTheConnectionAndIsAskedForAgain) {
  Start();
  const uint64_t call = Pull({{1, ViewB()}});
  const uint64_t connection = connections_[0];
  PullReplyFrame wrong = Values(2, 0, 1, 1);
  wrong.tensor_data = Floats({1, 2, 3});
  Answer(0, Next(0).request_id, wrong);
  EXPECT_EQ(disconnected_, std::vector<uint64_t>{connection});
  EXPECT_FALSE(Done(call));
  Advance(absl::Seconds(1));
  Greet(0);
  AnswerPull(0, 1, 4);
  EXPECT_TRUE(Done(call));
}

TEST_F(ClientPullTest, MoreCallsThanTheLimitAreRefused) {
  options_.max_calls = 2;
  Start();
  Pull({{1, ViewB()}});
  Pull({{1, ViewB()}});
  const uint64_t third = Pull({{1, ViewB()}});
  EXPECT_EQ(Code(third), StatusCode::kResourceExhausted);
  EXPECT_NE(Message(third).find("2 calls"), std::string::npos);
}

}  // namespace
}  // namespace weir
