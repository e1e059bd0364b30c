// SPDX-License-Identifier: Apache-2.0
// Frames that lie, are damaged, too large or not known: refused with a sentence, and at little
// cost.
#include <google/protobuf/stubs/logging.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <new>
#include <string>

#include "net/frame_codec.h"
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

using testing::Whole;

absl::Status Refusal(const std::string& wire, const FrameLimits& limits = {}) {
  google::protobuf::LogSilencer silent;
  return DecodeClientFrame(Whole(wire), limits).status();
}

TEST(FrameRefusalTest, AFrameLargerThanTheLimit) {
  const absl::Status status = Refusal(std::string((4 << 20) + 1, '\0'));
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(status.message(), "a frame of 4194305 bytes; the limit is 4194304 bytes");
}

TEST(FrameRefusalTest, AFrameCutShort) {
  v1::ClientFrame message;
  message.mutable_hello()->set_build_id("build");
  const std::string wire = message.SerializeAsString();
  EXPECT_EQ(Refusal(wire.substr(0, wire.size() - 1)),
            absl::InvalidArgumentError(
                "the frame is damaged: a field of 7 bytes where 6 are left at byte 3"));
}

TEST(FrameRefusalTest, ALengthBeyondTheEnd) {
  EXPECT_EQ(
      Refusal(std::string("\x9a\x01\xff\xff\xff\xff\xff\xff\xff\xff\x7f", 11)).message(),
      "the frame is damaged: a field of 9223372036854775807 bytes where 0 are left at byte 11");
}

TEST(FrameRefusalTest, ANumberThatDoesNotEnd) {
  EXPECT_EQ(Refusal("\x08" + std::string(11, '\xff')).message(),
            "the frame is damaged: a number of more than 10 bytes at byte 1");
  EXPECT_EQ(Refusal("\x08\xff").message(), "the frame is damaged: a number is cut short at byte 1");
}

TEST(FrameRefusalTest, AWireTypeThatDoesNotExist) {
  EXPECT_EQ(Refusal("\x0f").message(), "the frame is damaged: wire type 7 at byte 0");
  EXPECT_EQ(Refusal(std::string("\x00", 1)).message(),
            "the frame is damaged: a field of number 0 at byte 0");
}

TEST(FrameRefusalTest, ADamagedKindWithinASoundFrame) {
  EXPECT_EQ(Refusal(std::string("\x92\x01\x01\x0f", 4)).message(),
            "a frame of 4 bytes is no encoding of weir.v1.ClientFrame");
}

TEST(FrameRefusalTest, TextThatIsNotUtf8) {
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

TEST(FrameRefusalTest, TextOverItsLimit) {
  v1::ClientFrame message;
  message.mutable_hello()->set_job_token(std::string(4096, 't'));
  EXPECT_TRUE(Refusal(message.SerializeAsString()).ok());
  message.mutable_hello()->set_job_token(std::string(4097, 't'));
  EXPECT_EQ(
      Refusal(message.SerializeAsString()),
      absl::InvalidArgumentError("weir.v1.Hello.job_token has 4097 bytes; the limit is 4096"));
}

TEST(FrameRefusalTest, RepeatedFieldsOverTheirLimits) {
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

TEST(FrameRefusalTest, AMillionEmptyNamesDoNotAskForMuchMemory) {
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

TEST(FrameRefusalTest, AMillionUnknownFieldsDoNotAskForMuchMemoryWhereverTheyHide) {
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

TEST(FrameRefusalTest, AShortFrameThatClaimsMuchDoesNotAskForMuchMemory) {
  // A push whose gradient claims 3 MiB and holds none.
  const std::string wire("\x9a\x01\x06\xfa\x7f\x80\x80\xc0\x01", 9);
  const Payload payload = Whole(wire);
  const size_t before = allocated_bytes;
  EXPECT_FALSE(DecodeClientFrame(payload).ok());
  EXPECT_LT(allocated_bytes - before, 8192);
}

// ---- Kinds that this build does not know.

TEST(FrameUnknownTest, AnUnknownKindIsNamedByItsNumber) {
  std::string wire("\x08\x07", 2);                 // request_id 7
  wire += std::string("\xf2\x01\x02\x08\x01", 5);  // field 30
  const auto frame = DecodeClientFrame(Whole(wire));
  ASSERT_TRUE(frame.ok()) << frame.status();
  EXPECT_EQ(frame->request_id, 7);
  EXPECT_EQ(std::get<UnknownFrame>(frame->kind).field, 30);
}

TEST(FrameUnknownTest, AnUnknownKindBesideAKnownOneIsNotIgnored) {
  v1::ClientFrame message;
  message.mutable_leave();
  const auto frame =
      DecodeClientFrame(Whole(message.SerializeAsString() + std::string("\xf2\x01\x00", 3)));
  ASSERT_TRUE(frame.ok()) << frame.status();
  EXPECT_EQ(std::get<UnknownFrame>(frame->kind).field, 30);
}

TEST(FrameUnknownTest, AFrameWithoutAKindIsUnknownFieldZero) {
  v1::ClientFrame message;
  message.set_request_id(9);
  const auto frame = DecodeClientFrame(Whole(message.SerializeAsString()));
  ASSERT_TRUE(frame.ok()) << frame.status();
  EXPECT_EQ(std::get<UnknownFrame>(frame->kind).field, 0);
  EXPECT_EQ(frame->request_id, 9);
}

TEST(FrameUnknownTest, UnknownEnumeratorsKeepTheirNumberUpTo255) {
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

}  // namespace
}  // namespace weir
