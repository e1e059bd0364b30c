// SPDX-License-Identifier: Apache-2.0
#include "net/wire_scan.h"

#include <cstdint>

#include "absl/strings/str_cat.h"

namespace weir {
namespace {

constexpr int kMaxGroupDepth = 64;

// The one message of a client's frame that lies two levels down, where other payloads are bytes.
constexpr uint32_t kPushPull = 20;
constexpr uint32_t kPushOfPushPull = 1;

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

// The fields of a submessage, up to the first that is damaged: whether it is well formed is for the
// parser to say. Stops soon after `max_fields`.
size_t CountFields(absl::string_view message, bool is_push_pull, size_t max_fields) {
  size_t below = 0;
  Scanner scanner(message);
  absl::string_view content;
  while (scanner.fields() + below <= max_fields && !scanner.at_end()) {
    if (!scanner.Field(&content).ok()) break;
    if (is_push_pull && scanner.number() == kPushOfPushPull)
      below += CountFields(content, /*is_push_pull=*/false, max_fields);
  }
  return scanner.fields() + below;
}

}  // namespace

absl::Status ScanWire(absl::string_view message, size_t max_fields) {
  size_t below = 0;
  Scanner outer(message);
  absl::string_view content;
  while (!outer.at_end()) {
    const absl::Status status = outer.Field(&content);
    if (!status.ok()) return status;
    below += CountFields(content, outer.number() == kPushPull, max_fields);
    if (outer.fields() + below > max_fields) {
      return absl::InvalidArgumentError(
          absl::StrCat("a frame of more than ", max_fields, " fields"));
    }
  }
  return absl::OkStatus();
}

}  // namespace weir
