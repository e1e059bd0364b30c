// SPDX-License-Identifier: Apache-2.0
// Values that are lent to the caller instead of copied to its memory.
#include "tests/worker/client_harness.h"

namespace weir {
namespace {

class ClientLentTest : public ClientHarness {
 protected:
  void Return(const Loan& loan) {
    ClientEffects effects;
    client_->Returned(loan, now_, &effects);
    Run(&effects);
  }
  static std::vector<float> Read(const LentSlice& slice) {
    return {slice.values, slice.values + slice.count};
  }
};

TEST_F(ClientLentTest, AnEntryWithoutMemoryIsLentItsSlicesWhereTheyLie) {
  Start();
  const uint64_t call = Pull({{0, {}}, {1, ViewB()}});
  uint64_t id = 0;
  NextAs<PullFrame>(0, &id);
  const PullReplyFrame reply = Values(1, 0, 4, 2.5f);
  const char* const where = reply.tensor_data.chunks()[0].data;
  Answer(0, id, reply);
  AnswerPull(1, 3, 1.5f);
  AnswerPull(0, 5, 3.5f);
  const PullResult result = Value<PullResult>(call);
  ASSERT_EQ(result.lent.size(), 2u);
  EXPECT_EQ(reinterpret_cast<const char*>(result.lent[0].values), where);
  EXPECT_EQ(Read(result.lent[0]), (std::vector<float>{2.5, 2.5, 2.5, 2.5}));
  EXPECT_EQ(result.lent[0].tensor, 0u);
  EXPECT_EQ(result.lent[0].offset, 0u);
  EXPECT_EQ(result.lent[0].version, 4u);
  EXPECT_EQ(result.lent[1].offset, 4u);
  EXPECT_EQ(Read(result.lent[1]), (std::vector<float>{1.5, 1.5, 1.5, 1.5}));
  EXPECT_EQ(b_, (std::vector<float>{3.5, 3.5, 3.5, 3.5}));
  EXPECT_EQ(a_, std::vector<float>(8));
}

TEST_F(ClientLentTest, ValuesInPiecesArePutTogetherInABlock) {
  Start();
  const uint64_t call = Pull({{1, {}}});
  uint64_t id = 0;
  NextAs<PullFrame>(0, &id);
  PullReplyFrame reply = Values(2, 0, 1, 7.5f);
  const Payload::Chunk whole = reply.tensor_data.chunks()[0];
  reply.tensor_data = Payload();
  reply.tensor_data.Append(whole.data, 6, whole.owner);
  reply.tensor_data.Append(whole.data + 6, whole.size - 6, whole.owner);
  Answer(0, id, reply);
  const PullResult result = Value<PullResult>(call);
  ASSERT_EQ(result.lent.size(), 1u);
  EXPECT_NE(reinterpret_cast<const char*>(result.lent[0].values), whole.data);
  EXPECT_EQ(Read(result.lent[0]), (std::vector<float>{7.5, 7.5, 7.5, 7.5}));
  EXPECT_TRUE(Completion(call).loans.empty());  // it is this side's memory
}

TEST_F(ClientLentTest, APushPullIsLentTheNewValues) {
  options_.mode = Mode::kAsp;
  hello_.mode = 2;
  Start();
  AnswerPull((Pull({{1, ViewB()}}), 0), 1, 0);
  const uint64_t call = Push({{1, GradientB()}}, {}, /*want_values=*/true);
  uint64_t id = 0;
  const PushFrame push = NextAs<PushFrame>(0, &id);
  PushReplyFrame reply;
  reply.sequence = push.sequence;
  reply.tensor_id = 2;
  reply.outcome = Outcome::kApplied;
  reply.version = 2;
  reply.count = 4;
  reply.codec = Codec::kF32;
  reply.tensor_data = Values(2, 0, 2, 9).tensor_data;
  Answer(0, id, reply);
  const PushResult result = Value<PushResult>(call);
  ASSERT_EQ(result.lent.size(), 1u);
  EXPECT_EQ(result.lent[0].version, 2u);
  EXPECT_EQ(Read(result.lent[0]), (std::vector<float>{9, 9, 9, 9}));
}

TEST_F(ClientLentTest, WhatIsLentHoldsReplyCreditUntilItIsReturned) {
  hello_.max_reply_bytes = 16;  // one slice
  Start();
  const uint64_t first = Pull({{1, {}}});
  AnswerPull(0, 1, 1);
  const std::vector<Loan> loans = Completion(first).loans;
  ASSERT_EQ(loans.size(), 1u);
  EXPECT_EQ(loans[0].bytes, 16u);
  const uint64_t second = Pull({{1, ViewB()}});
  EXPECT_TRUE(sent_[0].empty());
  Return(loans[0]);
  AnswerPull(0, 2, 2);
  EXPECT_EQ(Value<PullResult>(second).max_version, 2u);
}

TEST_F(ClientLentTest, WhoNeverReturnsWhatIsLentWaitsNoLongerThanTheDeadline) {
  hello_.max_reply_bytes = 16;
  Start();
  const uint64_t first = Pull({{1, {}}});
  AnswerPull(0, 1, 1);
  EXPECT_EQ(Completion(first).loans.size(), 1u);
  PullOptions options;
  options.deadline = Deadline{500};
  const uint64_t second = Pull({{1, ViewB()}}, options);
  now_ += absl::Seconds(1);
  ClientEffects effects;
  client_->Tick(now_, &effects);
  Run(&effects);
  EXPECT_EQ(Code(second), StatusCode::kDeadlineExceeded);
}

TEST_F(ClientLentTest, CreditOfALostSessionIsNotGivenBackToTheNext) {
  hello_.max_reply_bytes = 16;
  Start();
  const uint64_t first = Pull({{1, {}}});
  AnswerPull(0, 1, 1);
  Loan old = Completion(first).loans.at(0);
  old.connection += 1000;
  const uint64_t second = Pull({{1, ViewB()}});
  Return(old);
  EXPECT_TRUE(sent_[0].empty());
  EXPECT_FALSE(Done(second));
}

TEST_F(ClientLentTest, ACallThatEndsEarlyGivesBackWhatItWouldHaveLent) {
  hello_.max_reply_bytes = 16;
  Start();
  const uint64_t first = Pull({{0, {}}});
  AnswerPull(0, 1, 1);  // the other slice never comes
  ClientEffects effects;
  client_->Cancel(first, now_, &effects);
  Run(&effects);
  EXPECT_EQ(Code(first), StatusCode::kCancelled);
  const uint64_t second = Pull({{1, ViewB()}});
  AnswerPull(0, 2, 2);
  EXPECT_TRUE(Done(second));
}

}  // namespace
}  // namespace weir
