// SPDX-License-Identifier: Apache-2.0
#include "ps/waiting_list.h"

#include <gtest/gtest.h>

namespace weir {
namespace {

RequestRef Request(uint64_t session, uint64_t id, int64_t deadline) {
  RequestRef request;
  request.session = session;
  request.request_id = id;
  request.deadline = absl::FromUnixSeconds(deadline);
  return request;
}

absl::Time At(int64_t seconds) { return absl::FromUnixSeconds(seconds); }

const PushId kPush{3, 1, 7};

TEST(WaitingListTest, ReadsComeOutWhenTheirVersionIsThereInOrder) {
  WaitingList waiting;
  waiting.AddRead(Request(1, 1, 10), /*slice=*/0, /*version=*/5);
  waiting.AddRead(Request(2, 1, 10), 0, 4);
  waiting.AddRead(Request(1, 2, 10), 0, 4);
  waiting.AddRead(Request(1, 3, 10), 1, 4);
  EXPECT_TRUE(waiting.TakeReads(0, 3).empty());
  const auto four = waiting.TakeReads(0, 4);
  ASSERT_EQ(four.size(), 2u);
  EXPECT_EQ(four[0].request.session, 2u);
  EXPECT_EQ(four[1].request.request_id, 2u);
  EXPECT_EQ(four[1].awaited, 4u);
  EXPECT_EQ(waiting.TakeReads(0, 5).size(), 1u);
  EXPECT_EQ(waiting.size(), 1u);
}

TEST(WaitingListTest, ARequestMayWaitForManySlices) {
  WaitingList waiting;
  for (uint32_t slice = 0; slice < 3; ++slice) waiting.AddRead(Request(1, 1, 10), slice, 1);
  EXPECT_EQ(waiting.size(), 1u);
  EXPECT_EQ(waiting.TakeReads(1, 1).size(), 1u);
  EXPECT_EQ(waiting.size(), 1u);
  const auto expired = waiting.TakeExpired(At(10));
  ASSERT_EQ(expired.size(), 1u);
  EXPECT_EQ(expired[0].slice, 0u);
  EXPECT_TRUE(waiting.TakeReads(0, 1).empty());
  EXPECT_TRUE(waiting.TakeReads(2, 1).empty());
}

TEST(WaitingListTest, APushSentAgainTakesTheWaitOver) {
  WaitingList waiting;
  EXPECT_FALSE(waiting.AddPush(Request(1, 1, 10), 0, kPush).has_value());
  const auto previous = waiting.AddPush(Request(2, 5, 20), 0, kPush);
  ASSERT_TRUE(previous.has_value());
  EXPECT_EQ(previous->session, 1u);
  EXPECT_EQ(waiting.size(), 1u);
  EXPECT_FALSE(waiting.TakePush(1, kPush).has_value());
  EXPECT_EQ(waiting.TakePush(0, kPush)->session, 2u);
  EXPECT_FALSE(waiting.TakePush(0, kPush).has_value());
  EXPECT_EQ(waiting.NextDeadline(), absl::InfiniteFuture());
}

TEST(WaitingListTest, DeadlinesComeOutEarliestFirstAndNotBeforeTheirTime) {
  WaitingList waiting;
  waiting.AddRead(Request(1, 1, 30), 0, 1);
  waiting.AddPush(Request(1, 2, 10), 4, kPush);
  waiting.AddRead(Request(1, 3, 20), 0, 1);
  EXPECT_EQ(waiting.NextDeadline(), At(10));
  EXPECT_TRUE(waiting.TakeExpired(At(9)).empty());
  const auto expired = waiting.TakeExpired(At(20));
  ASSERT_EQ(expired.size(), 2u);
  EXPECT_EQ(expired[0].request.request_id, 2u);
  EXPECT_EQ(expired[0].slice, 4u);
  EXPECT_EQ(expired[0].push, kPush);
  EXPECT_EQ(expired[1].request.request_id, 3u);
  EXPECT_FALSE(expired[1].push.has_value());
  EXPECT_EQ(waiting.NextDeadline(), At(30));
}

TEST(WaitingListTest, ASessionThatIsGoneWaitsForNothing) {
  WaitingList waiting;
  waiting.AddRead(Request(1, 1, 10), 0, 1);
  waiting.AddPush(Request(1, 2, 10), 0, kPush);
  waiting.AddRead(Request(2, 1, 10), 0, 1);
  waiting.Drop(1);
  EXPECT_EQ(waiting.size(), 1u);
  EXPECT_FALSE(waiting.TakePush(0, kPush).has_value());
  EXPECT_EQ(waiting.TakeReads(0, 1).size(), 1u);
  EXPECT_EQ(waiting.NextDeadline(), absl::InfiniteFuture());
}

TEST(WaitingListTest, AllCanBeTakenOut) {
  WaitingList waiting;
  waiting.AddRead(Request(1, 1, 10), 0, 1);
  waiting.AddPush(Request(1, 2, 10), 0, kPush);
  EXPECT_EQ(waiting.TakeAll().size(), 2u);
  EXPECT_EQ(waiting.size(), 0u);
}

}  // namespace
}  // namespace weir
