// SPDX-License-Identifier: Apache-2.0
// Frames against the generated classes, byte for byte, and where their payloads lie.
#include "net/frame_codec.h"

#include <google/protobuf/stubs/logging.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <string>

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
  static absl::StatusOr<Frame> Decode(const Payload& wire) { return DecodeClientFrame(wire); }
};
struct ServerSide {
  using Frame = ServerFrame;
  using Message = v1::ServerFrame;
  static absl::StatusOr<Frame> Decode(const Payload& wire) { return DecodeServerFrame(wire); }
};

template <typename Side>
class FrameCodecTest : public ::testing::Test {};
using Sides = ::testing::Types<ClientSide, ServerSide>;
TYPED_TEST_SUITE(FrameCodecTest, Sides);

// Whether the structs can hold what the message says: not so for unknown kinds, and a few things
// that only strange peers send.
bool Representable(const v1::ClientFrame& message) {
  return message.kind_case() != v1::ClientFrame::KIND_NOT_SET &&
         (!message.has_push_pull() ||
          (message.push_pull().has_push() && message.push_pull().push().want_values()));
}
bool Representable(const v1::ServerFrame& message) {
  return message.kind_case() != v1::ServerFrame::KIND_NOT_SET;
}

TYPED_TEST(FrameCodecTest, WritesByteForByteWhatTheGeneratedClassesSerialize) {
  Random random(1);
  for (int i = 0; i < 3000; ++i) {
    typename TypeParam::Message message;
    FillAtRandom(random, &message);
    const std::string wire = message.SerializeAsString();
    const auto frame = TypeParam::Decode(Chop(random, wire));
    ASSERT_TRUE(frame.ok()) << i << ": " << frame.status() << "\n"
                            << message.ShortDebugString().substr(0, 2000);
    ASSERT_EQ(Flatten(EncodeFrame(*frame)), wire)
        << i << ": " << message.ShortDebugString().substr(0, 2000);
    ASSERT_EQ(EncodedFrameSize(*frame), wire.size());
  }
}

TYPED_TEST(FrameCodecTest, TakesCanonicalFramesOnTheFastPath) {
  Random random(2);
  for (int i = 0; i < 1000; ++i) {
    typename TypeParam::Message message;
    FillAtRandom(random, &message);
    typename TypeParam::Frame frame;
    EXPECT_TRUE(
        ReadCanonicalFrame(Chop(random, message.SerializeAsString()), FrameLimits(), &frame))
        << message.ShortDebugString().substr(0, 2000);
  }
}

TYPED_TEST(FrameCodecTest, ReadsEveryOtherLegalEncodingAsTheGeneratedParserDoes) {
  Random random(3);
  int slow = 0;
  for (int i = 0; i < 3000; ++i) {
    typename TypeParam::Message message;
    FillAtRandom(random, &message);
    const std::string wire = Scramble(random, message.SerializeAsString(), message);
    typename TypeParam::Message meant;
    ASSERT_TRUE(meant.ParseFromString(wire)) << i;
    meant.DiscardUnknownFields();
    const auto frame = TypeParam::Decode(Chop(random, wire));
    ASSERT_TRUE(frame.ok()) << i << ": " << frame.status();
    ASSERT_EQ(Flatten(EncodeFrame(*frame)), meant.SerializeAsString())
        << i << ": " << meant.ShortDebugString().substr(0, 2000);
    typename TypeParam::Frame unused;
    if (!ReadCanonicalFrame(Whole(wire), FrameLimits(), &unused)) ++slow;
  }
  EXPECT_GT(slow, 2000);  // or the test shows nothing
}

// What Decode says of `wire` must be what the generated parser says.
template <typename Side>
void ExpectAgreement(const std::string& wire, const Payload& chunks) {
  typename Side::Message meant;
  const bool legal = meant.ParseFromString(wire);
  const auto frame = Side::Decode(chunks);
  if (!legal) {
    ASSERT_FALSE(frame.ok());
    ASSERT_EQ(frame.status().code(), absl::StatusCode::kInvalidArgument);
    ASSERT_FALSE(frame.status().message().empty());
    return;
  }
  if (!frame.ok()) {  // only for a limit
    ASSERT_TRUE(absl::StrContains(frame.status().message(), "the limit is")) << frame.status();
    return;
  }
  meant.DiscardUnknownFields();
  if (std::holds_alternative<UnknownFrame>(frame->kind) || !Representable(meant)) return;
  typename Side::Message read;
  ASSERT_TRUE(read.ParseFromString(Flatten(EncodeFrame(*frame))));
  // Enumerators beyond 255 are the one thing that is not kept.
  if (read.SerializeAsString() != meant.SerializeAsString()) {
    ASSERT_NE(read.ShortDebugString().find(": 255"), std::string::npos)
        << read.ShortDebugString() << "\n"
        << meant.ShortDebugString();
  }
}

