// SPDX-License-Identifier: Apache-2.0
#include "net/wire_scan.h"

#include <cstdint>

#include "absl/strings/str_cat.h"

namespace weir {
namespace {

constexpr int kMaxGroupDepth = 64;

// What the content of a length-delimited field is to the parser, as far as it counts here.
enum class Shape {
  kBytes,    // nothing that holds fields
  kMessage,  // fields, none of which holds fields
  kClientFrame,
  kServerFrame,
  kPushPull,
  kBindReply,
  kClientBatch,
  kServerBatch,
};

// The shape of field `number` of a message of shape `shape`.
Shape ShapeOf(Shape shape, uint32_t number) {
  switch (shape) {
    case Shape::kClientFrame:
      return number == 20 ? Shape::kPushPull : number == 25 ? Shape::kClientBatch : Shape::kMessage;
    case Shape::kServerFrame:
      return number == 17   ? Shape::kBindReply
             : number == 24 ? Shape::kServerBatch
                            : Shape::kMessage;
    case Shape::kPushPull:
      return number == 1 ? Shape::kMessage : Shape::kBytes;
    case Shape::kBindReply:
      return number <= 2 ? Shape::kMessage : Shape::kBytes;
    case Shape::kClientBatch:
      return number == 1 ? Shape::kClientFrame : Shape::kBytes;
    case Shape::kServerBatch:
      return number == 1 ? Shape::kServerFrame : Shape::kBytes;
    case Shape::kMessage:
    case Shape::kBytes:
      break;
  }
  return Shape::kBytes;
}

bool IsBatch(Shape shape) { return shape == Shape::kClientBatch || shape == Shape::kServerBatch; }

absl::Status Wrong(absl::string_view what, size_t position) {
  return absl::InvalidArgumentError(
      absl::StrCat("the frame is damaged: ", what, " at byte ", position));
}

class Scanner {
 public:
  explicit Scanner(absl::string_view bytes) : bytes_(bytes) {}

  bool at_end() const { return position_ == bytes_.size(); }
  // Fields met so far, those within groups and a damaged one included.
  size_t fields() const { return fields_; }
  // The number of the field that Field moved over last.
  uint32_t number() const { return number_; }

  // Moves over one field. A length-delimited one leaves its content in `*content`.
  absl::Status Field(absl::string_view* content) {
    *content = {};
    uint32_t number = 0;
    const absl::Status status = SkipField(0, content, &number);
    number_ = number;
    return status;
  }

 private:
  absl::Status Varint(uint64_t* value, int max_bytes = 10) {
    const size_t start = position_;
    *value = 0;
    for (int shift = 0; shift < 7 * max_bytes; shift += 7) {
      if (at_end()) return Wrong("a number is cut short", start);
      const uint8_t byte = static_cast<uint8_t>(bytes_[position_++]);
      *value |= uint64_t{byte & 0x7fu} << shift;
      if (byte < 0x80) return absl::OkStatus();
    }
    return Wrong(absl::StrCat("a number of more than ", max_bytes, " bytes"), start);
  }

  // As the parser does: at most five bytes, of which 32 bits count.
  absl::Status Tag(uint32_t* tag) {
    const size_t start = position_;
    uint64_t value = 0;
    const absl::Status status = Varint(&value, 5);
    *tag = static_cast<uint32_t>(value);
    if (status.ok() && *tag >> 3 == 0) return Wrong("a field of number 0", start);
    return status;
  }

  absl::Status Skip(uint64_t count, absl::string_view* content) {
    const size_t left = bytes_.size() - position_;
    if (count > left) {
      return Wrong(absl::StrCat("a field of ", count, " bytes where ", left, " are left"),
                   position_);
    }
    *content = bytes_.substr(position_, count);
    position_ += count;
    return absl::OkStatus();
  }

  absl::Status SkipField(int depth, absl::string_view* content, uint32_t* number) {
    const size_t start = position_;
    ++fields_;
    uint32_t tag = 0;
    absl::Status status = Tag(&tag);
    if (!status.ok()) return status;
    *number = tag >> 3;
    uint64_t value = 0;
    absl::string_view unused;
    switch (tag & 7) {
      case 0:
        return Varint(&value);
      case 1:
        return Skip(8, &unused);
      case 2:
        status = Varint(&value);
        return status.ok() ? Skip(value, content) : status;
      case 3:
        return SkipGroup(depth, tag >> 3);
      case 5:
        return Skip(4, &unused);
      default:
        return Wrong(absl::StrCat("wire type ", tag & 7), start);
    }
  }

  // Groups are of an old protobuf; the parser skips them as unknown.
  absl::Status SkipGroup(int depth, uint32_t number) {
    if (depth == kMaxGroupDepth) return Wrong("groups nested too deep", position_);
    while (true) {
      const size_t start = position_;
      uint32_t tag = 0;
      const absl::Status status = Tag(&tag);
      if (!status.ok()) return status;
      if (tag == (number << 3 | 4)) return absl::OkStatus();
      position_ = start;
      absl::string_view unused;
      uint32_t unused_number = 0;
      const absl::Status inner = SkipField(depth + 1, &unused, &unused_number);
      if (!inner.ok()) return inner;
    }
  }

  const absl::string_view bytes_;
  size_t position_ = 0;
  size_t fields_ = 0;
  uint32_t number_ = 0;
};

// Counts the fields of a submessage and of those below, up to the first that is damaged: whether it
// is well formed is for the parser to say. Stops soon after `max_fields`. False: a batch lies in
// it.
bool CountFields(absl::string_view message, Shape shape, size_t max_fields, size_t* fields) {
  if (shape == Shape::kBytes) return true;
  Scanner scanner(message);
  absl::string_view content;
  while (*fields <= max_fields && !scanner.at_end()) {
    ++*fields;
    const size_t before = scanner.fields();
    const bool sound = scanner.Field(&content).ok();
    *fields += scanner.fields() - before - 1;  // those of a group
    if (!sound) break;
    const Shape below = ShapeOf(shape, scanner.number());
    if (content.empty()) continue;
    if (IsBatch(below) || !CountFields(content, below, max_fields, fields)) return false;
  }
  return true;
}

absl::Status TooMany(const char* what, size_t max_fields) {
  return absl::InvalidArgumentError(absl::StrCat(what, " of more than ", max_fields, " fields"));
}

}  // namespace

absl::Status ScanWire(absl::string_view message, WireFrame frame, const WireScanLimits& limits) {
  const Shape shape = frame == WireFrame::kClient ? Shape::kClientFrame : Shape::kServerFrame;
  size_t below = 0;
  size_t batched = 0;
  Scanner outer(message);
  absl::string_view content;
  while (!outer.at_end()) {
    const absl::Status status = outer.Field(&content);
    if (!status.ok()) return status;
    const Shape inner = ShapeOf(shape, outer.number());
    if (!CountFields(content, inner, IsBatch(inner) ? limits.max_batch_fields : limits.max_fields,
                     IsBatch(inner) ? &batched : &below)) {
      return absl::InvalidArgumentError("a batch of frames within a batch");
    }
    if (outer.fields() + below > limits.max_fields) return TooMany("a frame", limits.max_fields);
    if (batched > limits.max_batch_fields) return TooMany("a batch", limits.max_batch_fields);
  }
  return absl::OkStatus();
}

}  // namespace weir
