// SPDX-License-Identifier: Apache-2.0
#include "net/frame_parser.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>
#include <google/protobuf/unknown_field_set.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "net/frame_fields.h"
#include "net/frame_writer.h"
#include "net/wire_scan.h"
#include "weir/v1/parameter_service.pb.h"

namespace weir {
namespace {

using google::protobuf::FieldDescriptor;
using ProtoMessage = google::protobuf::Message;
using google::protobuf::Reflection;

// Fields that an honest frame may have beside its repeated ones.
constexpr size_t kOtherFields = 256;
// The most that a frame of a batch has of them, itself included.
constexpr size_t kFieldsInBatch = 32;

template <typename Frame>
struct WireOf;
template <>
struct WireOf<ClientFrame> {
  using Message = v1::ClientFrame;
  static constexpr WireFrame kFrame = WireFrame::kClient;
  static size_t MaxFields(const FrameLimits& limits) { return limits.max_tensors + kOtherFields; }
};
template <>
struct WireOf<ServerFrame> {
  using Message = v1::ServerFrame;
  static constexpr WireFrame kFrame = WireFrame::kServer;
  static size_t MaxFields(const FrameLimits& limits) {
    return limits.max_tensors + limits.max_slices + kOtherFields;
  }
};
template <typename Frame>
WireScanLimits ScanLimits(const FrameLimits& limits) {
  return {WireOf<Frame>::MaxFields(limits),
          limits.max_tensors + limits.max_slices + kMaxBatchFrames * kFieldsInBatch};
}

// Copies the fields of a generated message; the payload borrows from it.
class MessageReader {
 public:
  MessageReader(const ProtoMessage& message, const FrameLimits& limits,
                std::shared_ptr<const void> owner, absl::Status* status)
      : message_(message),
        reflection_(*message.GetReflection()),
        limits_(limits),
        owner_(std::move(owner)),
        status_(status) {}

  void U64(uint32_t number, uint64_t& out) { out = reflection_.GetUInt64(message_, Field(number)); }
  void U32(uint32_t number, uint32_t& out) { out = reflection_.GetUInt32(message_, Field(number)); }
  void Bool(uint32_t number, bool& out) { out = reflection_.GetBool(message_, Field(number)); }
  void Double(uint32_t number, double& out) {
    out = reflection_.GetDouble(message_, Field(number));
  }
  void Int32Number(uint32_t number, uint32_t& out) {
    out = static_cast<uint32_t>(reflection_.GetEnumValue(message_, Field(number)));
  }
  template <typename E>
  void Enum(uint32_t number, E& out) {
    const int value = reflection_.GetEnumValue(message_, Field(number));
    out = static_cast<E>(value >= 0 && value <= 255 ? value : 255);
  }
  void Bytes(uint32_t number, std::string& out) {
    out = reflection_.GetString(message_, Field(number));
    CheckText(number, out);
  }
  void Text(uint32_t number, std::string& out) { Bytes(number, out); }
  void Texts(uint32_t number, std::vector<std::string>& out) {
    const int size = Size(number, limits_.max_tensors);
    for (int i = 0; i < size && status_->ok(); ++i) {
      out.push_back(reflection_.GetRepeatedString(message_, Field(number), i));
      CheckText(number, out.back());
    }
  }
  void U32s(uint32_t number, std::vector<uint32_t>& out) {
    const int size = Size(number, limits_.max_tensors);
    for (int i = 0; i < size; ++i)
      out.push_back(reflection_.GetRepeatedUInt32(message_, Field(number), i));
  }
  void I64s(uint32_t number, std::vector<int64_t>& out) {
    const int size = Size(number, kMaxDimensions);
    for (int i = 0; i < size; ++i)
      out.push_back(reflection_.GetRepeatedInt64(message_, Field(number), i));
  }
  template <typename M>
  void Message(uint32_t number, M& out) {
    Read(reflection_.GetMessage(message_, Field(number)), out);
  }
  void Messages(uint32_t number, std::vector<BindReplyFrame::Binding>& out) {
    Repeated(number, limits_.max_tensors, out);
  }
  void Messages(uint32_t number, std::vector<SliceSpec>& out) {
    Repeated(number, limits_.max_slices, out);
  }
  void Data(uint32_t number, Payload& out) {
    std::string unused;
    const std::string& bytes = reflection_.GetStringReference(message_, Field(number), &unused);
    out = Payload();
    out.Append(bytes.data(), bytes.size(), owner_);
    out.CountCopied(2 * bytes.size());  // flattened, then parsed
  }

 private:
  const FieldDescriptor* Field(uint32_t number) const {
    return message_.GetDescriptor()->FindFieldByNumber(static_cast<int>(number));
  }

  // The entries of a repeated field; 0 and an error when over `max`.
  int Size(uint32_t number, size_t max) {
    const int size = reflection_.FieldSize(message_, Field(number));
    if (static_cast<size_t>(size) <= max) return size;
    *status_ = absl::InvalidArgumentError(
        absl::StrCat(Field(number)->full_name(), " has ", size, " entries; the limit is ", max));
    return 0;
  }

  void CheckText(uint32_t number, const std::string& text) {
    if (text.size() <= limits_.max_text_bytes) return;
    *status_ =
        absl::InvalidArgumentError(absl::StrCat(Field(number)->full_name(), " has ", text.size(),
                                                " bytes; the limit is ", limits_.max_text_bytes));
  }

  template <typename M>
  void Read(const ProtoMessage& message, M& out) {
    MessageReader reader(message, limits_, owner_, status_);
    frame_fields::VisitFields(reader, out);
  }

