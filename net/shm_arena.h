// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_NET_SHM_ARENA_H_
#define WEIR_NET_SHM_ARENA_H_

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/types/optional.h"
#include "core/arena.h"
#include "net/shm_segment.h"

namespace weir {

// Blocks in shared memory that other processes may read: a server's weights, a worker's gradients.
//
// Owns up to kMaxSegments segments (kCreatorOnly), made when blocks are asked for and kept until
// the arena goes; a segment's number is its place in that order. The first eight are of
// `segment_bytes`, the next eight twice as large and so on, up to 1 GiB; a block that is larger
// gets a segment of its own. Blocks given back serve later requests of the same size: made for the
// few sizes of a BufferPool and for a worker's buffers, not for any mix of sizes.
// Self-synchronised; Find and segment take no lock.
class ShmArena final : public Arena {
 public:
  static constexpr uint32_t kMaxSegments = 64;

  struct Options {
    size_t segment_bytes = size_t{64} << 20;
    uint64_t max_bytes = uint64_t{64} << 30;  // of all segments
    size_t min_block_bytes = 4096;            // smaller ones are left to the heap
    // Asked before a segment is made; a segment takes at most half of it.
    std::function<uint64_t()> available_bytes = AvailableMemoryBytes;
  };

  struct Place {
    uint32_t segment;
    uint64_t offset;
  };

  explicit ShmArena(Options options) : options_(std::move(options)) {}

  // Null once there is no memory, or a limit is reached; status() then says why.
  char* Take(size_t bytes) override ABSL_LOCKS_EXCLUDED(mu_);
  bool Return(char* block, size_t bytes) override ABSL_LOCKS_EXCLUDED(mu_);

  // OK, or why the arena made no further segment: RESOURCE_EXHAUSTED or INTERNAL. It does not try
  // again, but blocks given back still serve.
  absl::Status status() const ABSL_LOCKS_EXCLUDED(mu_);

  // Where [data, data + bytes) lies; nothing when it does not lie in one segment.
  absl::optional<Place> Find(const char* data, size_t bytes) const;
  uint32_t segments() const { return count_.load(std::memory_order_acquire); }
  // REQUIRES: id < segments().
  const std::shared_ptr<ShmSegment>& segment(uint32_t id) const { return segments_[id]; }

 private:
  absl::Status AddSegment(size_t bytes) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const Options options_;

  // Written under mu_ before count_ counts them, and not changed after.
  std::array<std::shared_ptr<ShmSegment>, kMaxSegments> segments_;
  std::atomic<uint32_t> count_{0};

  mutable absl::Mutex mu_;
  absl::Status status_ ABSL_GUARDED_BY(mu_);
  uint64_t bytes_ ABSL_GUARDED_BY(mu_) = 0;                         // of all segments
  size_t used_ ABSL_GUARDED_BY(mu_) = 0;                            // of the newest segment
  std::map<size_t, std::vector<char*>> free_ ABSL_GUARDED_BY(mu_);  // by size
};

}  // namespace weir

#endif  // WEIR_NET_SHM_ARENA_H_
