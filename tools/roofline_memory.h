// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_TOOLS_ROOFLINE_MEMORY_H_
#define WEIR_TOOLS_ROOFLINE_MEMORY_H_

#include <cstddef>
#include <cstdint>

#include "absl/status/statusor.h"

namespace weir {

// One thread's rates over memory, in MB (10^6 bytes) a second. The triads move the bytes of an
// optimizer's update in place, with as little arithmetic as that takes.
struct MemorySpeed {
  double memcpy_mb_s = 0;    // bytes copied (twice as many are moved)
  double sgd_mb_s = 0;       // w -= r g: 12 bytes moved an element
  double momentum_mb_s = 0;  // v = a v + g; w -= r v: 20 bytes
  double adam_mb_s = 0;      // m, v and w from g: 28 bytes
};

// Measures over `bytes` of memory, in pages of 2 MiB where `huge` and the system agree, else of
// 4 KiB. Touches all of it first. RESOURCE_EXHAUSTED: there is not so much.
absl::StatusOr<MemorySpeed> MeasureMemory(uint64_t bytes, bool huge);

}  // namespace weir

#endif  // WEIR_TOOLS_ROOFLINE_MEMORY_H_
