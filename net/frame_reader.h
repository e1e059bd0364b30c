// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_NET_FRAME_READER_H_
#define WEIR_NET_FRAME_READER_H_

#include <vector>

#include "net/frame.h"
#include "net/frame_codec.h"

namespace weir {

// The fast half of reading: takes a frame whose fields come in order, each once, straight from the
// chunks, its payload borrowed.
//
// Returns false for whatever is not such an encoding of a known kind within its limits: unusual,
// wrong or too much is for net/frame_parser.h to tell. `*frame` is then unspecified. What it
// accepts, it reads as the generated parser would.
bool ReadCanonicalFrame(const Payload& wire, const FrameLimits& limits, ClientFrame* frame);
bool ReadCanonicalFrame(const Payload& wire, const FrameLimits& limits, ServerFrame* frame);

// The same of a message that is a frame or a batch of frames.
bool ReadCanonicalFrames(const Payload& message, const FrameLimits& limits,
                         std::vector<ClientFrame>* frames);
bool ReadCanonicalFrames(const Payload& message, const FrameLimits& limits,
                         std::vector<ServerFrame>* frames);

}  // namespace weir

#endif  // WEIR_NET_FRAME_READER_H_
