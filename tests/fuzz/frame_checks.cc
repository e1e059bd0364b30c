// SPDX-License-Identifier: Apache-2.0
#include "tests/fuzz/frame_checks.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

#include <variant>
#include <vector>

#include "absl/strings/match.h"
#include "net/frame_batch.h"
#include "net/frame_codec.h"
#include "net/frame_parser.h"
#include "net/frame_reader.h"
#include "tests/fuzz/expect.h"
#include "tests/net/frame_samples.h"
#include "weir/v1/parameter_service.pb.h"

namespace weir::fuzz {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Reflection;
using testing::Chop;
using testing::Flatten;
using testing::Random;
using testing::Whole;

struct ClientSide {
  using Frame = ClientFrame;
  using Message = v1::ClientFrame;
  static Payload Batch(const std::vector<Frame>& frames) {
    return EncodeBatch(absl::MakeConstSpan(frames));
  }
  // What the structs cannot tell apart: every push_pull holds a push that wants values.
  static void Normalise(Message* message) {
    if (message->has_push_pull())
      message->mutable_push_pull()->mutable_push()->set_want_values(true);
  }
};
struct ServerSide {
  using Frame = ServerFrame;
  using Message = v1::ServerFrame;
  static Payload Batch(const std::vector<Frame>& frames) {
    return EncodeBatch(absl::MakeConstSpan(frames));
  }
  static void Normalise(Message*) {}
};

// The chunks depend on the bytes alone, so that a finding can be repeated.
Payload Chopped(const std::string& wire) {
  uint64_t seed = wire.size();
  for (const char c : wire) seed = seed * 1099511628211u + static_cast<uint8_t>(c);
  Random random(seed);
  return Chop(random, wire);
}

// Enumerators that no uint8_t holds become 255. MODE is kept as a number.
void ClampEnums(google::protobuf::Message* message) {
  const Reflection* reflection = message->GetReflection();
  std::vector<const FieldDescriptor*> fields;
  reflection->ListFields(*message, &fields);
  for (const FieldDescriptor* field : fields) {
    if (field->cpp_type() == FieldDescriptor::CPPTYPE_ENUM &&
        field->enum_type()->name() != "Mode") {
      const int value = reflection->GetEnumValue(*message, field);
      if (value < 0 || value > 255) reflection->SetEnumValue(message, field, 255);
    } else if (field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE && !field->is_repeated()) {
      ClampEnums(reflection->MutableMessage(message, field));
    }
  }
}

// The first unknown field from 16 up; 0: none.
template <typename Message>
uint32_t UnknownKind(const Message& message) {
  const auto& unknown = message.GetReflection()->GetUnknownFields(message);
  for (int i = 0; i < unknown.field_count(); ++i) {
    if (unknown.field(i).number() >= 16) return static_cast<uint32_t>(unknown.field(i).number());
  }
  return 0;
}

// `frame` must be what the generated classes have read.
template <typename Side>
void CheckMeaning(const typename Side::Frame& frame, typename Side::Message meant) {
  uint32_t kind = UnknownKind(meant);
  if (kind == 0 && meant.has_batch()) kind = Side::Message::kBatchFieldNumber;
  const bool has_kind = kind == 0 && meant.kind_case() != Side::Message::KIND_NOT_SET;
  const auto* unknown = std::get_if<UnknownFrame>(&frame.kind);
  WEIR_EXPECT((unknown == nullptr) == has_kind, meant.ShortDebugString());
  if (unknown != nullptr) WEIR_EXPECT(unknown->field == kind, meant.ShortDebugString());

  if (!has_kind) meant.clear_kind();
  meant.DiscardUnknownFields();
  Side::Normalise(&meant);
  ClampEnums(&meant);
  const std::string written = Flatten(EncodeFrame(frame));
  WEIR_EXPECT(written == meant.SerializeAsString(), meant.ShortDebugString());
  WEIR_EXPECT(written.size() == EncodedFrameSize(frame), meant.ShortDebugString());
}

// Whether a legal message may be refused.
bool IsLimit(const absl::Status& status) {
  return absl::StrContains(status.message(), "the limit is") ||
         absl::StrContains(status.message(), "of more than") ||
         absl::StrContains(status.message(), "a batch");
}

void CheckRefusal(const absl::Status& status, bool legal) {
  WEIR_EXPECT(status.code() == absl::StatusCode::kInvalidArgument ||
                  status.code() == absl::StatusCode::kResourceExhausted,
              status.ToString());
  WEIR_EXPECT(!legal || IsLimit(status), status.ToString());
}

template <typename Side>
void CheckFrame(const std::string& wire) {
  typename Side::Message meant;
  const bool legal = meant.ParseFromString(wire);
  const FrameLimits limits;
  const auto general = ParseFrame<typename Side::Frame>(Whole(wire), limits);
  typename Side::Frame fast;
  const bool is_fast = ReadCanonicalFrame(Chopped(wire), limits, &fast);
  WEIR_EXPECT(!is_fast || general.ok(), general.status().ToString());
  if (!general.ok()) return CheckRefusal(general.status(), legal);
  WEIR_EXPECT(legal, "accepted");
  CheckMeaning<Side>(*general, meant);
  if (is_fast) CheckMeaning<Side>(fast, meant);
}

template <typename Side>
void CheckFrames(const std::string& wire) {
  using Frame = typename Side::Frame;
  typename Side::Message meant;
  const bool legal = meant.ParseFromString(wire);
  const FrameLimits limits;
  const auto general = ParseFrames<Frame>(Whole(wire), limits);
  std::vector<Frame> fast;
  const bool is_fast = ReadCanonicalFrames(Chopped(wire), limits, &fast);
  WEIR_EXPECT(!is_fast || general.ok(), general.status().ToString());
  if (!general.ok()) return CheckRefusal(general.status(), legal);
  WEIR_EXPECT(legal, "accepted");
  if (!meant.has_batch() || UnknownKind(meant) != 0) {
    WEIR_EXPECT(general->size() == 1, meant.ShortDebugString());
    return CheckMeaning<Side>(general->front(), meant);
  }
  const auto& frames = meant.batch().frames();
  WEIR_EXPECT(static_cast<size_t>(frames.size()) == general->size(), meant.ShortDebugString());
  for (int i = 0; i < frames.size(); ++i) CheckMeaning<Side>((*general)[i], frames[i]);
  if (is_fast) {
    WEIR_EXPECT(Flatten(Side::Batch(fast)) == Flatten(Side::Batch(*general)),
                meant.ShortDebugString());
  }
}

}  // namespace

void CheckClientFrame(const std::string& wire) { CheckFrame<ClientSide>(wire); }
void CheckServerFrame(const std::string& wire) { CheckFrame<ServerSide>(wire); }
void CheckClientFrames(const std::string& wire) { CheckFrames<ClientSide>(wire); }
void CheckServerFrames(const std::string& wire) { CheckFrames<ServerSide>(wire); }

}  // namespace weir::fuzz
