// SPDX-License-Identifier: Apache-2.0
#include "net/outbound_queue.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

namespace weir {
namespace {

constexpr size_t kLarge = 1 << 20;

// Frames are told apart by their first byte.
Payload Frame(char name, size_t bytes = 100) {
  auto owner = std::make_shared<std::string>(bytes, name);
  Payload payload;
  payload.Append(owner->data(), owner->size(), owner);
  return payload;
}

// The names of the frames of the next message, which has then been written.
std::string Next(OutboundQueue* queue, bool batches = false) {
  queue->Start(batches);
  std::string names;
  for (const OutboundQueue::Entry& entry : queue->writing())
    names.push_back(entry.wire.chunks()[0].data[0]);
  queue->Finish();
  return names;
}

class OutboundQueueTest : public testing::Test {
 protected:
  void Push(char name, bool hurry = false, size_t bytes = 100) {
    ASSERT_TRUE(queue.Push(Frame(name, bytes), 0, hurry));
  }
  // As after the hello.
  void Begin() {
    Push('h');
    ASSERT_EQ(Next(&queue), "h");
  }

  OutboundQueue queue{/*max_frames=*/100, /*max_bytes=*/64 * kLarge};
};

TEST_F(OutboundQueueTest, FramesInAHurryGoFirstAndElseAllGoInOrder) {
  Begin();
  Push('a');
  Push('b');
  Push('x', /*hurry=*/true);
  Push('y', /*hurry=*/true);
  EXPECT_EQ(Next(&queue), "x");
  EXPECT_EQ(Next(&queue), "y");
  EXPECT_EQ(Next(&queue), "a");
  EXPECT_EQ(Next(&queue), "b");
  EXPECT_TRUE(queue.idle());
}

TEST_F(OutboundQueueTest, NothingOvertakesTheHello) {
  Push('h');
  Push('x', /*hurry=*/true);
  EXPECT_EQ(Next(&queue), "h");
  EXPECT_EQ(Next(&queue), "x");
}

TEST_F(OutboundQueueTest, AFrameThatIsNotSmallIsInNoHurry) {
  Begin();
  Push('a');
  Push('x', /*hurry=*/true, OutboundQueue::kSmallFrameBytes + 1);
  EXPECT_EQ(Next(&queue), "a");
  EXPECT_EQ(Next(&queue), "x");
}

TEST_F(OutboundQueueTest, FramesThatWaitAreNotOvertakenForEver) {
  Begin();
  Push('a', /*hurry=*/false, kLarge);
  Push('b', /*hurry=*/false, kLarge);
  std::string sent;
  for (int i = 0; i < 2 * OutboundQueue::kMaxOvertaking + 2; ++i) {
    Push('x', /*hurry=*/true);  // there is always one
    sent += Next(&queue);
  }
  const std::string hurried(OutboundQueue::kMaxOvertaking, 'x');
  EXPECT_EQ(sent, hurried + "a" + hurried + "b");
}

TEST_F(OutboundQueueTest, ABatchHoldsSmallFramesThatGoTogether) {
  Begin();
  Push('a');
  Push('b');
  Push('c', /*hurry=*/false, kLarge);
  Push('d');
  Push('x', /*hurry=*/true);
  Push('y', /*hurry=*/true);
  EXPECT_EQ(Next(&queue, /*batches=*/true), "xy");
  EXPECT_EQ(Next(&queue, /*batches=*/true), "ab");
  EXPECT_EQ(Next(&queue, /*batches=*/true), "c");
  EXPECT_EQ(Next(&queue, /*batches=*/true), "d");
}

TEST_F(OutboundQueueTest, BoundsCountWhatIsBeingWrittenToo) {
  OutboundQueue small(/*max_frames=*/2, /*max_bytes=*/250);
  EXPECT_TRUE(small.Push(Frame('a'), 0, false));
  small.Start(false);
  EXPECT_FALSE(small.Push(Frame('b', 151), 0, false));
  EXPECT_TRUE(small.Push(Frame('b', 150), 0, false));
  EXPECT_FALSE(small.Push(Frame('c', 0), 0, false));
  small.Clear();
  EXPECT_EQ(small.frames(), 1u);
  EXPECT_EQ(small.bytes(), 100u);
  small.Finish();
  EXPECT_EQ(small.bytes(), 0u);
  EXPECT_TRUE(small.idle());
}

}  // namespace
}  // namespace weir