TYPED_TEST(FrameCodecTest, AFrameCutShortAnywhereIsReadAsTheGeneratedParserReadsIt) {
  google::protobuf::LogSilencer silent;
  Random random(4);
  for (int i = 0; i < 60; ++i) {
    typename TypeParam::Message message;
    FillAtRandom(random, &message);
    const std::string wire = message.SerializeAsString().substr(0, 400);
    for (size_t size = 0; size <= wire.size(); ++size) {
      ExpectAgreement<TypeParam>(wire.substr(0, size), Chop(random, wire.substr(0, size)));
      if (this->HasFatalFailure()) return;
    }
  }
}

TYPED_TEST(FrameCodecTest, DamagedFramesNeverCrashAndAreReadAsTheGeneratedParserReadsThem) {
  google::protobuf::LogSilencer silent;
  Random random(5);
  for (int i = 0; i < 10'000; ++i) {
    typename TypeParam::Message message;
    FillAtRandom(random, &message);
    std::string wire = message.SerializeAsString();
    if (wire.empty()) continue;
    // Mostly in the header, where it hurts.
    for (size_t n = 1 + random() % 4; n > 0; --n) {
      wire[random() % std::min<size_t>(wire.size(), 120)] = static_cast<char>(random());
    }
    ExpectAgreement<TypeParam>(wire, Chop(random, wire));
    if (this->HasFatalFailure()) return;
  }
}

TYPED_TEST(FrameCodecTest, RandomBytesNeverCrash) {
  google::protobuf::LogSilencer silent;
  Random random(6);
  for (int i = 0; i < 10'000; ++i) {
    std::string wire(random() % 60, '\0');
    for (char& c : wire) c = static_cast<char>(random());
    ExpectAgreement<TypeParam>(wire, Chop(random, wire));
    if (this->HasFatalFailure()) return;
  }
}

// ---- Payloads are not copied.

TEST(FrameCodecPayloadTest, TheWireOfAFrameBorrowsItsPayload) {
  auto bytes = std::make_shared<std::string>(3 << 20, 'g');
  ClientFrame frame;
  PushFrame push;
  push.gradient.Append(bytes->data(), bytes->size(), bytes);
  frame.kind = push;
  const Payload wire = EncodeFrame(frame);
  ASSERT_EQ(wire.chunks().size(), 2);
  EXPECT_EQ(wire.chunks()[1].data, bytes->data());
  EXPECT_EQ(wire.chunks()[1].owner, bytes);
  EXPECT_LT(wire.chunks()[0].size, 20);
}

TEST(FrameCodecPayloadTest, ADecodedPayloadBorrowsTheChunksThatArrived) {
  v1::ServerFrame message;
  message.mutable_pull_reply()->set_tensor_data(std::string(300'000, 'w'));
  Random random(7);
  const Payload wire = Chop(random, message.SerializeAsString());
  const auto frame = DecodeServerFrame(wire);
  ASSERT_TRUE(frame.ok()) << frame.status();
  const Payload& data = std::get<PullReplyFrame>(frame->kind).tensor_data;
  EXPECT_EQ(data.size(), 300'000);
  EXPECT_EQ(PayloadBytes(*frame), 300'000);
  for (const Payload::Chunk& chunk : data.chunks()) {
    const auto holds = [&chunk](const Payload::Chunk& from) {
      return from.owner == chunk.owner && from.data <= chunk.data &&
             chunk.data + chunk.size <= from.data + from.size;
    };
    EXPECT_TRUE(std::any_of(wire.chunks().begin(), wire.chunks().end(), holds));
  }
}

TEST(FrameCodecPayloadTest, APayloadThatCameOutOfOrderLivesAsLongAsItIsHeld) {
  // The payload first, then the version.
  std::string inner = std::string("\xfa\x7f\x04", 3) + "data" + std::string("\x18\x05", 2);
  const std::string wire = std::string("\x92\x01", 2) + static_cast<char>(inner.size()) + inner;
  auto frame = DecodeServerFrame(Whole(wire));
  ASSERT_TRUE(frame.ok()) << frame.status();
  Payload held = std::get<PullReplyFrame>(frame->kind).tensor_data;
  EXPECT_EQ(std::get<PullReplyFrame>(frame->kind).version, 5);
  frame = absl::InternalError("gone");
  EXPECT_EQ(Flatten(held), "data");
}

}  // namespace
}  // namespace weir
