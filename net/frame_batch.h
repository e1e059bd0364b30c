// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_NET_FRAME_BATCH_H_
#define WEIR_NET_FRAME_BATCH_H_

#include <cstddef>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "core/payload.h"
#include "net/frame.h"
#include "net/frame_codec.h"

namespace weir {

// Batches: several frames in one message of the stream, for both ends that have said
// kFeatureBatches. Many small frames then cost the transport one message. Pure functions; any
// thread.

// The bytes that a frame of `encoded_bytes` takes up in a batch, and the most that a batch has
// beside its frames: what a sender adds up to stay within the peer's max_frame_bytes.
size_t BatchedFrameSize(size_t encoded_bytes);
constexpr size_t kBatchEnvelopeBytes = 12;

// One message of the frames in their order, exactly as the generated classes would serialize it.
// The headers of all of them lie in one block; the chunks of their payloads are borrowed, not
// copied. REQUIRES: 1 to kMaxBatchFrames frames.
Payload EncodeBatch(absl::Span<const ClientFrame> frames);
Payload EncodeBatch(absl::Span<const ServerFrame> frames);

// The same of frames that EncodeFrame has made. The first chunk of each is taken for its header and
// copied.
Payload BatchEncodedClientFrames(absl::Span<const Payload> frames);
Payload BatchEncodedServerFrames(absl::Span<const Payload> frames);

// Decodes one message of the stream: the frames of a batch in their order, at least one, or the one
// frame that is no batch. Their payloads borrow from the message: one that is held keeps the whole
// message.
//
// Each frame is decoded as by DecodeClientFrame or DecodeServerFrame. Beyond those,
// INVALID_ARGUMENT is a batch within a batch, one without frames or of more than kMaxBatchFrames,
// one whose own envelope says anything. RESOURCE_EXHAUSTED: the message is larger than
// max_frame_bytes. The caller closes the session in either case.
absl::StatusOr<std::vector<ClientFrame>> DecodeClientFrames(const Payload& message,
                                                            const FrameLimits& limits = {});
absl::StatusOr<std::vector<ServerFrame>> DecodeServerFrames(const Payload& message,
                                                            const FrameLimits& limits = {});

}  // namespace weir

#endif  // WEIR_NET_FRAME_BATCH_H_
