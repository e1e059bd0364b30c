// SPDX-License-Identifier: Apache-2.0
#include "ps/session_credits.h"

#include <gtest/gtest.h>

namespace weir {
namespace {

class SessionCreditsTest : public testing::Test {
 protected:
  SessionCredits credits{{/*max_requests=*/3, /*max_push_bytes=*/100, /*max_reply_bytes=*/1000}};
};

TEST_F(SessionCreditsTest, RequestsAreBounded) {
  for (uint64_t id = 1; id <= 3; ++id) EXPECT_TRUE(credits.Begin(id).ok());
  EXPECT_EQ(credits.Begin(4).code(), absl::StatusCode::kResourceExhausted);
  credits.End(2);
  EXPECT_TRUE(credits.Begin(4).ok());
}

TEST_F(SessionCreditsTest, ARequestIdIsNotZeroAndNotInFlightTwice) {
  EXPECT_EQ(credits.Begin(0).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_TRUE(credits.Begin(1).ok());
  EXPECT_EQ(credits.Begin(1).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(credits.Answer(1, 0), 0u);
  EXPECT_FALSE(credits.InFlight(1));
  EXPECT_TRUE(credits.Begin(1).ok());
}

TEST_F(SessionCreditsTest, PushBytesAreBoundedUntilReleased) {
  EXPECT_TRUE(credits.Receive(60).ok());
  EXPECT_TRUE(credits.Receive(40).ok());
  EXPECT_EQ(credits.Receive(1).code(), absl::StatusCode::kResourceExhausted);
  credits.Release(60);
  EXPECT_TRUE(credits.Receive(60).ok());
  EXPECT_EQ(credits.Receive(~uint64_t{0}).code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(credits.push_bytes(), 100u);
}

TEST_F(SessionCreditsTest, ReplyBytesAreBoundedUntilAnswered) {
  credits.SetMaxRequests(4);
  credits.Begin(1).IgnoreError();
  credits.Begin(2).IgnoreError();
  EXPECT_TRUE(credits.AskFor(1, 900, 3).ok());
  EXPECT_EQ(credits.AskFor(2, 200, 1).code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(credits.AskFor(2, ~uint64_t{0}, 1).code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(credits.Answer(1, 300), 2u);
  EXPECT_TRUE(credits.AskFor(2, 200, 1).ok());
  EXPECT_EQ(credits.Answer(1, 300), 1u);
  EXPECT_EQ(credits.Answer(1, 300), 0u);
  EXPECT_EQ(credits.reply_bytes(), 200u);
  credits.End(2);
  EXPECT_EQ(credits.reply_bytes(), 0u);
  EXPECT_EQ(credits.requests(), 0u);
}

TEST_F(SessionCreditsTest, AnswersThatNobodyReadsAreBounded) {
  for (uint64_t id = 1; id <= 6; ++id) {
    EXPECT_TRUE(credits.Begin(id).ok());
    credits.End(id);
    credits.Queue(0, /*is_answer=*/true);
  }
  EXPECT_EQ(credits.Begin(7).code(), absl::StatusCode::kResourceExhausted);
  credits.Sent(0);
  EXPECT_TRUE(credits.Begin(7).ok());
}

TEST_F(SessionCreditsTest, OneRequestMayHaveAnyNumberOfAnswersUnread) {
  EXPECT_TRUE(credits.Begin(1).ok());
  EXPECT_TRUE(credits.AskFor(1, 0, 20).ok());
  for (int answer = 0; answer < 20; ++answer) {
    credits.Answer(1, 0);
    credits.Queue(0, /*is_answer=*/true);
  }
  EXPECT_TRUE(credits.Begin(2).ok());
}

TEST_F(SessionCreditsTest, ARequestCountsAsManyAsItHasAnswersToCome) {
  EXPECT_TRUE(credits.Begin(1).ok());
  EXPECT_TRUE(credits.Begin(2).ok());
  EXPECT_EQ(credits.AskFor(2, 0, 3).code(), absl::StatusCode::kResourceExhausted);
  EXPECT_TRUE(credits.AskFor(2, 0, 2).ok());
  EXPECT_EQ(credits.Begin(3).code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(credits.Answer(2, 0), 1u);
  EXPECT_TRUE(credits.Begin(3).ok());
  for (const uint64_t id : {1, 2, 3}) credits.End(id);
  EXPECT_TRUE(credits.Begin(4).ok());
  EXPECT_TRUE(credits.AskFor(4, 0, 100).ok()) << "alone, any number";
  EXPECT_EQ(credits.Begin(5).code(), absl::StatusCode::kResourceExhausted);
}

TEST_F(SessionCreditsTest, UnreadAnswersWithoutPayloadAreBoundedHoweverFewRequestsAskForThem) {
  uint64_t id = 0;
  uint64_t unread = 0;
  while (true) {
    if (!credits.Begin(++id).ok() || !credits.AskFor(id, 0, 10).ok()) break;
    while (credits.InFlight(id)) {
      credits.Answer(id, 0);
      credits.Queue(0, /*is_answer=*/true);
      ++unread;
    }
    ASSERT_LE(unread, 20u);
  }
  EXPECT_EQ(unread, 20u);
}

TEST_F(SessionCreditsTest, BareCreditFramesAreNoAnswers) {
  for (int frame = 0; frame < 20; ++frame) credits.Queue(0, /*is_answer=*/false);
  EXPECT_TRUE(credits.Begin(1).ok());
}

TEST_F(SessionCreditsTest, BytesThatNobodyReadsAreBounded) {
  credits.Queue(1500, /*is_answer=*/true);
  credits.Begin(1).IgnoreError();
  EXPECT_EQ(credits.AskFor(1, 501, 1).code(), absl::StatusCode::kResourceExhausted);
  EXPECT_TRUE(credits.AskFor(1, 500, 1).ok());
  EXPECT_TRUE(credits.has_unsent());
  credits.Sent(1500);
  EXPECT_FALSE(credits.has_unsent());
  credits.Sent(1500);  // one too many harms nothing
  credits.Sent(0);
  credits.Queue(10, /*is_answer=*/true);
  EXPECT_TRUE(credits.has_unsent());
}

TEST_F(SessionCreditsTest, AnAnswerThatOvertakesAnotherSettlesItsOwnBytes) {
  credits.Begin(1).IgnoreError();
  credits.Queue(0, /*is_answer=*/true);
  credits.Queue(900, /*is_answer=*/true);
  credits.Queue(600, /*is_answer=*/true);
  credits.Sent(600);
  EXPECT_EQ(credits.AskFor(1, 1000, 1).code(), absl::StatusCode::kOk) << "900 wait, not 1500";
  credits.End(1);
  credits.Begin(2).IgnoreError();
  credits.Queue(600, /*is_answer=*/true);
  credits.Sent(0);
  EXPECT_EQ(credits.AskFor(2, 501, 1).code(), absl::StatusCode::kResourceExhausted)
      << "1500 wait, not 600";
  credits.Sent(900);
  credits.Sent(600);
  EXPECT_FALSE(credits.has_unsent());
}

TEST_F(SessionCreditsTest, ABareCreditIsDueOnlyWhenTheClientMayRunOut) {
  EXPECT_FALSE(credits.WantsCredit(10));
  EXPECT_TRUE(credits.Receive(50).ok());
  EXPECT_FALSE(credits.WantsCredit(10));
  credits.Release(50);
  EXPECT_FALSE(credits.WantsCredit(10));  // it has half of its credit left
  EXPECT_TRUE(credits.WantsCredit(60));   // which is too little for a push of 60
  EXPECT_TRUE(credits.Receive(1).ok());
  EXPECT_TRUE(credits.WantsCredit(10));
  EXPECT_EQ(credits.TellReleased(), 50u);
  EXPECT_FALSE(credits.WantsCredit(100));
}

// A client that pushes whenever its own count allows never stands still while everything it sent
// has been released.
TEST_F(SessionCreditsTest, NoClientIsLeftWithoutCreditThatWasReleased) {
  for (uint64_t size = 1; size <= 100; ++size) {
    SessionCredits server({3, 100, 1000});
    uint64_t sent = 0;
    uint64_t told = 0;
    for (int push = 0; push < 50; ++push) {
      ASSERT_LE(sent - told + size, 100u) << "the client waits for ever with pushes of " << size;
      sent += size;
      ASSERT_TRUE(server.Receive(size).ok());
      server.Release(size);
      if (server.WantsCredit(size)) told = server.TellReleased();
    }
  }
}

}  // namespace
}  // namespace weir
