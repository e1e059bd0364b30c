// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_NET_FRAME_PARSER_H_
#define WEIR_NET_FRAME_PARSER_H_

#include <vector>

#include "absl/status/statusor.h"
#include "net/frame.h"
#include "net/frame_codec.h"

namespace weir {

// The general half of reading, for every encoding that net/frame_reader.h leaves: by the generated
// parser, after a look at how many fields there are, so that a few bytes cannot ask for much
// memory. Copies the frame. It alone knows why a frame is refused; see the decoders of
// net/frame_codec.h. REQUIRES: wire.size() <= limits.max_frame_bytes.
template <typename Frame>  // ClientFrame, ServerFrame
absl::StatusOr<Frame> ParseFrame(const Payload& wire, const FrameLimits& limits);

// The same of a message that is a frame or a batch of frames; see net/frame_batch.h.
template <typename Frame>
absl::StatusOr<std::vector<Frame>> ParseFrames(const Payload& message, const FrameLimits& limits);

}  // namespace weir

#endif  // WEIR_NET_FRAME_PARSER_H_
