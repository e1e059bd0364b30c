// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_NET_FRAME_CODEC_H_
#define WEIR_NET_FRAME_CODEC_H_

#include <cstddef>

#include "absl/status/statusor.h"
#include "core/payload.h"
#include "net/frame.h"

namespace weir {

// Frames to and from the wire of proto/weir/v1/parameter_service.proto. Pure functions; any thread.
//
// The wire of a frame is a Payload: on the way out one small header chunk, followed by the chunks
// of the frame's own payload as they are, not copied; on the way in whatever chunks arrived, cut
// anywhere. A decoded frame's payload borrows from the arriving chunks and shares their owners.

// What a decoder accepts. Decoding allocates a small multiple of the bytes that arrived, whatever
// these claim.
struct FrameLimits {
  size_t max_frame_bytes = size_t{4} << 20;  // of the whole frame, the law of frames
  size_t max_text_bytes = 4096;              // of each string and of job_id
  size_t max_tensors = kMaxTensors;          // names, ids or bindings in one frame
  size_t max_slices = kMaxSlices;            // of one bind_reply
};                                           // and kMaxDimensions of one shape

// Exactly the bytes that the generated classes would serialize. An UnknownFrame is an envelope
// without a kind.
Payload EncodeFrame(const ClientFrame& frame);
Payload EncodeFrame(const ServerFrame& frame);

// The bytes EncodeFrame would make, payload included.
size_t EncodedFrameSize(const ClientFrame& frame);
size_t EncodedFrameSize(const ServerFrame& frame);

// Accepts every legal encoding of the messages, with the result of the generated parser; canonical
// ones (fields in order, as the generated classes and EncodeFrame write them) without a copy of the
// payload. A field from 16 up of the frame that this build does not know makes it an UnknownFrame,
// whatever else it holds; a batch, which net/frame_batch.h reads, is one of its number.
// `want_values` of a push-pull is true. Enumerators beyond 255 become 255, which none of them is.
//
// INVALID_ARGUMENT, a sentence: not an encoding of the message (truncated, a bad varint, an
// impossible wire type, a length beyond the end, text that is not UTF-8), or text or a repeated
// field over its limit. RESOURCE_EXHAUSTED: larger than max_frame_bytes. The caller closes the
// session in either case.
absl::StatusOr<ClientFrame> DecodeClientFrame(const Payload& wire, const FrameLimits& limits = {});
absl::StatusOr<ServerFrame> DecodeServerFrame(const Payload& wire, const FrameLimits& limits = {});

// The bytes of the tensor or state that the frame carries.
size_t PayloadBytes(const ClientFrame& frame);
size_t PayloadBytes(const ServerFrame& frame);

}  // namespace weir

#endif  // WEIR_NET_FRAME_CODEC_H_
