// SPDX-License-Identifier: Apache-2.0
// Gradients and values in the codecs of the layout.
#include <gmock/gmock.h>

#include <string>
#include <vector>

#include "core/codec.h"
#include "tests/worker/client_harness.h"
#include "worker/gradient_encoder.h"

namespace weir {
namespace {

std::string Encoded(Codec codec, const std::vector<float>& x) {
  std::string out(EncodedBytes(codec, x.size()), 0);
  Encode(codec, x.data(), x.size(), out.data());
  return out;
}

std::string Bytes(const Payload& payload) {
  std::string bytes(payload.size(), 0);
  payload.CopyTo(bytes.data());
  return bytes;
}

// "a" is pushed in bf16 and pulled in f16; "b" is pushed in int8 with error feedback and pulled in
// int8.
class ClientCodecTest : public ClientHarness {
 protected:
  ClientCodecTest() {
    codecs_ = {{Codec::kBf16, Codec::kF16, false}, {Codec::kInt8, Codec::kInt8, true}};
  }

  Payload In(Codec codec, const std::vector<float>& values) {
    const std::string bytes = Encoded(codec, values);
    const Buffer buffer = pool_.Allocate(bytes.size());
    std::memcpy(buffer.data(), bytes.data(), bytes.size());
    return Payload(buffer, 0, bytes.size());
  }

  PullReplyFrame ValuesIn(Codec codec, const PullFrame& pull, const std::vector<float>& values) {
    PullReplyFrame reply = Values(pull.tensor_id, pull.offset, 3, 0);
    reply.codec = codec;
    reply.tensor_data = In(codec, values);
    return reply;
  }

