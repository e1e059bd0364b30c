// SPDX-License-Identifier: Apache-2.0
#include "core/payload.h"

#include <cstring>

namespace weir {

void Payload::CopyTo(char* out) const {
  for (const Chunk& chunk : chunks_) {
    std::memcpy(out, chunk.data, chunk.size);
    out += chunk.size;
  }
}

}  // namespace weir
