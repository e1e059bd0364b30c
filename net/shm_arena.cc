// SPDX-License-Identifier: Apache-2.0
#include "net/shm_arena.h"

#include <algorithm>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"

namespace weir {
namespace {

constexpr size_t kAlignment = 64;
constexpr size_t kMostSegmentBytes = size_t{1} << 30;
constexpr uint32_t kSegmentsOfASize = 8;

size_t Aligned(size_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }

}  // namespace

char* ShmArena::Take(size_t bytes) {
  if (bytes < options_.min_block_bytes || bytes > options_.max_bytes) return nullptr;
  const size_t size = Aligned(bytes);
  absl::MutexLock lock(&mu_);
  const auto found = free_.find(size);
  if (found != free_.end() && !found->second.empty()) {
    char* block = found->second.back();
    found->second.pop_back();
    return block;
  }
  const uint32_t count = segments();
  if (count == 0 || size > segments_[count - 1]->size() - used_) {
    if (status_.ok()) status_ = AddSegment(size);
    if (!status_.ok()) return nullptr;
  }
  char* block = segments_[segments() - 1]->data() + used_;
  used_ += size;
  return block;
}

bool ShmArena::Return(char* block, size_t bytes) {
  const size_t size = Aligned(bytes);
  if (!Find(block, size)) return false;
  absl::MutexLock lock(&mu_);
  free_[size].push_back(block);
  return true;
}

absl::Status ShmArena::status() const {
  absl::MutexLock lock(&mu_);
  return status_;
}

absl::optional<ShmArena::Place> ShmArena::Find(const char* data, size_t bytes) const {
  const uintptr_t begin = reinterpret_cast<uintptr_t>(data);
  const uint32_t count = segments();
  for (uint32_t id = 0; id < count; ++id) {
    const uintptr_t base = reinterpret_cast<uintptr_t>(segments_[id]->data());
    const size_t size = segments_[id]->size();
    if (begin < base || begin - base >= size) continue;
    if (bytes > size - (begin - base)) return absl::nullopt;
    return Place{id, begin - base};
  }
  return absl::nullopt;
}

absl::Status ShmArena::AddSegment(size_t bytes) {
  const uint32_t count = segments();
  if (count == kMaxSegments) {
    return absl::ResourceExhaustedError(
        absl::StrCat("shared memory: all of ", kMaxSegments, " segments are in use"));
  }
  const size_t usual =
      std::min(options_.segment_bytes << (count / kSegmentsOfASize), kMostSegmentBytes);
  const size_t size = std::max(bytes, usual);
  if (bytes_ + size > options_.max_bytes) {
    return absl::ResourceExhaustedError(absl::StrCat("shared memory: the limit of ",
                                                     options_.max_bytes, " bytes is reached, ",
                                                     bytes_, " are in use"));
  }
  absl::StatusOr<std::shared_ptr<ShmSegment>> segment =
      ShmSegment::Create(size, SegmentAccess::kCreatorOnly, options_.available_bytes() / 2);
  if (!segment.ok()) return segment.status();
  bytes_ += (*segment)->size();
  used_ = 0;
  segments_[count] = *std::move(segment);
  count_.store(count + 1, std::memory_order_release);
  return absl::OkStatus();
}

}  // namespace weir
