// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_CORE_ARENA_H_
#define WEIR_CORE_ARENA_H_

#include <cstddef>

namespace weir {

// Where a BufferPool may take its blocks from instead of the heap, such as memory shared with other
// processes. Self-synchronised.
class Arena {
 public:
  virtual ~Arena() = default;

  // `bytes` bytes, 64-byte aligned, content unspecified; null when the arena has none to give or
  // wants no blocks of that size: take them from the heap.
  virtual char* Take(size_t bytes) = 0;

  // Takes back what Take(bytes) gave. False, and nothing done: the block is not of this arena.
  virtual bool Return(char* block, size_t bytes) = 0;
};

}  // namespace weir

#endif  // WEIR_CORE_ARENA_H_
