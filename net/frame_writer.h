// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_NET_FRAME_WRITER_H_
#define WEIR_NET_FRAME_WRITER_H_

#include <cstddef>

#include "net/frame.h"

namespace weir {

// The writing half of net/frame_codec.h: the canonical encoding, payload apart. The payload is the
// last field of its message and its message the last of the frame, so everything before it is one
// header.

struct FrameSize {
  size_t header = 0;   // bytes before the payload, its tag and length included
  size_t payload = 0;  // bytes
};

FrameSize MeasureFrame(const ClientFrame& frame);
FrameSize MeasureFrame(const ServerFrame& frame);

// Writes the header, MeasureFrame(frame).header bytes, to `out`. Returns the payload that follows;
// null when there is none.
const Payload* WriteFrame(const ClientFrame& frame, char* out);
const Payload* WriteFrame(const ServerFrame& frame, char* out);

}  // namespace weir

#endif  // WEIR_NET_FRAME_WRITER_H_
