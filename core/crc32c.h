// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_CORE_CRC32C_H_
#define WEIR_CORE_CRC32C_H_

#include <cstddef>
#include <cstdint>

#include "absl/strings/string_view.h"

namespace weir {

// CRC-32C (Castagnoli; RFC 3720, B.4: "123456789" gives e3069283) of bytes that come in pieces:
// begin with 0, and hand each result to the next call. ISA-L does the work. Pure, thread-safe.
uint32_t ExtendCrc32c(uint32_t crc, const void* data, size_t size);

inline uint32_t Crc32c(absl::string_view bytes) {
  return ExtendCrc32c(0, bytes.data(), bytes.size());
}

}  // namespace weir

#endif  // WEIR_CORE_CRC32C_H_
