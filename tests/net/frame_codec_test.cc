// SPDX-License-Identifier: Apache-2.0
#include "net/frame_codec.h"

#include <google/protobuf/stubs/logging.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <new>

#include "absl/strings/match.h"
#include "net/frame_reader.h"
#include "tests/net/frame_samples.h"
#include "weir/v1/parameter_service.pb.h"

namespace {

std::atomic<size_t> allocated_bytes{0};

}  // namespace

// Counts what this program asks the allocator for.
void* operator new(size_t bytes) {
  allocated_bytes += bytes;
  if (void* block = std::malloc(bytes)) return block;
  throw std::bad_alloc();
}
void operator delete(void* block) noexcept { std::free(block); }
void operator delete(void* block, size_t) noexcept { std::free(block); }

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

// ---- What stands where. Random frames cannot tell two members that changed places in both
// directions.

TEST(FrameCodecMembersTest, HelloAndItsAnswerCarryEachMemberUnderItsName) {
  v1::ClientFrame message;
  message.set_request_id(1);
  message.set_deadline_ms(2);
  message.set_epoch(3);
  message.set_trace_id(4);
  v1::Hello* hello = message.mutable_hello();
  hello->set_protocol_min(5);
  hello->set_protocol_max(6);
  hello->set_features(7);
  hello->set_job_id("job");
  hello->set_job_token("token");
  hello->set_role(v1::ROLE_READER);
  hello->set_worker_id(8);
  hello->set_incarnation(9);
  hello->set_session_nonce(10);
  hello->set_lane(11);
  hello->set_shard(12);
  hello->set_build_id("build");
  const auto frame = DecodeClientFrame(Whole(message.SerializeAsString()));
  ASSERT_TRUE(frame.ok()) << frame.status();
  EXPECT_EQ(frame->request_id, 1);
  EXPECT_EQ(frame->deadline_ms, 2);
  EXPECT_EQ(frame->epoch, 3);
  EXPECT_EQ(frame->trace_id, 4);
  const auto& read = std::get<HelloFrame>(frame->kind);
  EXPECT_EQ(read.protocol_min, 5);
  EXPECT_EQ(read.protocol_max, 6);
  EXPECT_EQ(read.features, 7);
  EXPECT_EQ(read.job_id, "job");
  EXPECT_EQ(read.job_token, "token");
  EXPECT_EQ(read.role, SessionRole::kReader);
  EXPECT_EQ(read.worker_id, 8);
  EXPECT_EQ(read.incarnation, 9);
  EXPECT_EQ(read.session_nonce, 10);
  EXPECT_EQ(read.lane, 11);
  EXPECT_EQ(read.shard, 12);
  EXPECT_EQ(read.build_id, "build");
}

