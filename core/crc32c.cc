// SPDX-License-Identifier: Apache-2.0
#include "core/crc32c.h"

#include <isa-l/crc.h>

#include <algorithm>

namespace weir {

uint32_t ExtendCrc32c(uint32_t crc, const void* data, size_t size) {
  constexpr size_t kMost = size_t{1} << 30;  // ISA-L takes an int
  // ISA-L only reads, and leaves the inversion at both ends to its caller.
  unsigned char* next = static_cast<unsigned char*>(const_cast<void*>(data));
  while (size > 0) {
    const size_t piece = std::min(size, kMost);
    crc = ~crc32_iscsi(next, static_cast<int>(piece), ~crc);
    next += piece;
    size -= piece;
  }
  return crc;
}

}  // namespace weir