  template <typename M>
  void Repeated(uint32_t number, size_t max, std::vector<M>& out) {
    const int size = Size(number, max);
    for (int i = 0; i < size && status_->ok(); ++i) {
      Read(reflection_.GetRepeatedMessage(message_, Field(number), i), out.emplace_back());
    }
  }

  const ProtoMessage& message_;
  const Reflection& reflection_;
  const FrameLimits& limits_;
  const std::shared_ptr<const void> owner_;
  absl::Status* const status_;
};

// The first unknown field from 16 up; 0: none.
uint32_t UnknownKind(const ProtoMessage& message) {
  const auto& unknown = message.GetReflection()->GetUnknownFields(message);
  for (int i = 0; i < unknown.field_count(); ++i) {
    if (unknown.field(i).number() >= 16) return static_cast<uint32_t>(unknown.field(i).number());
  }
  return 0;
}

// The number of the oneof's field that is set; 0: none.
uint32_t KnownKind(const ProtoMessage& message) {
  const auto* oneof = message.GetDescriptor()->FindOneofByName("kind");
  const FieldDescriptor* field = message.GetReflection()->GetOneofFieldDescriptor(message, oneof);
  return field == nullptr ? 0 : static_cast<uint32_t>(field->number());
}

// The message, owning a copy of its bytes.
template <typename Frame>
absl::StatusOr<std::shared_ptr<typename WireOf<Frame>::Message>> ParseMessage(
    const Payload& wire, const FrameLimits& limits) {
  std::string flat(wire.size(), '\0');
  wire.CopyTo(&flat[0]);
  const absl::Status status = ScanWire(flat, WireOf<Frame>::kFrame, ScanLimits<Frame>(limits));
  if (!status.ok()) return status;
  auto message = std::make_shared<typename WireOf<Frame>::Message>();
  if (!message->ParseFromString(flat)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "a frame of ", flat.size(), " bytes is no encoding of ", message->GetTypeName()));
  }
  return message;
}

// Reads `message`, which `owner` keeps alive.
template <typename Frame>
absl::Status ReadMessage(const typename WireOf<Frame>::Message& message,
                         const std::shared_ptr<const void>& owner, const FrameLimits& limits,
                         Frame* frame) {
  absl::Status status;
  MessageReader envelope(message, limits, owner, &status);
  frame_fields::VisitFields(envelope, *frame);
  if (const uint32_t unknown = UnknownKind(message)) {
    frame->kind = UnknownFrame{unknown};
  } else if (const uint32_t number = KnownKind(message)) {
    if (!frame_fields::EmplaceKind(number, frame)) frame->kind = UnknownFrame{number};
    frame_fields::VisitKind(
        *frame, [&envelope](uint32_t field, auto& kind) { envelope.Message(field, kind); });
  }
  frame_fields::Settle(frame);
  return status;
}

// `envelope` is what the message says beside its batch.
template <typename Frame>
absl::Status CheckBatch(const typename WireOf<Frame>::Message& message, const Frame& envelope) {
  const auto& frames = message.batch().frames();
  if (MeasureFrame(envelope).header != 0)
    return absl::InvalidArgumentError("a batch of frames with an envelope of its own");
  if (frames.empty()) return absl::InvalidArgumentError("a batch without frames");
  if (static_cast<size_t>(frames.size()) > kMaxBatchFrames) {
    return absl::InvalidArgumentError(
        absl::StrCat("a batch of ", frames.size(), " frames; the limit is ", kMaxBatchFrames));
  }
  for (const auto& frame : frames) {
    if (frame.has_batch()) return absl::InvalidArgumentError("a batch of frames within a batch");
  }
  return absl::OkStatus();
}

template <typename Frame>
absl::StatusOr<Frame> Parse(const Payload& wire, const FrameLimits& limits) {
  auto message = ParseMessage<Frame>(wire, limits);
  if (!message.ok()) return message.status();
  Frame frame;
  const absl::Status status = ReadMessage<Frame>(**message, *message, limits, &frame);
  if (!status.ok()) return status;
  return frame;
}

template <typename Frame>
absl::StatusOr<std::vector<Frame>> ParseAll(const Payload& wire, const FrameLimits& limits) {
  auto parsed = ParseMessage<Frame>(wire, limits);
  if (!parsed.ok()) return parsed.status();
  const auto& message = **parsed;
  std::vector<Frame> frames(1);
  absl::Status status = ReadMessage<Frame>(message, *parsed, limits, &frames[0]);
  if (status.ok() && message.has_batch() && UnknownKind(message) == 0) {
    status = CheckBatch(message, frames[0]);
    frames.clear();
    for (int i = 0; status.ok() && i < message.batch().frames_size(); ++i) {
      status =
          ReadMessage<Frame>(message.batch().frames(i), *parsed, limits, &frames.emplace_back());
    }
  }
  if (!status.ok()) return status;
  return frames;
}

}  // namespace

template <>
absl::StatusOr<ClientFrame> ParseFrame(const Payload& wire, const FrameLimits& limits) {
  return Parse<ClientFrame>(wire, limits);
}
template <>
absl::StatusOr<ServerFrame> ParseFrame(const Payload& wire, const FrameLimits& limits) {
  return Parse<ServerFrame>(wire, limits);
}
template <>
absl::StatusOr<std::vector<ClientFrame>> ParseFrames(const Payload& message,
                                                     const FrameLimits& limits) {
  return ParseAll<ClientFrame>(message, limits);
}
template <>
absl::StatusOr<std::vector<ServerFrame>> ParseFrames(const Payload& message,
                                                     const FrameLimits& limits) {
  return ParseAll<ServerFrame>(message, limits);
}

}  // namespace weir