TEST(FrameCodecMembersTest, HelloReplyCarriesEachMemberUnderItsName) {
  ServerFrame frame;
  frame.request_id = 1;
  frame.epoch = 2;
  frame.trace_id = 3;
  frame.push_bytes_released = 4;
  HelloReplyFrame reply;
  reply.protocol = 5;
  reply.features = 6;
  reply.shard = 7;
  reply.mode = v1::MODE_ASP;
  reply.gradient_shards = 8;
  reply.max_requests = 9;
  reply.max_push_bytes = 10;
  reply.max_reply_bytes = 11;
  reply.max_frame_bytes = 12;
  reply.max_wait_ms = 13;
  reply.write_timeout_ms = 14;
  reply.last_sequence = 15;
  reply.last_batch = 16;
  reply.has_max_staleness = true;
  reply.max_staleness = 17;
  reply.build_id = "build";
  reply.shm_socket = "/run/s";
  reply.shm_key = "\xff key";
  frame.kind = reply;
  v1::ServerFrame message;
  ASSERT_TRUE(message.ParseFromString(Flatten(EncodeFrame(frame))));
  EXPECT_EQ(message.request_id(), 1);
  EXPECT_EQ(message.epoch(), 2);
  EXPECT_EQ(message.trace_id(), 3);
  EXPECT_EQ(message.push_bytes_released(), 4);
  const v1::HelloReply& read = message.hello_reply();
  EXPECT_EQ(read.protocol(), 5);
  EXPECT_EQ(read.features(), 6);
  EXPECT_EQ(read.shard(), 7);
  EXPECT_EQ(read.mode(), v1::MODE_ASP);
  EXPECT_EQ(read.gradient_shards(), 8);
  EXPECT_EQ(read.max_requests(), 9);
  EXPECT_EQ(read.max_push_bytes(), 10);
  EXPECT_EQ(read.max_reply_bytes(), 11);
  EXPECT_EQ(read.max_frame_bytes(), 12);
  EXPECT_EQ(read.max_wait_ms(), 13);
  EXPECT_EQ(read.write_timeout_ms(), 14);
  EXPECT_EQ(read.last_sequence(), 15);
  EXPECT_EQ(read.last_batch(), 16);
  EXPECT_TRUE(read.has_max_staleness());
  EXPECT_EQ(read.max_staleness(), 17);
  EXPECT_EQ(read.build_id(), "build");
  EXPECT_EQ(read.shm_socket(), "/run/s");
  EXPECT_EQ(read.shm_key(), "\xff key");
}

TEST(FrameCodecMembersTest, PullAndItsReplyCarryEachMemberUnderItsName) {
  ClientFrame frame;
  PullFrame pull;
  pull.layer_name = "fc/w";
  pull.tensor_id = 1;
  pull.worker_id = 2;
  pull.version = 3;
  pull.condition = PullCondition::kStep;
  pull.offset = 4;
  pull.count = 5;
  pull.codec = Codec::kF32;
  frame.kind = pull;
  v1::ClientFrame message;
  ASSERT_TRUE(message.ParseFromString(Flatten(EncodeFrame(frame))));
  EXPECT_EQ(message.pull().layer_name(), "fc/w");
  EXPECT_EQ(message.pull().tensor_id(), 1);
  EXPECT_EQ(message.pull().worker_id(), 2);
  EXPECT_EQ(message.pull().version(), 3);
  EXPECT_EQ(message.pull().condition(), v1::Pull::CONDITION_STEP);
  EXPECT_EQ(message.pull().offset(), 4);
  EXPECT_EQ(message.pull().count(), 5);
  EXPECT_EQ(message.pull().codec(), v1::CODEC_F32);

  v1::ServerFrame answer;
  v1::PullReply* reply = answer.mutable_pull_reply();
  reply->set_layer_name("fc/b");
  reply->set_tensor_id(1);
  reply->set_version(2);
  reply->set_stale(true);
  reply->set_offset(3);
  reply->set_count(4);
  reply->set_remaining(5);
  reply->set_codec(v1::CODEC_F32);
  reply->set_tensor_data("data");
  auto read = DecodeServerFrame(Whole(answer.SerializeAsString()));
  ASSERT_TRUE(read.ok()) << read.status();
  const auto& got = std::get<PullReplyFrame>(read->kind);
  EXPECT_EQ(got.layer_name, "fc/b");
  EXPECT_EQ(got.tensor_id, 1);
  EXPECT_EQ(got.version, 2);
  EXPECT_TRUE(got.stale);
  EXPECT_FALSE(got.not_modified);
  EXPECT_EQ(got.offset, 3);
  EXPECT_EQ(got.count, 4);
  EXPECT_EQ(got.remaining, 5);
  EXPECT_EQ(got.codec, Codec::kF32);
  EXPECT_EQ(Flatten(got.tensor_data), "data");
}

