// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_CORE_PAYLOAD_CURSOR_H_
#define WEIR_CORE_PAYLOAD_CURSOR_H_

#include <algorithm>
#include <cstddef>
#include <cstring>

#include "core/payload.h"

namespace weir {

// A place in a payload, which moves from its start to its end. The payload outlives it. Not
// thread-safe.
class PayloadCursor {
 public:
  explicit PayloadCursor(const Payload& payload) : payload_(payload) {}

  // The bytes from here to the end of the chunk that holds the next one, at least 1.
  // REQUIRES: not at the end.
  size_t left_in_chunk() {
    while (at_ == chunk().size) {
      ++chunk_;
      at_ = 0;
    }
    return chunk().size - at_;
  }

  // The next `bytes` bytes, where they lie. REQUIRES: bytes <= left_in_chunk(), which was asked.
  const char* Take(size_t bytes) {
    const char* const here = chunk().data + at_;
    at_ += bytes;
    return here;
  }

  // Copies the next `bytes` bytes, from as many chunks as that takes.
  void Gather(size_t bytes, char* out) {
    while (bytes > 0) {
      const size_t now = std::min(bytes, left_in_chunk());
      std::memcpy(out, Take(now), now);
      out += now;
      bytes -= now;
    }
  }

 private:
  const Payload::Chunk& chunk() const { return payload_.chunks()[chunk_]; }

  const Payload& payload_;
  size_t chunk_ = 0;
  size_t at_ = 0;  // in the chunk
};

}  // namespace weir

#endif  // WEIR_CORE_PAYLOAD_CURSOR_H_
