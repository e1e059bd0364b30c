// SPDX-License-Identifier: Apache-2.0
#include "net/frame_reader.h"

#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

#include "absl/base/casts.h"
#include "net/frame_fields.h"

namespace weir {
namespace {

using frame_fields::VisitFields;

// A position in the chunks of a payload. REQUIRES of Byte and the takers: that many bytes are left.
class ChunkCursor {
 public:
  explicit ChunkCursor(const Payload& wire) : chunk_(wire.chunks().begin()) {}

  size_t position() const { return position_; }

  uint8_t Byte() {
    const uint8_t byte = static_cast<uint8_t>(chunk_->data[offset_]);
    Advance(1);
    return byte;
  }

  void TakeText(size_t bytes, std::string* out) {
    out->clear();
    out->reserve(bytes);
    ForEachPart(bytes, [out](const Payload::Chunk&, const char* data, size_t size) {
      out->append(data, size);
    });
  }

  void TakePayload(size_t bytes, Payload* out) {
    *out = Payload();
    ForEachPart(bytes, [out](const Payload::Chunk& chunk, const char* data, size_t size) {
      out->Append(data, size, chunk.owner);
    });
  }

 private:
  using Iterator = absl::InlinedVector<Payload::Chunk, 2>::const_iterator;

  template <typename Use>
  void ForEachPart(size_t bytes, Use use) {
    while (bytes > 0) {
      const size_t size = std::min(bytes, chunk_->size - offset_);
      use(*chunk_, chunk_->data + offset_, size);
      Advance(size);
      bytes -= size;
    }
  }

  void Advance(size_t bytes) {
    position_ += bytes;
    offset_ += bytes;
    if (offset_ == chunk_->size) {
      ++chunk_;
      offset_ = 0;
    }
  }

  Iterator chunk_;     // beyond the last one when nothing is left
  size_t offset_ = 0;  // in *chunk_
  size_t position_ = 0;
};

// Holds the tag that comes next; each field takes it if it is its own, and a message is canonical
// when nothing is left over.
class CanonicalReader {
 public:
  CanonicalReader(const Payload& wire, const FrameLimits& limits)
      : cursor_(wire),
        limits_(limits),
        entries_left_(limits.max_tensors + limits.max_slices),
        limit_(wire.size()) {
    NextTag();
  }

  uint32_t next_number() const { return tag_ >> 3; }

  // One frame, up to the end of its message.
  template <typename Frame>
  bool ReadFrame(Frame& frame) {
    VisitFields(*this, frame);
    if (!at_end()) {
      if (!frame_fields::EmplaceKind(next_number(), &frame)) return false;
      frame_fields::VisitKind(frame,
                              [this](uint32_t number, auto& kind) { this->Message(number, kind); });
    }
    frame_fields::Settle(&frame);
    return ok_ && at_end();
  }

  // A batch, the one field of its message; its frames are the one field of it.
  template <typename Frame>
  bool ReadBatch(std::vector<Frame>& frames) {
    if (!Take(frame_fields::kBatchNumber<Frame>, kLength)) return false;
    const size_t end = Enter();
    NextTag();
    while (Take(/*number=*/1, kLength)) {
      if (frames.size() == kMaxBatchFrames) return false;
      const size_t outer = Enter();
      NextTag();
      if (!ReadFrame(frames.emplace_back())) return false;
      limit_ = outer;
      NextTag();
    }
    if (!at_end()) return false;
    limit_ = end;
    NextTag();
    return ok_ && at_end() && !frames.empty();
  }

  void U64(uint32_t number, uint64_t& out) {
    if (!Take(number, kVarint)) return;
    out = Varint();
    NextTag();
  }
  void U32(uint32_t number, uint32_t& out) {
    uint64_t value = out;
    U64(number, value);
    out = static_cast<uint32_t>(value);
  }
  void Int32Number(uint32_t number, uint32_t& out) { U32(number, out); }
  void Bool(uint32_t number, bool& out) {
    uint64_t value = out ? 1 : 0;
    U64(number, value);
    out = value != 0;
  }
  template <typename E>
  void Enum(uint32_t number, E& out) {
    uint64_t value = static_cast<uint64_t>(out);
    U64(number, value);
    // As an int32; what is no uint8_t becomes 255.
    out = static_cast<E>(std::min(static_cast<uint32_t>(value), uint32_t{255}));
  }
  void Double(uint32_t number, double& out) {
    if (!Take(number, kFixed64)) return;
    if (left() < 8) return Fail();
    uint64_t bits = 0;
    for (int i = 0; i < 8; ++i) bits |= uint64_t{cursor_.Byte()} << (8 * i);
    out = absl::bit_cast<double>(bits);
    NextTag();
  }
  void Bytes(uint32_t number, std::string& out) {
    if (!Take(number, kLength)) return;
    TakeText(out);
    NextTag();
  }
  void Text(uint32_t number, std::string& out) {
    if (!Take(number, kLength)) return;
    TakeText(out);
    RequireAscii(out);
    NextTag();
  }
  void Texts(uint32_t number, std::vector<std::string>& out) {
    while (Take(number, kLength)) {
      if (out.size() == limits_.max_tensors || entries_left_-- == 0) return Fail();
      TakeText(out.emplace_back());
      RequireAscii(out.back());
      NextTag();
    }
  }
  void U32s(uint32_t number, std::vector<uint32_t>& out) {
    Packed(number, limits_.max_tensors, out);
  }
  void I64s(uint32_t number, std::vector<int64_t>& out) { Packed(number, kMaxDimensions, out); }