TEST(FrameCodecMembersTest, PushAndItsReplyCarryEachMemberUnderItsName) {
  ClientFrame frame;
  PushFrame push;
  push.layer_name = "fc/w";
  push.tensor_id = 1;
  push.worker_id = 2;
  push.sequence = 3;
  push.lowest_pending = 4;
  push.base_version = 5;
  push.atomicity = Atomicity::kSlice;
  push.offset = 6;
  push.count = 7;
  push.step = 8;
  push.first_part = 9;
  push.parts = 10;
  push.batch = 11;
  push.examples = 12;
  push.codec = Codec::kF32;
  push.want_values = true;
  push.learning_rate = 0.125;
  push.values_codec = Codec::kBf16;
  push.gradient = Whole("gradient");
  frame.kind = push;
  v1::ClientFrame message;
  ASSERT_TRUE(message.ParseFromString(Flatten(EncodeFrame(frame))));
  const v1::Push& read = message.push();
  EXPECT_EQ(read.layer_name(), "fc/w");
  EXPECT_EQ(read.tensor_id(), 1);
  EXPECT_EQ(read.worker_id(), 2);
  EXPECT_EQ(read.sequence(), 3);
  EXPECT_EQ(read.lowest_pending(), 4);
  EXPECT_EQ(read.base_version(), 5);
  EXPECT_EQ(read.atomicity(), v1::ATOMICITY_SLICE);
  EXPECT_EQ(read.offset(), 6);
  EXPECT_EQ(read.count(), 7);
  EXPECT_EQ(read.step(), 8);
  EXPECT_EQ(read.first_part(), 9);
  EXPECT_EQ(read.parts(), 10);
  EXPECT_EQ(read.batch(), 11);
  EXPECT_EQ(read.examples(), 12);
  EXPECT_EQ(read.codec(), v1::CODEC_F32);
  EXPECT_TRUE(read.want_values());
  EXPECT_EQ(read.learning_rate(), 0.125);
  EXPECT_EQ(read.values_codec(), v1::CODEC_BF16);
  EXPECT_EQ(read.gradient(), "gradient");

  v1::ServerFrame answer;
  v1::PushReply* reply = answer.mutable_push_reply();
  reply->set_sequence(1);
  reply->set_tensor_id(2);
  reply->set_offset(3);
  reply->set_outcome(v1::OUTCOME_DUPLICATE);
  reply->set_first(v1::OUTCOME_APPLIED);
  reply->set_version(4);
  reply->set_count(5);
  reply->set_retry_after_ms(6);
  reply->set_reason("because");
  reply->set_codec(v1::CODEC_F32);
  reply->set_tensor_data("values");
  auto decoded = DecodeServerFrame(Whole(answer.SerializeAsString()));
  ASSERT_TRUE(decoded.ok()) << decoded.status();
  const auto& got = std::get<PushReplyFrame>(decoded->kind);
  EXPECT_EQ(got.sequence, 1);
  EXPECT_EQ(got.tensor_id, 2);
  EXPECT_EQ(got.offset, 3);
  EXPECT_EQ(got.outcome, Outcome::kDuplicate);
  EXPECT_EQ(got.first, Outcome::kApplied);
  EXPECT_EQ(got.version, 4);
  EXPECT_EQ(got.count, 5);
  EXPECT_EQ(got.retry_after_ms, 6);
  EXPECT_EQ(got.reason, "because");
  EXPECT_EQ(got.codec, Codec::kF32);
  EXPECT_EQ(Flatten(got.tensor_data), "values");
}

TEST(FrameCodecMembersTest, BindReplyCarriesEachMemberUnderItsName) {
  v1::ServerFrame answer;
  auto* binding = answer.mutable_bind_reply()->add_bindings();
  binding->set_layer_name("fc/w");
  binding->set_tensor_id(1);
  binding->add_shape(2);
  binding->add_shape(3);
  auto* slice = answer.mutable_bind_reply()->add_slices();
  slice->set_tensor_id(4);
  slice->set_offset(5);
  slice->set_count(6);
  slice->set_shard(7);
  auto decoded = DecodeServerFrame(Whole(answer.SerializeAsString()));
  ASSERT_TRUE(decoded.ok()) << decoded.status();
  const auto& got = std::get<BindReplyFrame>(decoded->kind);
  ASSERT_EQ(got.bindings.size(), 1);
  EXPECT_EQ(got.bindings[0].layer_name, "fc/w");
  EXPECT_EQ(got.bindings[0].tensor_id, 1);
  EXPECT_EQ(got.bindings[0].shape, (std::vector<int64_t>{2, 3}));
  ASSERT_EQ(got.slices.size(), 1);
  EXPECT_EQ(got.slices[0], (SliceSpec{4, 5, 6, 7}));
}

