// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_CORE_BUFFER_H_
#define WEIR_CORE_BUFFER_H_

#include <cstddef>
#include <cstdint>
#include <memory>

#include "core/arena.h"

namespace weir {

class BufferPool;

// A counted reference to one block of memory, 64-byte aligned. Copies share the block; it goes back
// to its pool when the last reference is dropped, on whatever thread that is. Whoever fills a block
// does so before sharing it: shared blocks are read only, by convention.
class Buffer {
 public:
  Buffer() = default;

  explicit operator bool() const { return block_ != nullptr; }
  char* data() const;
  float* floats() const { return reinterpret_cast<float*>(data()); }
  // The bytes asked for.
  size_t size() const;
  // Keeps the block alive; for whoever borrows its bytes.
  std::shared_ptr<const void> owner() const;
  // True when this is the only reference.
  bool unique() const { return block_.use_count() == 1; }

 private:
  friend class BufferPool;
  struct Block;
  std::shared_ptr<Block> block_;
};

// Hands out blocks and takes them back, so that the steady state asks the allocator for nothing
// payload-sized.
//
// Blocks are kept by size class (powers of two and the three quarters between, from 256 bytes;
// smaller requests round up). Idle blocks above `idle_limit_bytes` in total are freed. Blocks come
// from the arena, where there is one, as long as it gives them, and else from the heap.
// Self-synchronised. Blocks may outlive the pool; the arena lives as long as either.
class BufferPool {
 public:
  struct Statistics {
    uint64_t allocated = 0;     // blocks asked of arena or heap since the start
    uint64_t reused = 0;        // requests served from idle blocks
    uint64_t bytes_in_use = 0;  // of blocks out, by size class
    uint64_t bytes_idle = 0;
  };

  static constexpr size_t kNoLimit = ~size_t{0};

  explicit BufferPool(size_t idle_limit_bytes = kNoLimit) : BufferPool(idle_limit_bytes, nullptr) {}
  // `arena` may be null: none.
  BufferPool(size_t idle_limit_bytes, std::shared_ptr<Arena> arena);
  ~BufferPool();
  BufferPool(const BufferPool&) = delete;
  BufferPool& operator=(const BufferPool&) = delete;

  // A block of at least `bytes` bytes, content unspecified.
  Buffer Allocate(size_t bytes);
  Statistics statistics() const;

 private:
  struct Idle;
  friend class Buffer;
  std::shared_ptr<Idle> idle_;
};

}  // namespace weir

#endif  // WEIR_CORE_BUFFER_H_
