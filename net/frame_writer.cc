// SPDX-License-Identifier: Apache-2.0
#include "net/frame_writer.h"

#include <cstring>
#include <string>
#include <vector>

#include "absl/base/casts.h"
#include "net/frame_fields.h"
#include "net/varint.h"

namespace weir {
namespace {

using frame_fields::VisitFields;
using frame_fields::VisitKind;

constexpr uint32_t kVarint = 0;
constexpr uint32_t kFixed64 = 1;
constexpr uint32_t kLength = 2;

size_t TagSize(uint32_t number) { return VarintSize(uint64_t{number} << 3); }

// Proto enums are int32: a negative one takes ten bytes.
uint64_t SignExtended(uint32_t number) {
  return static_cast<uint64_t>(int64_t{static_cast<int32_t>(number)});
}

template <typename Integer>
size_t PackedSize(const std::vector<Integer>& values) {
  size_t size = 0;
  for (const Integer value : values) size += VarintSize(static_cast<uint64_t>(value));
  return size;
}

// Adds up what Writer will write. Fields at their default are left out, as proto3 does.
class Sizer {
 public:
  void U64(uint32_t number, uint64_t value) {
    if (value != 0) size_.header += TagSize(number) + VarintSize(value);
  }
  void U32(uint32_t number, uint32_t value) { U64(number, value); }
  void Int32Number(uint32_t number, uint32_t value) { U64(number, SignExtended(value)); }
  void Bool(uint32_t number, bool value) { U64(number, value ? 1 : 0); }
  template <typename E>
  void Enum(uint32_t number, E value) {
    U64(number, static_cast<uint64_t>(value));
  }
  void Double(uint32_t number, double value) {
    if (absl::bit_cast<uint64_t>(value) != 0) size_.header += TagSize(number) + 8;
  }
  void Bytes(uint32_t number, const std::string& value) {
    if (!value.empty()) Delimited(number, value.size());
  }
  void Text(uint32_t number, const std::string& value) { Bytes(number, value); }
  void Texts(uint32_t number, const std::vector<std::string>& values) {
    for (const std::string& value : values) Delimited(number, value.size());
  }
  void U32s(uint32_t number, const std::vector<uint32_t>& values) {
    if (!values.empty()) Delimited(number, PackedSize(values));
  }
  void I64s(uint32_t number, const std::vector<int64_t>& values) {
    if (!values.empty()) Delimited(number, PackedSize(values));
  }
  template <typename M>
  void Message(uint32_t number, const M& message) {
    Sizer inner;
    VisitFields(inner, message);
    size_.header += TagSize(number) + VarintSize(inner.total()) + inner.size_.header;
    size_.payload += inner.size_.payload;
  }
  template <typename M>
  void Messages(uint32_t number, const std::vector<M>& messages) {
    for (const M& message : messages) Message(number, message);
  }
  void Data(uint32_t number, const Payload& payload) {
    if (payload.empty()) return;
    size_.header += TagSize(number) + VarintSize(payload.size());
    size_.payload += payload.size();
  }

  const FrameSize& size() const { return size_; }
  size_t total() const { return size_.header + size_.payload; }

 private:
  void Delimited(uint32_t number, size_t bytes) {
    size_.header += TagSize(number) + VarintSize(bytes) + bytes;
  }

  FrameSize size_;
};

class Writer {
 public:
  explicit Writer(char* out) : out_(out) {}

  void U64(uint32_t number, uint64_t value) {
    if (value == 0) return;
    Tag(number, kVarint);
    Varint(value);
  }
  void U32(uint32_t number, uint32_t value) { U64(number, value); }
  void Int32Number(uint32_t number, uint32_t value) { U64(number, SignExtended(value)); }
  void Bool(uint32_t number, bool value) { U64(number, value ? 1 : 0); }
  template <typename E>
  void Enum(uint32_t number, E value) {
    U64(number, static_cast<uint64_t>(value));
  }
  void Double(uint32_t number, double value) {
    const uint64_t bits = absl::bit_cast<uint64_t>(value);
    if (bits == 0) return;
    Tag(number, kFixed64);
    for (int i = 0; i < 8; ++i) *out_++ = static_cast<char>(bits >> (8 * i));
  }
  void Bytes(uint32_t number, const std::string& value) {
    if (!value.empty()) Delimited(number, value);
  }
  void Text(uint32_t number, const std::string& value) { Bytes(number, value); }
  void Texts(uint32_t number, const std::vector<std::string>& values) {
    for (const std::string& value : values) Delimited(number, value);
  }
  void U32s(uint32_t number, const std::vector<uint32_t>& values) { Packed(number, values); }
  void I64s(uint32_t number, const std::vector<int64_t>& values) { Packed(number, values); }
  template <typename M>
  void Message(uint32_t number, const M& message) {
    Sizer inner;
    VisitFields(inner, message);
    Tag(number, kLength);
    Varint(inner.total());
    VisitFields(*this, message);
  }
  template <typename M>
  void Messages(uint32_t number, const std::vector<M>& messages) {
    for (const M& message : messages) Message(number, message);
  }
  void Data(uint32_t number, const Payload& payload) {
    if (payload.empty()) return;
    Tag(number, kLength);
    Varint(payload.size());
    payload_ = &payload;
  }

  const Payload* payload() const { return payload_; }

 private:
  void Varint(uint64_t value) { out_ = PutVarint(value, out_); }
  void Tag(uint32_t number, uint32_t wire_type) { Varint(number << 3 | wire_type); }
  void Delimited(uint32_t number, const std::string& value) {
    Tag(number, kLength);
    Varint(value.size());
    std::memcpy(out_, value.data(), value.size());
    out_ += value.size();
  }
  template <typename Integer>
  void Packed(uint32_t number, const std::vector<Integer>& values) {
    if (values.empty()) return;
    Tag(number, kLength);
    Varint(PackedSize(values));
    for (const Integer value : values) Varint(static_cast<uint64_t>(value));
  }

  char* out_;
  const Payload* payload_ = nullptr;
};

template <typename Visitor, typename Frame>
void VisitFrame(Visitor& visitor, const Frame& frame) {
  VisitFields(visitor, frame);
  VisitKind(frame,
            [&visitor](uint32_t number, const auto& kind) { visitor.Message(number, kind); });
}

template <typename Frame>
FrameSize Measure(const Frame& frame) {
  Sizer sizer;
  VisitFrame(sizer, frame);
  return sizer.size();
}

template <typename Frame>
const Payload* Write(const Frame& frame, char* out) {
  Writer writer(out);
  VisitFrame(writer, frame);
  return writer.payload();
}

}  // namespace

FrameSize MeasureFrame(const ClientFrame& frame) { return Measure(frame); }
FrameSize MeasureFrame(const ServerFrame& frame) { return Measure(frame); }
const Payload* WriteFrame(const ClientFrame& frame, char* out) { return Write(frame, out); }
const Payload* WriteFrame(const ServerFrame& frame, char* out) { return Write(frame, out); }

}  // namespace weir