TEST(FrameCodecMembersTest, TheSmallKindsCarryEachMemberUnderItsName) {
  ClientFrame frame;
  v1::ClientFrame message;
  frame.kind = BindFrame{{"a", "b"}};
  ASSERT_TRUE(message.ParseFromString(Flatten(EncodeFrame(frame))));
  EXPECT_EQ(message.bind().layer_name(1), "b");
  frame.kind = SyncFrame{{7, 8}, true, 9, true};
  ASSERT_TRUE(message.ParseFromString(Flatten(EncodeFrame(frame))));
  EXPECT_EQ(message.sync().tensor_id(1), 8);
  EXPECT_TRUE(message.sync().at_step());
  EXPECT_EQ(message.sync().step(), 9);
  EXPECT_TRUE(message.sync().encoded());
  frame.kind = PutStateFrame{5, Whole("state")};
  ASSERT_TRUE(message.ParseFromString(Flatten(EncodeFrame(frame))));
  EXPECT_EQ(message.put_state().sequence(), 5);
  EXPECT_EQ(message.put_state().state(), "state");
  frame.kind = LeaveFrame();
  ASSERT_TRUE(message.ParseFromString(Flatten(EncodeFrame(frame))));
  EXPECT_TRUE(message.has_leave());
  frame.kind = GetStateFrame();
  ASSERT_TRUE(message.ParseFromString(Flatten(EncodeFrame(frame))));
  EXPECT_TRUE(message.has_get_state());

  ServerFrame reply;
  v1::ServerFrame answer;
  reply.kind = ErrorReplyFrame{Outcome::kFenced, "stop"};
  ASSERT_TRUE(answer.ParseFromString(Flatten(EncodeFrame(reply))));
  EXPECT_EQ(answer.error().outcome(), v1::OUTCOME_FENCED);
  EXPECT_EQ(answer.error().reason(), "stop");
  reply.kind = StateReplyFrame{6, Whole("state")};
  ASSERT_TRUE(answer.ParseFromString(Flatten(EncodeFrame(reply))));
  EXPECT_EQ(answer.state_reply().sequence(), 6);
  EXPECT_EQ(answer.state_reply().state(), "state");
  reply.kind = CreditFrame();
  ASSERT_TRUE(answer.ParseFromString(Flatten(EncodeFrame(reply))));
  EXPECT_TRUE(answer.has_credit());
  reply.kind = LeaveReplyFrame();
  ASSERT_TRUE(answer.ParseFromString(Flatten(EncodeFrame(reply))));
  EXPECT_TRUE(answer.has_leave_reply());
}

TEST(FrameCodecMembersTest, APushPullIsAPushThatAlwaysWantsValues) {
  v1::ClientFrame message;
  message.mutable_push_pull()->mutable_push()->set_sequence(7);
  const auto frame = DecodeClientFrame(Whole(message.SerializeAsString()));
  ASSERT_TRUE(frame.ok()) << frame.status();
  const auto& push = std::get<PushFrame>(frame->kind);
  EXPECT_TRUE(push.is_push_pull);
  EXPECT_TRUE(push.want_values);
  EXPECT_EQ(push.sequence, 7);
}

