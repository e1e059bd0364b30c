// SPDX-License-Identifier: Apache-2.0
// Which payload bytes the client moves, and which of them it copies.
#include <gtest/gtest.h>

#include <cstring>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "core/pages.h"
#include "tests/worker/client_harness.h"
#include "worker/memory_registry.h"

namespace weir {
namespace {

constexpr size_t kSliceBytes = 16;

class ClientTrafficTest : public ClientHarness {
 protected:
  ClientTrafficTest() {
    options_.mode = Mode::kAsp;
    hello_.mode = 2;
    memory_ = registry_.Allocate(1024).value();
    for (int i = 0; i < 12; ++i) memory_->floats()[i] = static_cast<float>(i);
  }

  // Both tensors as they are at version 3.
  void PullAll() {
    const uint64_t call = Pull({{0, ViewA()}, {1, ViewB()}});
    AnswerPull(0, 3, 0.5f);
    AnswerPull(0, 3, 0.5f);
    AnswerPull(1, 3, 0.5f);
    ASSERT_EQ(Code(call), StatusCode::kOk);
  }

  // A push-pull of both tensors from the registered memory.
  uint64_t PushRegistered(PushOptions options = {}) {
    std::vector<TensorPush> pushes(2);
    pushes[0].gradient = {memory_->data(), ElementType::kFloat32, 8};
    pushes[0].into = ViewA();
    pushes[1].tensor = 1;
    pushes[1].gradient = {memory_->floats() + 8, ElementType::kFloat32, 4};
    pushes[1].into = ViewB();
    return PushFrom(registry_.Owners(pushes), pushes, options, /*want_values=*/true);
  }

  void AnswerPush(uint32_t shard, PushFrame* taken) {
    uint64_t id = 0;
    *taken = NextAs<PushFrame>(shard, &id);
    PushReplyFrame reply = Outcomes(*taken, Outcome::kApplied, 4);
    reply.count = 4;
    reply.tensor_data = Floats({1, 1, 1, 1});
    Answer(shard, id, reply);
  }

  PayloadTraffic Traffic() const { return client_->statistics().traffic; }

  MemoryRegistry registry_{1 << 20, MapPages};
  std::optional<TensorMemory> memory_;
};

TEST_F(ClientTrafficTest, GradientsInRegisteredMemoryAreSentWithoutACopy) {
  Start();
  PullAll();
  const uint64_t call = PushRegistered();
  PushFrame a0, b, a4;
  AnswerPush(0, &a0);
  AnswerPush(0, &b);
  AnswerPush(1, &a4);
  ASSERT_EQ(Code(call), StatusCode::kOk);
  const char* memory = static_cast<const char*>(memory_->data());
  EXPECT_EQ(a0.gradient.chunks()[0].data, memory);
  EXPECT_EQ(a4.gradient.chunks()[0].data, memory + kSliceBytes);
  EXPECT_EQ(b.gradient.chunks()[0].data, memory + 2 * kSliceBytes);
  EXPECT_EQ(FloatsOf(a4.gradient), (std::vector<float>{4, 5, 6, 7}));
  EXPECT_EQ(Traffic().sent_bytes, 3 * kSliceBytes);
  EXPECT_EQ(Traffic().sent_copied_bytes, 0u);
  EXPECT_EQ(Traffic().received_bytes, 6 * kSliceBytes);
  EXPECT_EQ(Traffic().received_copied_bytes, 0u);
}

TEST_F(ClientTrafficTest, OtherGradientsAreCopiedAndCounted) {
  Start();
  PullAll();
  Push({{0, GradientA()}, {1, GradientB()}});
  uint64_t id = 0;
  const PushFrame push = NextAs<PushFrame>(0, &id);
  EXPECT_NE(push.gradient.chunks()[0].data, reinterpret_cast<const char*>(gradient_a_.data()));
  EXPECT_EQ(push.gradient.copied_bytes(), kSliceBytes);
  EXPECT_EQ(Traffic().sent_bytes, 3 * kSliceBytes);
  EXPECT_EQ(Traffic().sent_copied_bytes, 3 * kSliceBytes);
}

TEST_F(ClientTrafficTest, FrameOfACallThatHasEndedKeepsItsMemoryAlive) {
  Start();
  PullAll();
  PushOptions options;
  options.deadline = Deadline(1000);
  const uint64_t call = PushRegistered(options);
  uint64_t id = 0;
  std::optional<PushFrame> held = NextAs<PushFrame>(1, &id);  // as a transport would
  sent_[0].clear();
  memory_.reset();
  Advance(absl::Seconds(2));
  EXPECT_EQ(Code(call), StatusCode::kDeadlineExceeded);
  EXPECT_EQ(registry_.bytes_in_use(), 1024u);
  EXPECT_EQ(FloatsOf(held->gradient), (std::vector<float>{4, 5, 6, 7}));
  held.reset();
  EXPECT_EQ(registry_.bytes_in_use(), 0u);
}

TEST_F(ClientTrafficTest, CallKeepsItsMemoryAliveUntilWhatWaitsForCreditIsSent) {
  hello_.max_requests = 1;
  Start();
  PullAll();
  const uint64_t call = PushRegistered();
  memory_.reset();
  PushFrame push;
  AnswerPush(0, &push);
  AnswerPush(0, &push);
  EXPECT_EQ(FloatsOf(push.gradient), (std::vector<float>{8, 9, 10, 11}));
  AnswerPush(1, &push);
  EXPECT_EQ(Code(call), StatusCode::kOk);
  push = PushFrame();
  EXPECT_EQ(registry_.bytes_in_use(), 0u);
}

TEST_F(ClientTrafficTest, PushSentAgainIsBorrowedAgainAndCountedAgain) {
  Start();
  PullAll();
  PushRegistered();
  EXPECT_EQ(Traffic().sent_bytes, 3 * kSliceBytes);
  Disconnect(1);
  Advance(absl::Seconds(3));
  Greet(1);
  PushFrame push;
  AnswerPush(1, &push);
  EXPECT_EQ(FloatsOf(push.gradient), (std::vector<float>{4, 5, 6, 7}));
  EXPECT_EQ(Traffic().sent_bytes, 4 * kSliceBytes);
  EXPECT_EQ(Traffic().sent_copied_bytes, 0u);
}

TEST_F(ClientTrafficTest, ValuesThatWereCopiedOnTheWayAreCounted) {
  Start();
  Pull({{1, ViewB()}});
  uint64_t id = 0;
  const PullFrame pull = NextAs<PullFrame>(0, &id);
  PullReplyFrame reply = Values(pull.tensor_id, pull.offset, 3, 0.5f);
  reply.tensor_data.CountCopied(kSliceBytes);  // as by the parser of frames in another order
  Answer(0, id, reply);
  EXPECT_EQ(Traffic().received_bytes, kSliceBytes);
  EXPECT_EQ(Traffic().received_copied_bytes, kSliceBytes);
}

}  // namespace
}  // namespace weir
