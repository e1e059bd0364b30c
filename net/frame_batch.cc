// SPDX-License-Identifier: Apache-2.0
#include "net/frame_batch.h"

#include <cstdint>
#include <cstring>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "net/frame_fields.h"
#include "net/frame_parser.h"
#include "net/frame_reader.h"
#include "net/varint.h"

namespace weir {
namespace {

constexpr uint32_t kLength = 2;  // the wire type
constexpr uint32_t kFrames = 1;  // of ClientBatch and ServerBatch
constexpr size_t kFramesTagSize = 1;

// Writes the headers of a batch one behind the other into one block, and lets the payloads lie.
// What stands together in the block becomes one chunk.
class BatchWriter {
 public:
  explicit BatchWriter(size_t header_bytes)
      : block_(new char[header_bytes]), begin_(block_.get()), out_(begin_) {}

  void Tag(uint32_t number) { Varint(number << 3 | kLength); }
  void Varint(uint64_t value) { out_ = PutVarint(value, out_); }
  void Copy(const Payload::Chunk& chunk) {
    std::memcpy(out_, chunk.data, chunk.size);
    out_ += chunk.size;
  }
  void Borrow(const Payload::Chunk& chunk) {
    Flush();
    wire_.Append(chunk.data, chunk.size, chunk.owner);
  }
  Payload Take() {
    Flush();
    return std::move(wire_);
  }

 private:
  void Flush() {
    wire_.Append(begin_, static_cast<size_t>(out_ - begin_), block_);
    begin_ = out_;
  }

  const std::shared_ptr<char[]> block_;
  char* begin_;  // of what no chunk holds yet
  char* out_;
  Payload wire_;
};

template <typename Frame>
Payload BatchEncoded(absl::Span<const Payload> frames) {
  size_t bytes = 0;
  size_t headers = kBatchEnvelopeBytes;
  for (const Payload& frame : frames) {
    const size_t batched = BatchedFrameSize(frame.size());
    bytes += batched;
    headers += batched - frame.size() + (frame.empty() ? 0 : frame.chunks()[0].size);
  }
  BatchWriter writer(headers);
  writer.Tag(frame_fields::kBatchNumber<Frame>);
  writer.Varint(bytes);
  for (const Payload& frame : frames) {
    writer.Tag(kFrames);
    writer.Varint(frame.size());
    const auto& chunks = frame.chunks();
    for (size_t i = 0; i < chunks.size(); ++i) {
      if (i == 0)
        writer.Copy(chunks[i]);
      else
        writer.Borrow(chunks[i]);
    }
  }
  return writer.Take();
}

template <typename Frame>
Payload Encode(absl::Span<const Frame> frames) {
  std::vector<Payload> encoded;
  encoded.reserve(frames.size());
  for (const Frame& frame : frames) encoded.push_back(EncodeFrame(frame));
  return BatchEncoded<Frame>(encoded);
}

template <typename Frame>
absl::StatusOr<std::vector<Frame>> Decode(const Payload& message, const FrameLimits& limits) {
  if (message.size() > limits.max_frame_bytes) {
    return absl::ResourceExhaustedError(absl::StrCat("a message of ", message.size(),
                                                     " bytes; the limit is ",
                                                     limits.max_frame_bytes, " bytes"));
  }
  std::vector<Frame> frames;
  if (ReadCanonicalFrames(message, limits, &frames)) return frames;
  return ParseFrames<Frame>(message, limits);
}

}  // namespace

size_t BatchedFrameSize(size_t encoded_bytes) {
  return kFramesTagSize + VarintSize(encoded_bytes) + encoded_bytes;
}

Payload EncodeBatch(absl::Span<const ClientFrame> frames) { return Encode(frames); }
Payload EncodeBatch(absl::Span<const ServerFrame> frames) { return Encode(frames); }

Payload BatchEncodedClientFrames(absl::Span<const Payload> frames) {
  return BatchEncoded<ClientFrame>(frames);
}
Payload BatchEncodedServerFrames(absl::Span<const Payload> frames) {
  return BatchEncoded<ServerFrame>(frames);
}

absl::StatusOr<std::vector<ClientFrame>> DecodeClientFrames(const Payload& message,
                                                            const FrameLimits& limits) {
  return Decode<ClientFrame>(message, limits);
}
absl::StatusOr<std::vector<ServerFrame>> DecodeServerFrames(const Payload& message,
                                                            const FrameLimits& limits) {
  return Decode<ServerFrame>(message, limits);
}

}  // namespace weir