TEST(FrameCodecMembersTest, WhatAHelloLeavesOutIsZero) {
  v1::ClientFrame message;
  message.mutable_hello()->set_shard(3);
  const auto frame = DecodeClientFrame(Whole(message.SerializeAsString()));
  ASSERT_TRUE(frame.ok()) << frame.status();
  EXPECT_EQ(std::get<HelloFrame>(frame->kind).protocol_min, 0);
  EXPECT_EQ(std::get<HelloFrame>(frame->kind).protocol_max, 0);
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

// ---- What is refused, and in which words.

absl::Status Refusal(const std::string& wire, const FrameLimits& limits = {}) {
  google::protobuf::LogSilencer silent;
  return DecodeClientFrame(Whole(wire), limits).status();
}

TEST(FrameCodecRefusalTest, AFrameLargerThanTheLimit) {
  const absl::Status status = Refusal(std::string((4 << 20) + 1, '\0'));
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(status.message(), "a frame of 4194305 bytes; the limit is 4194304 bytes");
}

TEST(FrameCodecRefusalTest, AFrameCutShort) {
  v1::ClientFrame message;
  message.mutable_hello()->set_build_id("build");
  const std::string wire = message.SerializeAsString();
  EXPECT_EQ(Refusal(wire.substr(0, wire.size() - 1)),
            absl::InvalidArgumentError(
                "the frame is damaged: a field of 7 bytes where 6 are left at byte 3"));
}

TEST(FrameCodecRefusalTest, ALengthBeyondTheEnd) {
  EXPECT_EQ(
      Refusal(std::string("\x9a\x01\xff\xff\xff\xff\xff\xff\xff\xff\x7f", 11)).message(),
      "the frame is damaged: a field of 9223372036854775807 bytes where 0 are left at byte 11");
}

TEST(FrameCodecRefusalTest, ANumberThatDoesNotEnd) {
  EXPECT_EQ(Refusal("\x08" + std::string(11, '\xff')).message(),
            "the frame is damaged: a number of more than 10 bytes at byte 1");
  EXPECT_EQ(Refusal("\x08\xff").message(), "the frame is damaged: a number is cut short at byte 1");
}

TEST(FrameCodecRefusalTest, AWireTypeThatDoesNotExist) {
  EXPECT_EQ(Refusal("\x0f").message(), "the frame is damaged: wire type 7 at byte 0");
  EXPECT_EQ(Refusal(std::string("\x00", 1)).message(),
            "the frame is damaged: a field of number 0 at byte 0");
}

TEST(FrameCodecRefusalTest, ADamagedKindWithinASoundFrame) {
  EXPECT_EQ(Refusal(std::string("\x92\x01\x01\x0f", 4)).message(),
            "a frame of 4 bytes is no encoding of weir.v1.ClientFrame");
}

TEST(FrameCodecRefusalTest, TextThatIsNotUtf8) {
  v1::ClientFrame message;
  message.mutable_pull()->set_layer_name("abc");
  std::string wire = message.SerializeAsString();
  wire.back() = '\xff';
  EXPECT_EQ(Refusal(wire).code(), absl::StatusCode::kInvalidArgument);
  message.mutable_pull()->set_layer_name("größe");
  const auto frame = DecodeClientFrame(Whole(message.SerializeAsString()));
  ASSERT_TRUE(frame.ok()) << frame.status();
  EXPECT_EQ(std::get<PullFrame>(frame->kind).layer_name, "größe");
}

TEST(FrameCodecRefusalTest, TextOverItsLimit) {
  v1::ClientFrame message;
  message.mutable_hello()->set_job_token(std::string(4096, 't'));
  EXPECT_TRUE(Refusal(message.SerializeAsString()).ok());
  message.mutable_hello()->set_job_token(std::string(4097, 't'));
  EXPECT_EQ(
      Refusal(message.SerializeAsString()),
      absl::InvalidArgumentError("weir.v1.Hello.job_token has 4097 bytes; the limit is 4096"));
}

TEST(FrameCodecRefusalTest, RepeatedFieldsOverTheirLimits) {
  FrameLimits limits;
  limits.max_tensors = 3;
  limits.max_slices = 2;
  v1::ClientFrame message;
  for (int i = 0; i < 3; ++i) message.mutable_bind()->add_layer_name("x");
  EXPECT_TRUE(Refusal(message.SerializeAsString(), limits).ok());
  message.mutable_bind()->add_layer_name("x");
  EXPECT_EQ(Refusal(message.SerializeAsString(), limits).message(),
            "weir.v1.Bind.layer_name has 4 entries; the limit is 3");
  for (int i = 0; i < 4; ++i) message.mutable_sync()->add_tensor_id(i);
  EXPECT_EQ(Refusal(message.SerializeAsString(), limits).message(),
            "weir.v1.Sync.tensor_id has 4 entries; the limit is 3");

  v1::ServerFrame answer;
  for (int i = 0; i < 17; ++i) answer.mutable_bind_reply()->mutable_bindings()->Add()->add_shape(1);
  EXPECT_EQ(DecodeServerFrame(Whole(answer.SerializeAsString()), limits).status().message(),
            "weir.v1.BindReply.bindings has 17 entries; the limit is 3");
  answer.Clear();
  for (int i = 0; i < 3; ++i) answer.mutable_bind_reply()->add_slices();
  EXPECT_EQ(DecodeServerFrame(Whole(answer.SerializeAsString()), limits).status().message(),
            "weir.v1.BindReply.slices has 3 entries; the limit is 2");
  answer.Clear();
  auto* binding = answer.mutable_bind_reply()->add_bindings();
  for (int i = 0; i < 17; ++i) binding->add_shape(1);
  EXPECT_EQ(DecodeServerFrame(Whole(answer.SerializeAsString()), limits).status().message(),
            "weir.v1.BindReply.Binding.shape has 17 entries; the limit is 16");
}

TEST(FrameCodecRefusalTest, AMillionEmptyNamesDoNotAskForMuchMemory) {
  // Two bytes each on the wire, some sixty in memory.
  std::string names;
  for (int i = 0; i < 1'000'000; ++i) names += std::string("\x0a\x00", 2);
  std::string wire("\x8a\x01\x80\x89\x7a", 5);
  wire += names;
  const Payload payload = Whole(wire);
  const size_t before = allocated_bytes;
  const auto frame = DecodeClientFrame(payload);
  EXPECT_EQ(frame.status().message(), "a frame of more than 65792 fields");
  EXPECT_LT(allocated_bytes - before, 4 * wire.size());
}

TEST(FrameCodecRefusalTest, AMillionUnknownFieldsDoNotAskForMuchMemoryWhereverTheyHide) {
  // Empty fields of number 1000, which no message has: three bytes each on the wire.
  std::string fields;
  for (int i = 0; i < 1'000'000; ++i) fields += std::string("\xc2\x3e\x00", 3);
  const auto delimited = [](const char* tag, const std::string& content) {
    std::string wire(tag);
    size_t left = content.size();
    for (; left >= 0x80; left >>= 7) wire += static_cast<char>(left | 0x80);
    return wire + static_cast<char>(left) + content;
  };
  const std::string group = "\x33" + fields + "\x34";  // of number 6
  const std::string wires[] = {
      fields,
      group,                                             // in the envelope
      delimited("\x9a\x01", fields),                     // in a push
      delimited("\x9a\x01", group),                      // in a group of a push
      delimited("\xa2\x01", delimited("\x0a", fields)),  // in the push of a push_pull
      delimited("\xa2\x01", delimited("\x0a", group)),
      "\x33" + group + "\x34",  // in a group of a group
  };
  for (const std::string& wire : wires) {
    const Payload payload = Whole(wire);
    const size_t before = allocated_bytes;
    const auto frame = DecodeClientFrame(payload);
    EXPECT_EQ(frame.status().message(), "a frame of more than 65792 fields");
    EXPECT_LT(allocated_bytes - before, 4 * wire.size());
  }
}

TEST(FrameCodecRefusalTest, AShortFrameThatClaimsMuchDoesNotAskForMuchMemory) {
  // A push whose gradient claims 3 MiB and holds none.
  const std::string wire("\x9a\x01\x06\xfa\x7f\x80\x80\xc0\x01", 9);
  const Payload payload = Whole(wire);
  const size_t before = allocated_bytes;
  EXPECT_FALSE(DecodeClientFrame(payload).ok());
  EXPECT_LT(allocated_bytes - before, 8192);
}

// ---- Kinds that this build does not know.

TEST(FrameCodecUnknownTest, AnUnknownKindIsNamedByItsNumber) {
  std::string wire("\x08\x07", 2);                 // request_id 7
  wire += std::string("\xf2\x01\x02\x08\x01", 5);  // field 30
  const auto frame = DecodeClientFrame(Whole(wire));
  ASSERT_TRUE(frame.ok()) << frame.status();
  EXPECT_EQ(frame->request_id, 7);
  EXPECT_EQ(std::get<UnknownFrame>(frame->kind).field, 30);
}

TEST(FrameCodecUnknownTest, AnUnknownKindBesideAKnownOneIsNotIgnored) {
  v1::ClientFrame message;
  message.mutable_leave();
  const auto frame =
      DecodeClientFrame(Whole(message.SerializeAsString() + std::string("\xf2\x01\x00", 3)));
  ASSERT_TRUE(frame.ok()) << frame.status();
  EXPECT_EQ(std::get<UnknownFrame>(frame->kind).field, 30);
}

TEST(FrameCodecUnknownTest, AFrameWithoutAKindIsUnknownFieldZero) {
  v1::ClientFrame message;
  message.set_request_id(9);
  const auto frame = DecodeClientFrame(Whole(message.SerializeAsString()));
  ASSERT_TRUE(frame.ok()) << frame.status();
  EXPECT_EQ(std::get<UnknownFrame>(frame->kind).field, 0);
  EXPECT_EQ(frame->request_id, 9);
}

TEST(FrameCodecUnknownTest, UnknownEnumeratorsKeepTheirNumberUpTo255) {
  v1::ClientFrame message;
  message.mutable_pull()->set_codec(static_cast<v1::Codec>(200));
  auto frame = DecodeClientFrame(Whole(message.SerializeAsString()));
  ASSERT_TRUE(frame.ok()) << frame.status();
  EXPECT_EQ(static_cast<int>(std::get<PullFrame>(frame->kind).codec), 200);
  for (const int number : {256, 257, -1, 1 << 30}) {
    message.mutable_pull()->set_codec(static_cast<v1::Codec>(number));
    frame = DecodeClientFrame(Whole(message.SerializeAsString()));
    ASSERT_TRUE(frame.ok()) << frame.status();
    EXPECT_EQ(static_cast<int>(std::get<PullFrame>(frame->kind).codec), 255) << number;
  }
}

TEST(CodecTest, EveryCodecHasItsNumberOnTheWire) {
  EXPECT_EQ(static_cast<int>(Codec::kUnspecified), v1::CODEC_UNSPECIFIED);
  EXPECT_EQ(static_cast<int>(Codec::kF32), v1::CODEC_F32);
  EXPECT_EQ(static_cast<int>(Codec::kF16), v1::CODEC_F16);
  EXPECT_EQ(static_cast<int>(Codec::kBf16), v1::CODEC_BF16);
  EXPECT_EQ(static_cast<int>(Codec::kInt8), v1::CODEC_INT8);
  EXPECT_EQ(v1::Codec_MAX, v1::CODEC_INT8);
}

TEST(OutcomeNameTest, EveryOutcomeHasItsWireName) {
  for (int i = v1::Outcome_MIN; i <= v1::Outcome_MAX; ++i) {
    std::string name = v1::Outcome_Name(i).substr(8);
    std::transform(name.begin(), name.end(), name.begin(),
                   [](char c) { return static_cast<char>(std::tolower(c)); });
    EXPECT_EQ(OutcomeName(static_cast<Outcome>(i)), name);
  }
  EXPECT_STREQ(OutcomeName(static_cast<Outcome>(99)), "unknown");
}

}  // namespace
}  // namespace weir