  template <typename M>
  void Message(uint32_t number, M& message) {
    if (!Take(number, kLength)) return;
    const size_t outer = Enter();
    NextTag();
    VisitFields(*this, message);
    if (!at_end()) return Fail();
    limit_ = outer;
    NextTag();
  }
  void Messages(uint32_t number, std::vector<BindReplyFrame::Binding>& out) {
    Repeated(number, limits_.max_tensors, out);
  }
  void Messages(uint32_t number, std::vector<SliceSpec>& out) {
    Repeated(number, limits_.max_slices, out);
  }

  void Data(uint32_t number, Payload& out) {
    if (!Take(number, kLength)) return;
    const uint64_t bytes = Varint();
    if (bytes > left()) return Fail();
    cursor_.TakePayload(bytes, &out);
    NextTag();
  }

 private:
  static constexpr uint32_t kVarint = 0;
  static constexpr uint32_t kFixed64 = 1;
  static constexpr uint32_t kLength = 2;
  static constexpr uint32_t kEnd = 0;  // no field has the number 0

  bool at_end() const { return tag_ == kEnd; }
  size_t left() const { return limit_ - cursor_.position(); }

  // Nothing more is read after this.
  void Fail() {
    ok_ = false;
    tag_ = kEnd;
    limit_ = cursor_.position();
  }

  bool Take(uint32_t number, uint32_t wire_type) const { return tag_ == (number << 3 | wire_type); }

  uint64_t Varint() {
    uint64_t value = 0;
    for (int shift = 0; shift < 70; shift += 7) {
      if (left() == 0) break;
      const uint8_t byte = cursor_.Byte();
      if (shift == 63 && byte > 1) break;  // the generated parser drops these bits; let it
      value |= uint64_t{byte & 0x7fu} << shift;
      if (byte < 0x80) return value;
    }
    Fail();
    return 0;
  }

  // Tags of known fields have at most two bytes, in the shortest form.
  void NextTag() {
    tag_ = kEnd;
    if (!ok_ || left() == 0) return;
    const uint32_t low = cursor_.Byte();
    if (low < 0x80) {
      tag_ = low;
    } else {
      if (left() == 0) return Fail();
      const uint32_t high = cursor_.Byte();
      if (high >= 0x80 || high == 0) return Fail();
      tag_ = (low & 0x7f) | high << 7;
    }
    if (tag_ < 8) Fail();
  }

  // Reads a length and narrows the limit to it. Returns the limit before.
  size_t Enter() {
    const uint64_t bytes = Varint();
    if (bytes > left()) Fail();
    const size_t outer = limit_;
    if (ok_) limit_ = cursor_.position() + bytes;
    return outer;
  }

  void TakeText(std::string& out) {
    const uint64_t bytes = Varint();
    if (bytes > left() || bytes > limits_.max_text_bytes) return Fail();
    cursor_.TakeText(bytes, &out);
  }

  // Other text is legal only as UTF-8, which the generated parser checks.
  void RequireAscii(const std::string& text) {
    const auto is_ascii = [](char c) { return static_cast<uint8_t>(c) < 0x80; };
    if (!std::all_of(text.begin(), text.end(), is_ascii)) Fail();
  }

  template <typename Integer>
  void Packed(uint32_t number, size_t max, std::vector<Integer>& out) {
    if (!Take(number, kLength)) return;
    const size_t outer = Enter();
    while (ok_ && left() > 0) {
      if (out.size() == max) return Fail();
      out.push_back(static_cast<Integer>(Varint()));
    }
    if (!ok_) return;
    limit_ = outer;
    NextTag();
  }

  template <typename M>
  void Repeated(uint32_t number, size_t max, std::vector<M>& out) {
    while (Take(number, kLength)) {
      if (out.size() == max || entries_left_-- == 0) return Fail();
      Message(number, out.emplace_back());
    }
  }

  ChunkCursor cursor_;
  const FrameLimits& limits_;
  size_t
      entries_left_;  // of repeated fields, in the whole message: a batch has no more than a frame
  size_t limit_;      // where the message being read ends
  uint32_t tag_ = kEnd;
  bool ok_ = true;
};

template <typename Frame>
bool ReadOne(const Payload& wire, const FrameLimits& limits, Frame* frame) {
  CanonicalReader reader(wire, limits);
  return reader.ReadFrame(*frame);
}

template <typename Frame>
bool ReadAll(const Payload& message, const FrameLimits& limits, std::vector<Frame>* frames) {
  CanonicalReader reader(message, limits);
  if (reader.next_number() != frame_fields::kBatchNumber<Frame>)
    return reader.ReadFrame(frames->emplace_back());
  return reader.ReadBatch(*frames);
}

}  // namespace

bool ReadCanonicalFrame(const Payload& wire, const FrameLimits& limits, ClientFrame* frame) {
  return ReadOne(wire, limits, frame);
}
bool ReadCanonicalFrame(const Payload& wire, const FrameLimits& limits, ServerFrame* frame) {
  return ReadOne(wire, limits, frame);
}
bool ReadCanonicalFrames(const Payload& message, const FrameLimits& limits,
                         std::vector<ClientFrame>* frames) {
  return ReadAll(message, limits, frames);
}
bool ReadCanonicalFrames(const Payload& message, const FrameLimits& limits,
                         std::vector<ServerFrame>* frames) {
  return ReadAll(message, limits, frames);
}

}  // namespace weir
