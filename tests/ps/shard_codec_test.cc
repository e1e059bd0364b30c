// SPDX-License-Identifier: Apache-2.0
// Codecs at a shard: pushes in any, values in the tensor's own.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <memory>
#include <string>

#include "core/codec.h"
#include "tests/ps/shard_harness.h"

namespace weir {
namespace {

using ::testing::HasSubstr;

constexpr Codec kCodecs[] = {Codec::kF32, Codec::kF16, Codec::kBf16, Codec::kInt8};

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

// Asynchronous SGD of rate 1/8; "w" has four slices and is pulled in int8, "b" one and is pulled in
// f32.
ShardHarness::Options TwoTensors() {
  ShardHarness::Options options;
  options.shard.epoch = 5;
  options.shard.mode = ConsistencyMode::kAsp;
  options.shard.schedule.base_rate = 0.125;
  options.tensors = {{"w", {60}, {InitializerSpec::Kind::kNormal, 0, 1}}, {"b", {3}, {}}};
  options.codecs = {{Codec::kInt8, Codec::kInt8, true}, {Codec::kF32, Codec::kF32, false}};
  return options;
}

class ShardCodecTest : public testing::Test {
 protected:
  PushFrame PushOf(uint32_t slice, Codec codec, const std::vector<float>& values) {
    PushFrame push = harness.PushOf(1, ++sequence_, slice, values);
    const auto owner = std::make_shared<std::string>(Encoded(codec, values));
    push.codec = codec;
    push.gradient = Payload();
    push.gradient.Append(owner->data(), owner->size(), owner);
    return push;
  }
  PushReplyFrame Push(const PushFrame& push) {
    return harness.PushReply(worker, harness.Send(worker, push));
  }
  std::string PullError(const PullFrame& pull) {
    const ErrorReplyFrame error = harness.ErrorReply(worker, harness.Send(worker, pull));
    EXPECT_EQ(error.outcome, Outcome::kInvalid);
    return error.reason;
  }
  void ExpectPull(uint32_t slice, Codec codec) {
    PullFrame pull = harness.PullOf(slice);
    pull.codec = codec;
    const PullReplyFrame reply = harness.PullReply(worker, harness.Send(worker, pull));
    EXPECT_EQ(reply.codec, Specified(codec));
    EXPECT_EQ(Bytes(reply.tensor_data), Encoded(Specified(codec), harness.Weights(slice)));
  }

