// SPDX-License-Identifier: Apache-2.0
#include "core/buffer.h"

#include <array>
#include <cstdlib>
#include <new>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/numeric/bits.h"
#include "absl/synchronization/mutex.h"

namespace weir {
namespace {

constexpr size_t kAlignment = 64;
constexpr size_t kSmallest = 256;
constexpr int kClasses = 112;

// Class 2k holds blocks of 256 << k bytes, class 2k + 1 blocks of 384 << k.
size_t ClassBytes(int index) {
  const size_t base = kSmallest << (index / 2);
  return index % 2 == 0 ? base : base + base / 2;
}

int ClassOf(size_t bytes) {
  if (bytes <= kSmallest) return 0;
  const int k =
      absl::bit_width((bytes - 1) / kSmallest) - 1;  // 256 << k < bytes, at most 256 << (k + 1)
  return bytes <= ClassBytes(2 * k + 1) ? 2 * k + 1 : 2 * k + 2;
}

}  // namespace

struct BufferPool::Idle {
  Idle(size_t limit, std::shared_ptr<Arena> from) : limit_bytes(limit), arena(std::move(from)) {}
  ~Idle() {
    for (int index = 0; index < kClasses; ++index)
      for (char* block : free[index]) Free(block, index);
  }

  const size_t limit_bytes;
  const std::shared_ptr<Arena> arena;  // may be null
  mutable absl::Mutex mu;
  std::array<std::vector<char*>, kClasses> free ABSL_GUARDED_BY(mu);
  Statistics statistics ABSL_GUARDED_BY(mu);

  char* Take(int index) {
    const size_t bytes = ClassBytes(index);
    {
      absl::MutexLock lock(&mu);
      statistics.bytes_in_use += bytes;
      if (!free[index].empty()) {
        char* block = free[index].back();
        free[index].pop_back();
        ++statistics.reused;
        statistics.bytes_idle -= bytes;
        return block;
      }
      ++statistics.allocated;
    }
    char* shared = arena == nullptr ? nullptr : arena->Take(bytes);
    if (shared != nullptr) return shared;
    void* block =
        std::aligned_alloc(kAlignment, (bytes + kAlignment - 1) / kAlignment * kAlignment);
    if (block == nullptr) throw std::bad_alloc();
    return static_cast<char*>(block);
  }

  void Free(char* block, int index) {
    if (arena == nullptr || !arena->Return(block, ClassBytes(index))) std::free(block);
  }

  void Return(char* block, int index) {
    const size_t bytes = ClassBytes(index);
    {
      absl::MutexLock lock(&mu);
      statistics.bytes_in_use -= bytes;
      if (statistics.bytes_idle + bytes <= limit_bytes) {
        statistics.bytes_idle += bytes;
        free[index].push_back(block);
        return;
      }
    }
    Free(block, index);
  }
};

struct Buffer::Block {
  Block(std::shared_ptr<BufferPool::Idle> from, int index, size_t asked)
      : pool(std::move(from)), size_class(index), size(asked), data(pool->Take(index)) {}
  ~Block() { pool->Return(data, size_class); }
  Block(const Block&) = delete;
  Block& operator=(const Block&) = delete;

  const std::shared_ptr<BufferPool::Idle> pool;
  const int size_class;
  const size_t size;
  char* const data;
};

char* Buffer::data() const { return block_ == nullptr ? nullptr : block_->data; }
size_t Buffer::size() const { return block_ == nullptr ? 0 : block_->size; }
std::shared_ptr<const void> Buffer::owner() const { return block_; }

BufferPool::BufferPool(size_t idle_limit_bytes, std::shared_ptr<Arena> arena)
    : idle_(std::make_shared<Idle>(idle_limit_bytes, std::move(arena))) {}
BufferPool::~BufferPool() = default;

Buffer BufferPool::Allocate(size_t bytes) {
  Buffer buffer;
  buffer.block_ = std::make_shared<Buffer::Block>(idle_, ClassOf(bytes), bytes);
  return buffer;
}

BufferPool::Statistics BufferPool::statistics() const {
  absl::MutexLock lock(&idle_->mu);
  return idle_->statistics;
}

}  // namespace weir
