// SPDX-License-Identifier: Apache-2.0
#include "net/frame_batch.h"

#include <google/protobuf/stubs/logging.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <variant>
#include <vector>

#include "absl/strings/match.h"
#include "net/frame_reader.h"
#include "tests/net/frame_samples.h"
#include "weir/v1/parameter_service.pb.h"

namespace weir {
namespace {

using testing::Chop;
using testing::FillAtRandom;
using testing::Flatten;
using testing::Random;
using testing::Scramble;
using testing::Whole;

// The two directions, for tests of both.
struct ClientSide {
  using Frame = ClientFrame;
  using Message = v1::ClientFrame;
  static constexpr uint32_t kBatch = 25;
  static auto Decode(const Payload& wire, const FrameLimits& limits = {}) {
    return DecodeClientFrames(wire, limits);
  }
  static auto DecodeOne(const Payload& wire) { return DecodeClientFrame(wire); }
  static Payload Batch(const std::vector<Payload>& encoded) {
    return BatchEncodedClientFrames(encoded);
  }
};
struct ServerSide {
  using Frame = ServerFrame;
  using Message = v1::ServerFrame;
  static constexpr uint32_t kBatch = 24;
  static auto Decode(const Payload& wire, const FrameLimits& limits = {}) {
    return DecodeServerFrames(wire, limits);
  }
  static auto DecodeOne(const Payload& wire) { return DecodeServerFrame(wire); }
  static Payload Batch(const std::vector<Payload>& encoded) {
    return BatchEncodedServerFrames(encoded);
  }
};

template <typename Side>
class FrameBatchTest : public ::testing::Test {
 protected:
  using Message = typename Side::Message;
  using Frame = typename Side::Frame;

  static Message RandomBatch(Random& random) {
    Message message;
    for (size_t n = 1 + random() % 6; n > 0; --n)
      FillAtRandom(random, message.mutable_batch()->add_frames());
    return message;
  }

  static Payload Encode(const std::vector<Frame>& frames) {
    return EncodeBatch(absl::MakeConstSpan(frames));
  }