  ShardHarness harness{TwoTensors()};
  uint64_t worker = harness.Connect(1);
  uint64_t sequence_ = 0;
};

TEST_F(ShardCodecTest, APushInAnyCodecIsAppliedAsWhatItDecodesTo) {
  const std::vector<float> gradient = {127, 1, 2, 3, 4, 5, 6, 7, 1, 2, 3, 4, 5, 6, 7, 1};
  for (const Codec codec : kCodecs) {
    std::vector<float> expected = harness.Weights(0);
    for (size_t i = 0; i < expected.size(); ++i) expected[i] -= 0.125f * gradient[i];
    EXPECT_EQ(Push(PushOf(0, codec, gradient)).outcome, Outcome::kApplied);
    EXPECT_EQ(harness.Weights(0), expected) << CodecName(codec);
  }
}

TEST_F(ShardCodecTest, APushOfAWrongSizeForItsCodecIsInvalid) {
  for (const Codec codec : kCodecs) {
    PushFrame push = PushOf(0, codec, std::vector<float>(15, 1.0f));
    push.count = 16;
    const PushReplyFrame reply = Push(push);
    EXPECT_EQ(reply.outcome, Outcome::kInvalid);
    EXPECT_THAT(reply.reason, HasSubstr("16 elements in " + std::string(CodecName(codec))));
  }
}

TEST_F(ShardCodecTest, PoisonStaysOutInEveryCodec) {
  const std::vector<float> before = harness.Weights(0);
  for (const Codec codec : kCodecs) {
    std::vector<float> gradient(16, 1.0f);
    gradient[7] = std::numeric_limits<float>::infinity();
    EXPECT_EQ(Push(PushOf(0, codec, gradient)).outcome, Outcome::kInvalid);
  }
  EXPECT_EQ(harness.Weights(0), before);
}

TEST_F(ShardCodecTest, FirstWeightsAndCommitsAreServedInTheTensorsPullCodecAndInF32) {
  for (int version = 0; version < 3; ++version) {
    for (const Codec codec : {Codec::kUnspecified, Codec::kF32, Codec::kInt8}) {
      ExpectPull(0, codec);
      ExpectPull(3, codec);
    }
    ExpectPull(4, Codec::kF32);
    Push(PushOf(0, Codec::kBf16, std::vector<float>(16, 1.0f)));
  }
}

TEST_F(ShardCodecTest, OneEncodedVersionIsSharedByAllWhoAsk) {
  PullFrame pull = harness.PullOf(0);
  pull.codec = Codec::kInt8;
  const PullReplyFrame one = harness.PullReply(worker, harness.Send(worker, pull));
  const PullReplyFrame two = harness.PullReply(worker, harness.Send(worker, pull));
  EXPECT_EQ(one.tensor_data.chunks()[0].data, two.tensor_data.chunks()[0].data);
}

TEST_F(ShardCodecTest, AnyOtherCodecForValuesIsRefused) {
  PullFrame pull = harness.PullOf(0);
  pull.codec = Codec::kBf16;
  EXPECT_THAT(PullError(pull),
              HasSubstr("unsupported codec 3: values of tensor 'w' are served in f32 and in int8"));
  pull = harness.PullOf(4);
  pull.codec = Codec::kInt8;
  EXPECT_THAT(PullError(pull), HasSubstr("tensor 'b' are served in f32 alone"));
  PushFrame push = harness.PushOf(1, ++sequence_, 0, 1.0f);
  push.want_values = true;
  push.values_codec = static_cast<Codec>(77);
  const PushReplyFrame reply = Push(push);
  EXPECT_EQ(reply.outcome, Outcome::kInvalid);
  EXPECT_THAT(reply.reason, HasSubstr("unsupported codec 77"));
  EXPECT_TRUE(reply.tensor_data.empty());
  EXPECT_EQ(harness.Version(0), 0u);
}

TEST_F(ShardCodecTest, APushBringsItsValuesInTheCodecAskedFor) {
  for (const Codec codec : {Codec::kF32, Codec::kInt8}) {
    PushFrame push = PushOf(0, Codec::kF16, std::vector<float>(16, 1.0f));
    push.want_values = true;
    push.values_codec = codec;
    const PushReplyFrame reply = Push(push);
    EXPECT_EQ(reply.outcome, Outcome::kApplied);
    EXPECT_EQ(reply.codec, codec);
    EXPECT_EQ(reply.count, 16u);
    EXPECT_EQ(Bytes(reply.tensor_data), Encoded(codec, harness.Weights(0)));
  }
}

TEST_F(ShardCodecTest, ASyncBringsEachSliceInItsTensorsOwnCodecOrAllInF32) {
  for (const bool encoded : {true, false}) {
    SyncFrame sync;
    sync.encoded = encoded;
    const std::vector<ServerFrame> answers = harness.Answers(worker, harness.Send(worker, sync));
    ASSERT_EQ(answers.size(), 5u);
    for (uint32_t slice = 0; slice < 5; ++slice) {
      const auto& reply = std::get<PullReplyFrame>(answers[slice].kind);
      const Codec codec = encoded && slice < 4 ? Codec::kInt8 : Codec::kF32;
      EXPECT_EQ(reply.codec, codec);
      EXPECT_EQ(Bytes(reply.tensor_data), Encoded(codec, harness.Weights(slice)));
    }
  }
}

TEST_F(ShardCodecTest, EncodedValuesCountAgainstTheReplyCreditByTheirOwnSize) {
  ShardHarness::Options options = TwoTensors();
  options.shard.limits.max_reply_bytes = EncodedBytes(Codec::kInt8, 16);
  ShardHarness small(options);
  const uint64_t session = small.Connect(1);
  PullFrame pull = small.PullOf(0);
  pull.codec = Codec::kInt8;
  for (int i = 0; i < 3; ++i) small.PullReply(session, small.Send(session, pull));
  EXPECT_TRUE(small.CloseStatus(session).ok());
}

TEST(ShardCodecBspTest, AStepAndTheOneBeforeAreServedEncodedToWhoWaitsForThem) {
  ShardHarness::Options options;
  options.shard.gradient_shards = 1;
  options.shard.schedule.base_rate = 0.125;
  options.codecs = {{Codec::kF32, Codec::kBf16, false}};
  ShardHarness harness(options);
  const uint64_t worker = harness.Connect(1);
  PullFrame pull = harness.PullOf(0, PullCondition::kStep, 1);
  pull.codec = Codec::kBf16;
  const uint64_t waits = harness.Send(worker, pull);
  EXPECT_FALSE(harness.HasAnswer(worker, waits));
  harness.Send(worker, harness.PushOf(1, 1, 0, 8.0f));
  const PullReplyFrame reply = harness.PullReply(worker, waits);
  EXPECT_EQ(reply.codec, Codec::kBf16);
  EXPECT_EQ(Bytes(reply.tensor_data), Encoded(Codec::kBf16, std::vector<float>(16, -1.0f)));
  harness.Send(worker, harness.PushOf(1, 2, 0, 8.0f));
  const PullReplyFrame before = harness.PullReply(worker, harness.Send(worker, pull));
  EXPECT_EQ(before.version, 1u);
  EXPECT_EQ(Bytes(before.tensor_data), Bytes(reply.tensor_data));
}

// A step of parts without examples changes nothing; its values are served as ever.
TEST(ShardCodecBspTest, AStepWithoutExamplesKeepsTheEncodedValues) {
  ShardHarness::Options options;
  options.codecs = {{Codec::kF32, Codec::kBf16, false}};
  ShardHarness harness(options);
  const uint64_t worker = harness.Connect(1);
  PushFrame skip = harness.PushOf(1, 1, 0, 1.0f);
  skip.examples = 0;
  skip.gradient = Payload();
  skip.want_values = true;
  skip.values_codec = Codec::kBf16;
  const PushReplyFrame reply = harness.PushReply(worker, harness.Send(worker, skip));
  EXPECT_EQ(reply.outcome, Outcome::kApplied);
  EXPECT_EQ(reply.version, 1u);
  EXPECT_EQ(Bytes(reply.tensor_data), Encoded(Codec::kBf16, std::vector<float>(16, 0.0f)));
}

}  // namespace
}  // namespace weir
