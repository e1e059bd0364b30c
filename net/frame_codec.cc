// SPDX-License-Identifier: Apache-2.0
#include "net/frame_codec.h"

#include <memory>
#include <utility>
#include <variant>

#include "absl/strings/str_cat.h"
#include "net/frame_fields.h"
#include "net/frame_parser.h"
#include "net/frame_reader.h"
#include "net/frame_writer.h"

namespace weir {
namespace {

template <typename Frame>
Payload Encode(const Frame& frame) {
  const FrameSize size = MeasureFrame(frame);
  auto header = std::shared_ptr<char[]>(new char[size.header]);
  Payload wire;
  wire.Append(header.get(), size.header, header);
  if (const Payload* payload = WriteFrame(frame, header.get())) {
    for (const Payload::Chunk& chunk : payload->chunks())
      wire.Append(chunk.data, chunk.size, chunk.owner);
  }
  return wire;
}

template <typename Frame>
absl::StatusOr<Frame> Decode(const Payload& wire, const FrameLimits& limits) {
  if (wire.size() > limits.max_frame_bytes) {
    return absl::ResourceExhaustedError(absl::StrCat(
        "a frame of ", wire.size(), " bytes; the limit is ", limits.max_frame_bytes, " bytes"));
  }
  Frame frame;
  if (ReadCanonicalFrame(wire, limits, &frame)) return frame;
  return ParseFrame<Frame>(wire, limits);
}

}  // namespace

Payload EncodeFrame(const ClientFrame& frame) { return Encode(frame); }
Payload EncodeFrame(const ServerFrame& frame) { return Encode(frame); }

size_t EncodedFrameSize(const ClientFrame& frame) {
  const FrameSize size = MeasureFrame(frame);
  return size.header + size.payload;
}
size_t EncodedFrameSize(const ServerFrame& frame) {
  const FrameSize size = MeasureFrame(frame);
  return size.header + size.payload;
}

absl::StatusOr<ClientFrame> DecodeClientFrame(const Payload& wire, const FrameLimits& limits) {
  return Decode<ClientFrame>(wire, limits);
}
absl::StatusOr<ServerFrame> DecodeServerFrame(const Payload& wire, const FrameLimits& limits) {
  return Decode<ServerFrame>(wire, limits);
}

size_t PayloadBytes(const ClientFrame& frame) { return MeasureFrame(frame).payload; }
size_t PayloadBytes(const ServerFrame& frame) { return MeasureFrame(frame).payload; }

}  // namespace weir