  static absl::Status Refusal(const Message& message, const FrameLimits& limits = {}) {
    return RefusalOf(message.SerializeAsString(), limits);
  }
  static absl::Status RefusalOf(const std::string& wire, const FrameLimits& limits = {}) {
    google::protobuf::LogSilencer silent;
    return Side::Decode(Whole(wire), limits).status();
  }
};
using Sides = ::testing::Types<ClientSide, ServerSide>;
TYPED_TEST_SUITE(FrameBatchTest, Sides);

TYPED_TEST(FrameBatchTest, WritesByteForByteWhatTheGeneratedClassesSerialize) {
  Random random(1);
  for (int i = 0; i < 1000; ++i) {
    const auto message = this->RandomBatch(random);
    const std::string wire = message.SerializeAsString();
    const auto frames = TypeParam::Decode(Chop(random, wire));
    ASSERT_TRUE(frames.ok()) << i << ": " << frames.status();
    ASSERT_EQ(frames->size(), message.batch().frames_size());
    ASSERT_EQ(Flatten(this->Encode(*frames)), wire) << i;
  }
}

TYPED_TEST(FrameBatchTest, TakesCanonicalBatchesAndFramesOnTheFastPath) {
  Random random(2);
  for (int i = 0; i < 1000; ++i) {
    auto message = this->RandomBatch(random);
    const int sent = message.batch().frames_size();
    std::vector<typename TypeParam::Frame> frames;
    ASSERT_TRUE(
        ReadCanonicalFrames(Chop(random, message.SerializeAsString()), FrameLimits(), &frames));
    EXPECT_EQ(frames.size(), sent);
    message.Clear();
    FillAtRandom(random, &message);
    frames.clear();
    ASSERT_TRUE(
        ReadCanonicalFrames(Chop(random, message.SerializeAsString()), FrameLimits(), &frames));
    EXPECT_EQ(frames.size(), 1);
  }
}

TYPED_TEST(FrameBatchTest, ReadsEveryOtherLegalEncodingAsTheGeneratedParserDoes) {
  Random random(3);
  for (int i = 0; i < 1000; ++i) {
    const auto message = this->RandomBatch(random);
    const std::string wire = Scramble(random, message.SerializeAsString(), message);
    typename TypeParam::Message meant;
    ASSERT_TRUE(meant.ParseFromString(wire)) << i;
    meant.DiscardUnknownFields();
    const auto frames = TypeParam::Decode(Chop(random, wire));
    ASSERT_TRUE(frames.ok()) << i << ": " << frames.status();
    ASSERT_EQ(Flatten(this->Encode(*frames)), meant.SerializeAsString()) << i;
  }
}

TYPED_TEST(FrameBatchTest, AFrameOnItsOwnIsReadAsTheOneFrame) {
  Random random(4);
  for (int i = 0; i < 1000; ++i) {
    typename TypeParam::Message message;
    FillAtRandom(random, &message);
    std::string wire = message.SerializeAsString();
    if (i % 2 == 0) wire = Scramble(random, wire, message);
    const auto frames = TypeParam::Decode(Chop(random, wire));
    ASSERT_TRUE(frames.ok()) << frames.status();
    ASSERT_EQ(frames->size(), 1);
    const auto alone = TypeParam::DecodeOne(Whole(wire));
    ASSERT_TRUE(alone.ok()) << alone.status();
    ASSERT_EQ(Flatten(EncodeFrame(frames->front())), Flatten(EncodeFrame(*alone)));
  }
}

TYPED_TEST(FrameBatchTest, DamagedBatchesNeverCrashAndAreRefusedWhereTheGeneratedParserRefuses) {
  google::protobuf::LogSilencer silent;
  Random random(5);
  for (int i = 0; i < 5000; ++i) {
    std::string wire = this->RandomBatch(random).SerializeAsString();
    for (size_t n = 1 + random() % 4; n > 0; --n)
      wire[random() % std::min<size_t>(wire.size(), 300)] = static_cast<char>(random());
    if (random() % 4 == 0) wire.resize(random() % wire.size());
    typename TypeParam::Message meant;
    const bool legal = meant.ParseFromString(wire);
    const auto frames = TypeParam::Decode(Chop(random, wire));
    if (frames.ok()) {
      ASSERT_TRUE(legal);
      ASSERT_FALSE(frames->empty());
    } else {
      ASSERT_EQ(frames.status().code(), absl::StatusCode::kInvalidArgument);
      ASSERT_TRUE(!legal || absl::StrContains(frames.status().message(), "a batch") ||
                  absl::StrContains(frames.status().message(), "the limit is"))
          << frames.status();
    }
  }
}

TYPED_TEST(FrameBatchTest, EncodedFramesMakeTheSameBatch) {
  Random random(6);
  for (int i = 0; i < 200; ++i) {
    const auto message = this->RandomBatch(random);
    const std::string wire = message.SerializeAsString();
    const auto frames = TypeParam::Decode(Whole(wire));
    ASSERT_TRUE(frames.ok()) << frames.status();
    std::vector<Payload> encoded;
    size_t size = 0;
    for (const auto& frame : *frames) {
      encoded.push_back(EncodeFrame(frame));
      size += BatchedFrameSize(encoded.back().size());
    }
    EXPECT_EQ(Flatten(TypeParam::Batch(encoded)), wire);
    EXPECT_GT(wire.size(), size);
    EXPECT_LE(wire.size(), size + kBatchEnvelopeBytes);
  }
}

TYPED_TEST(FrameBatchTest, ABatchIsAnUnknownKindToWhoReadsOneFrame) {
  Random random(7);
  const auto message = this->RandomBatch(random);
  const auto frame = TypeParam::DecodeOne(Whole(message.SerializeAsString()));
  ASSERT_TRUE(frame.ok()) << frame.status();
  EXPECT_EQ(std::get<UnknownFrame>(frame->kind).field, TypeParam::kBatch);
}

TYPED_TEST(FrameBatchTest, AnUnknownKindInABatchIsOfItsFrameAlone) {
  typename TypeParam::Message message;
  message.mutable_batch()->add_frames()->set_request_id(1);
  message.mutable_batch()->add_frames()->MergeFromString(std::string("\x08\x02\xf2\x01\x00", 5));
  const auto frames = TypeParam::Decode(Whole(message.SerializeAsString()));
  ASSERT_TRUE(frames.ok()) << frames.status();
  ASSERT_EQ(frames->size(), 2);
  EXPECT_EQ((*frames)[0].request_id, 1);
  EXPECT_EQ(std::get<UnknownFrame>((*frames)[0].kind).field, 0);
  EXPECT_EQ((*frames)[1].request_id, 2);
  EXPECT_EQ(std::get<UnknownFrame>((*frames)[1].kind).field, 30);
}

// ---- What is refused, and in which words.

TYPED_TEST(FrameBatchTest, ABatchWithinABatchIsRefused) {
  typename TypeParam::Message message;
  message.mutable_batch()->add_frames()->mutable_batch();
  EXPECT_EQ(this->Refusal(message), absl::InvalidArgumentError("a batch of frames within a batch"));
  message.mutable_batch()->mutable_frames(0)->mutable_batch()->add_frames()->set_epoch(1);
  EXPECT_EQ(this->Refusal(message), absl::InvalidArgumentError("a batch of frames within a batch"));
}

TYPED_TEST(FrameBatchTest, ABatchWithoutFramesIsRefused) {
  typename TypeParam::Message message;
  message.mutable_batch();
  EXPECT_EQ(this->Refusal(message), absl::InvalidArgumentError("a batch without frames"));
}

TYPED_TEST(FrameBatchTest, ABatchOfTooManyFramesIsRefused) {
  typename TypeParam::Message message;
  for (int i = 0; i < 4096; ++i) message.mutable_batch()->add_frames()->set_request_id(i + 1);
  const auto frames = TypeParam::Decode(Whole(message.SerializeAsString()));
  ASSERT_TRUE(frames.ok()) << frames.status();
  EXPECT_EQ(frames->size(), 4096);
  EXPECT_EQ(frames->back().request_id, 4096);
  message.mutable_batch()->add_frames();
  EXPECT_EQ(this->Refusal(message),
            absl::InvalidArgumentError("a batch of 4097 frames; the limit is 4096"));
}

TYPED_TEST(FrameBatchTest, ABatchWithAnEnvelopeIsRefused) {
  typename TypeParam::Message message;
  message.mutable_batch()->add_frames()->set_request_id(1);
  message.set_epoch(3);
  EXPECT_EQ(this->Refusal(message),
            absl::InvalidArgumentError("a batch of frames with an envelope of its own"));
  message.set_epoch(0);
  EXPECT_TRUE(this->Refusal(message).ok());
  // What comes later may stand there.
  EXPECT_TRUE(this->RefusalOf(message.SerializeAsString() + "\x30\x01").ok());
}

TYPED_TEST(FrameBatchTest, AMessageLargerThanTheLimitIsRefused) {
  typename TypeParam::Message message;
  message.mutable_batch()->add_frames()->set_request_id(1);
  FrameLimits limits;
  limits.max_frame_bytes = message.ByteSizeLong() - 1;
  const absl::Status status = this->Refusal(message, limits);
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(status.message(), "a message of 7 bytes; the limit is 6 bytes");
}

TYPED_TEST(FrameBatchTest, ADamagedFrameSpoilsItsBatch) {
  typename TypeParam::Message message;
  message.mutable_batch()->add_frames()->set_request_id(1);
  std::string wire = message.SerializeAsString();
  wire.back() = '\xff';
  EXPECT_EQ(this->RefusalOf(wire).code(), absl::StatusCode::kInvalidArgument);
}

TEST(FrameBatchLimitTest, ABatchHasNoMoreEntriesThanAFrameMayHave) {
  google::protobuf::LogSilencer silent;
  v1::ClientFrame message;
  for (int i = 0; i < 30; ++i) {
    auto* bind = message.mutable_batch()->add_frames()->mutable_bind();
    for (int n = 0; n < 60'000; ++n) bind->add_layer_name();
  }
  EXPECT_EQ(DecodeClientFrames(Whole(message.SerializeAsString())).status(),
            absl::InvalidArgumentError("a batch of more than 327680 fields"));
}

TEST(FrameBatchLimitTest, FieldsHiddenInABatchAreCounted) {
  google::protobuf::LogSilencer silent;
  std::string fields;  // of number 1000, which no message has
  for (int i = 0; i < 1'000'000; ++i) fields += std::string("\xc2\x3e\x00", 3);
  v1::ClientFrame client;
  client.mutable_batch()->add_frames()->mutable_push_pull()->mutable_push()->MergeFromString(
      fields);
  EXPECT_EQ(DecodeClientFrames(Whole(client.SerializeAsString())).status(),
            absl::InvalidArgumentError("a batch of more than 327680 fields"));
  v1::ServerFrame server;
  server.mutable_batch()->add_frames()->mutable_bind_reply()->add_slices()->MergeFromString(fields);
  EXPECT_EQ(DecodeServerFrames(Whole(server.SerializeAsString())).status(),
            absl::InvalidArgumentError("a batch of more than 327680 fields"));
  server.Clear();
  server.mutable_bind_reply()->add_bindings()->MergeFromString(fields);
  EXPECT_EQ(DecodeServerFrames(Whole(server.SerializeAsString())).status(),
            absl::InvalidArgumentError("a frame of more than 196864 fields"));
}

// ---- Payloads are not copied.

PushFrame PushOf(const std::shared_ptr<std::string>& bytes) {
  PushFrame push;
  push.gradient.Append(bytes->data(), bytes->size(), bytes);
  return push;
}

TEST(FrameBatchPayloadTest, TheWireOfABatchBorrowsThePayloadsAndJoinsTheHeadersBetween) {
  const auto bytes = std::make_shared<std::string>(100'000, 'g');
  std::vector<ClientFrame> frames(5);  // pull, push, pull, pull, push
  frames[0].kind = PullFrame();
  frames[1].kind = PushOf(bytes);
  frames[2].kind = PullFrame();
  frames[3].kind = PullFrame();
  frames[4].kind = PushOf(bytes);
  const Payload wire = EncodeBatch(absl::MakeConstSpan(frames));
  ASSERT_EQ(wire.chunks().size(), 4);
  EXPECT_EQ(wire.chunks()[1].data, bytes->data());
  EXPECT_EQ(wire.chunks()[1].owner, bytes);
  EXPECT_EQ(wire.chunks()[3].data, bytes->data());
  EXPECT_EQ(wire.chunks()[0].owner, wire.chunks()[2].owner);
  EXPECT_LT(wire.chunks()[0].size + wire.chunks()[2].size, 60);
}

TEST(FrameBatchPayloadTest, TheFramesOfABatchBorrowTheChunksThatArrived) {
  v1::ServerFrame message;
  for (int i = 0; i < 3; ++i) {
    message.mutable_batch()->add_frames()->mutable_pull_reply()->set_tensor_data(
        std::string(100'000, static_cast<char>('a' + i)));
  }
  Random random(8);
  const Payload wire = Chop(random, message.SerializeAsString());
  const auto frames = DecodeServerFrames(wire);
  ASSERT_TRUE(frames.ok()) << frames.status();
  for (int i = 0; i < 3; ++i) {
    const Payload& data = std::get<PullReplyFrame>((*frames)[i].kind).tensor_data;
    EXPECT_EQ(Flatten(data), std::string(100'000, static_cast<char>('a' + i)));
    for (const Payload::Chunk& chunk : data.chunks()) {
      const auto holds = [&chunk](const Payload::Chunk& from) {
        return from.owner == chunk.owner && from.data <= chunk.data &&
               chunk.data + chunk.size <= from.data + from.size;
      };
      EXPECT_TRUE(std::any_of(wire.chunks().begin(), wire.chunks().end(), holds));
    }
  }
}

TEST(FrameBatchPayloadTest, APayloadOfAnUnusualBatchLivesAsLongAsItIsHeld) {
  v1::ServerFrame message;
  for (int i = 0; i < 2; ++i)
    message.mutable_batch()->add_frames()->mutable_pull_reply()->set_tensor_data("data");
  // An unknown field of the envelope: not canonical.
  auto frames = DecodeServerFrames(Whole(message.SerializeAsString() + "\x30\x01"));
  ASSERT_TRUE(frames.ok()) << frames.status();
  const Payload held = std::get<PullReplyFrame>((*frames)[1].kind).tensor_data;
  frames = absl::InternalError("gone");
  EXPECT_EQ(Flatten(held), "data");
}

}  // namespace
}  // namespace weir