  // The gradient of "b" as it goes out for one more push, which ends applied.
  std::string PushedB(uint64_t step) {
    PushOptions options;
    options.step = step;
    const uint64_t call = PushB(options);
    uint64_t id = 0;
    const PushFrame push = NextAs<PushFrame>(0, &id);
    EXPECT_EQ(push.codec, Codec::kInt8);
    Answer(0, id, Outcomes(push, Outcome::kApplied, step + 1));
    EXPECT_TRUE(Done(call));
    return Bytes(push.gradient);
  }
};

TEST_F(ClientCodecTest, AGradientGoesOutInItsTensorsPushCodec) {
  Start();
  gradient_a_ = {1.001f, 2, 3, 4, 5, 6, 7, 8};
  Push({{0, GradientA()}});
  uint64_t id = 0;
  const PushFrame push = NextAs<PushFrame>(0, &id);
  EXPECT_EQ(push.codec, Codec::kBf16);
  EXPECT_EQ(push.values_codec, Codec::kUnspecified);
  EXPECT_EQ(Bytes(push.gradient), Encoded(Codec::kBf16, {1.001f, 2, 3, 4}));
  EXPECT_EQ(Bytes(NextAs<PushFrame>(1, &id).gradient), Encoded(Codec::kBf16, {5, 6, 7, 8}));
  EXPECT_EQ(client_->statistics().traffic.sent_bytes, 16u);
  EXPECT_EQ(client_->statistics().traffic.sent_copied_bytes, 0u);
}

TEST_F(ClientCodecTest, PulledValuesAreDecodedIntoTheCallersMemory) {
  Start();
  const uint64_t call = Pull({{1, ViewB()}});
  uint64_t id = 0;
  const PullFrame pull = NextAs<PullFrame>(0, &id);
  EXPECT_EQ(pull.codec, Codec::kInt8);
  Answer(0, id, ValuesIn(Codec::kInt8, pull, {127, -1, 2, 0}));
  EXPECT_EQ(Value<PullResult>(call).min_version, 3u);
  EXPECT_THAT(b_, ::testing::ElementsAre(127, -1, 2, 0));
}

TEST_F(ClientCodecTest, ValuesInAnotherCodecThanAskedForEndTheConnection) {
  Start();
  for (const Codec codec : {Codec::kF32, Codec::kBf16}) {
    Pull({{1, ViewB()}});
    uint64_t id = 0;
    const PullFrame pull = NextAs<PullFrame>(0, &id);
    const size_t lost = disconnected_.size();
    Answer(0, id, ValuesIn(codec, pull, {1, 2, 3, 4}));
    EXPECT_EQ(disconnected_.size(), lost + 1);
    Advance(absl::Seconds(5));
    Greet(0);
    Next(0);  // the pull again
  }
}

TEST_F(ClientCodecTest, ValuesOfAnotherSizeEndTheConnection) {
  Start();
  Pull({{1, ViewB()}});
  uint64_t id = 0;
  const PullFrame pull = NextAs<PullFrame>(0, &id);
  PullReplyFrame reply = ValuesIn(Codec::kInt8, pull, {1, 2, 3});
  Answer(0, id, reply);
  EXPECT_EQ(disconnected_.size(), 1u);
}

TEST_F(ClientCodecTest, APushPullNamesTheCodecOfItsValuesAndDecodesThem) {
  Start();
  PushOptions options;
  const uint64_t call = Push({{1, GradientB(), 0, 0, {}, ViewB()}}, options, /*want_values=*/true);
  uint64_t id = 0;
  const PushFrame push = NextAs<PushFrame>(0, &id);
  EXPECT_EQ(push.values_codec, Codec::kInt8);
  PushReplyFrame reply = Outcomes(push, Outcome::kApplied, 1);
  reply.count = 4;
  reply.codec = Codec::kInt8;
  reply.tensor_data = In(Codec::kInt8, {127, 1, 2, 3});
  Answer(0, id, reply);
  EXPECT_EQ(Value<PushResult>(call).max_values_version, 1u);
  EXPECT_THAT(b_, ::testing::ElementsAre(127, 1, 2, 3));
}

TEST_F(ClientCodecTest, ASyncAsksForEachTensorsOwnCodecAndDecodesIt) {
  Start();
  const uint64_t call = Sync({{0, ViewA()}, {1, ViewB()}});
  for (const uint32_t shard : {0, 1}) {
    uint64_t id = 0;
    EXPECT_TRUE(NextAs<SyncFrame>(shard, &id).encoded);
    PullFrame slice;
    slice.tensor_id = 1;
    slice.offset = 4 * shard;
    PullReplyFrame part = ValuesIn(Codec::kF16, slice, {1, 2, 3, 4.5f});
    part.remaining = 1 - shard;
    Answer(shard, id, part);
    if (shard == 1) continue;
    slice.tensor_id = 2;
    Answer(shard, id, ValuesIn(Codec::kInt8, slice, {127, 0, 0, 1}));
  }
  EXPECT_TRUE(Value<PullResult>(call).tensors.size() == 2);
  EXPECT_THAT(a_, ::testing::ElementsAre(1, 2, 3, 4.5f, 1, 2, 3, 4.5f));
  EXPECT_THAT(b_, ::testing::ElementsAre(127, 0, 0, 1));
}

TEST_F(ClientCodecTest, CreditsCountEncodedBytes) {
  hello_.max_push_bytes = EncodedBytes(Codec::kInt8, 4);
  hello_.max_reply_bytes = EncodedBytes(Codec::kInt8, 4);
  Start();
  const uint64_t call =
      Push({{1, GradientB(), 0, 0, {}, ViewB()}}, PushOptions(), /*want_values=*/true);
  EXPECT_FALSE(Done(call));
  uint64_t id = 0;
  NextAs<PushFrame>(0, &id);
}

TEST_F(ClientCodecTest, WhatAPushLostGoesOutWithTheNext) {
  Start();
  gradient_b_ = {127, 0.4f, 0.4f, 0};
  EXPECT_EQ(PushedB(0), Encoded(Codec::kInt8, {127, 0, 0, 0}));
  EXPECT_EQ(PushedB(1), Encoded(Codec::kInt8, {127, 1, 1, 0}));
}

TEST_F(ClientCodecTest, APushSentAgainIsTheSameBytesAndLosesOnce) {
  Start();
  gradient_b_ = {127, 0.4f, 0.4f, 0};
  PushB();
  uint64_t id = 0;
  const std::string first = Bytes(NextAs<PushFrame>(0, &id).gradient);
  Disconnect(0);
  Advance(absl::Seconds(5));
  Greet(0);
  const PushFrame again = NextAs<PushFrame>(0, &id);
  EXPECT_EQ(Bytes(again.gradient), first);
  Answer(0, id, Outcomes(again, Outcome::kApplied, 1));
  EXPECT_EQ(PushedB(1), Encoded(Codec::kInt8, {127, 1, 1, 0}));
}

TEST_F(ClientCodecTest, APushAskedForAgainByItsTicketIsTheSameBytes) {
  Start();
  gradient_b_ = {127, 0.4f, 0.4f, 0};
  PushOptions options;
  options.sequence = Value<uint64_t>(NewSequence());
  options.deadline = Deadline{1000};
  const uint64_t call = PushB(options);
  uint64_t id = 0;
  const std::string first = Bytes(NextAs<PushFrame>(0, &id).gradient);
  Disconnect(0);
  Advance(absl::Milliseconds(1001));
  EXPECT_EQ(Code(call), StatusCode::kDeadlineExceeded);
  Advance(absl::Seconds(5));
  Greet(0);
  PushB(options);
  EXPECT_EQ(Bytes(NextAs<PushFrame>(0, &id).gradient), first);
}

TEST_F(ClientCodecTest, ANewEpochForgetsWhatWasLost) {
  Start();
  gradient_b_ = {127, 0.4f, 0.4f, 0};
  PushedB(0);
  SetLayout(2);
  Greet(0);
  Greet(1);
  Sync({{0, ViewA()}, {1, ViewB()}});
  for (const uint32_t shard : {0, 1}) {
    uint64_t id = 0;
    NextAs<SyncFrame>(shard, &id);
    PullFrame slice;
    slice.tensor_id = 1;
    slice.offset = 4 * shard;
    PullReplyFrame part = ValuesIn(Codec::kF16, slice, {0, 0, 0, 0});
    part.remaining = 1 - shard;
    Answer(shard, id, part);
    if (shard == 1) continue;
    slice.tensor_id = 2;
    Answer(shard, id, ValuesIn(Codec::kInt8, slice, {0, 0, 0, 0}));
  }
  EXPECT_EQ(PushedB(0), Encoded(Codec::kInt8, {127, 0, 0, 0}));
}

// "a", without feedback, and "b", with it, pushed from memory that is owned, or not.
class LateEncodingTest : public ClientCodecTest {
 protected:
  std::vector<SendEffect> PushesOf(uint32_t tensor, std::shared_ptr<const void> owner) {
    options_.encodes_late = true;
    Start();
    ClientEffects effects;
    PushOptions options;
    options.examples = 1;
    client_->Push(99, {{tensor, tensor == 0 ? GradientA() : GradientB()}}, {std::move(owner)},
                  options, /*want_values=*/false, now_, &effects);
    std::vector<SendEffect> sends;
    for (ClientEffect& effect : effects) {
      if (auto* send = std::get_if<SendEffect>(&effect)) sends.push_back(std::move(*send));
    }
    return sends;
  }
};

TEST_F(LateEncodingTest, AnOwnedGradientIsEncodedWhenItsFrameIsWritten) {
  gradient_a_ = {1.001f, 2, 3, 4, 5, 6, 7, 8};
  const auto owner = std::make_shared<int>();
  std::vector<SendEffect> sends = PushesOf(0, owner);
  ASSERT_EQ(sends.size(), 2u);
  EXPECT_EQ(std::get<PushFrame>(sends[0].frame.kind).gradient.size(), 8u);
  EXPECT_EQ(client_->statistics().traffic.sent_bytes, 16u);
  ASSERT_TRUE(sends[0].encode && sends[1].encode);
  EXPECT_EQ(Bytes(sends[0].encode()), Encoded(Codec::kBf16, {1.001f, 2, 3, 4}));
  EXPECT_EQ(Bytes(sends[1].encode()), Encoded(Codec::kBf16, {5, 6, 7, 8}));
}

TEST_F(LateEncodingTest, TheOwnerIsHeldUntilTheFrameIsGoneAlsoWhenTheCallHasEnded) {
  auto owner = std::make_shared<int>();
  const std::weak_ptr<int> held = owner;
  std::vector<SendEffect> sends = PushesOf(0, std::move(owner));
  ClientEffects effects;
  client_->Cancel(99, now_, &effects);
  effects.clear();
  EXPECT_FALSE(held.expired());
  sends.clear();
  EXPECT_TRUE(held.expired());
}

TEST_F(LateEncodingTest, AGradientWithoutAnOwnerIsEncodedAtOnceForItMayBeGoneLater) {
  gradient_a_ = {1, 2, 3, 4, 5, 6, 7, 8};
  const std::vector<SendEffect> sends = PushesOf(0, nullptr);
  ASSERT_EQ(sends.size(), 2u);
  EXPECT_FALSE(sends[0].encode);
  EXPECT_EQ(Bytes(std::get<PushFrame>(sends[0].frame.kind).gradient),
            Encoded(Codec::kBf16, {1, 2, 3, 4}));
}

TEST_F(LateEncodingTest, WithErrorFeedbackAGradientIsEncodedAtOnceInTheOrderOfThePushes) {
  gradient_b_ = {127, 0.4f, 0.4f, 0};
  const std::vector<SendEffect> sends = PushesOf(1, std::make_shared<int>());
  ASSERT_EQ(sends.size(), 1u);
  EXPECT_FALSE(sends[0].encode);
  EXPECT_EQ(Bytes(std::get<PushFrame>(sends[0].frame.kind).gradient),
            Encoded(Codec::kInt8, {127, 0, 0, 0}));
}

TEST(GradientEncoderTest, OnlyFeedbackKeepsAnything) {
  BufferPool pool;
  GradientEncoder encoder(&pool);
  encoder.Reset({4, 4});
  const float gradient[] = {127, 0.4f, 1, 2};
  encoder.Encode(1, {1, 0, 4, 0}, {Codec::kInt8, Codec::kF32, false}, gradient);
  EXPECT_EQ(encoder.kept_elements(), 0u);
  EXPECT_EQ(pool.statistics().bytes_in_use, 0u);
  encoder.Encode(1, {2, 0, 4, 0}, {Codec::kInt8, Codec::kF32, true}, gradient);
  EXPECT_EQ(encoder.kept_elements(), 4u);
}

TEST(GradientEncoderTest, EncodedSlicesOfClosedSequencesAreDropped) {
  BufferPool pool;
  GradientEncoder encoder(&pool);
  encoder.Reset({4});
  Sequences sequences(4);
  const float gradient[] = {127, 0.4f, 1, 2};
  const uint64_t sequence = sequences.Begin();
  encoder.Encode(sequence, {1, 0, 4, 0}, {Codec::kInt8, Codec::kF32, true}, gradient);
  encoder.DropClosed(sequences);
  EXPECT_GT(pool.statistics().bytes_in_use, 0u);
  sequences.End(sequence, /*final=*/true);
  encoder.DropClosed(sequences);
  EXPECT_EQ(pool.statistics().bytes_in_use, 0u);
}

}  // namespace
}  // namespace weir
