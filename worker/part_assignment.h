// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_WORKER_PART_ASSIGNMENT_H_
#define WEIR_WORKER_PART_ASSIGNMENT_H_

#include <cstdint>

#include "core/part_tree.h"

namespace weir {

// The parts that worker `rank` of `workers` computes of each step's `total`: [rank * total /
// workers, (rank + 1) * total / workers), so that all parts have one owner and no worker has more
// than one part above another. Empty when there are more workers than parts and this one has none.
// REQUIRES: rank < workers.
inline PartBlock AssignedParts(uint32_t rank, uint32_t workers, uint32_t total) {
  const uint64_t first = uint64_t{rank} * total / workers;
  const uint64_t last = (uint64_t{rank} + 1) * total / workers;
  return PartBlock{static_cast<uint32_t>(first), static_cast<uint32_t>(last - first)};
}

}  // namespace weir

#endif  // WEIR_WORKER_PART_ASSIGNMENT_H_
