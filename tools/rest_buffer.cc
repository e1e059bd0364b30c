// SPDX-License-Identifier: Apache-2.0
#include "tools/rest_buffer.h"

#include <utility>

#include "absl/numeric/bits.h"

namespace weir {
namespace {

size_t ClassOf(size_t size) {
  const size_t least = size < RestMemory::kLeastBytes ? RestMemory::kLeastBytes : size;
  return static_cast<size_t>(absl::bit_width(least - 1));
}

}  // namespace

size_t RestMemory::CapacityFor(size_t size) { return size_t{1} << ClassOf(size); }

std::unique_ptr<char[]> RestMemory::Take(size_t size) {
  {
    absl::MutexLock lock(&mu_);
    std::vector<std::unique_ptr<char[]>>& free = free_[ClassOf(size)];
    if (!free.empty()) {
      std::unique_ptr<char[]> block = std::move(free.back());
      free.pop_back();
      return block;
    }
  }
  return std::unique_ptr<char[]>(new char[CapacityFor(size)]);
}

void RestMemory::Give(std::unique_ptr<char[]> block, size_t size) {
  absl::MutexLock lock(&mu_);
  free_[ClassOf(size)].push_back(std::move(block));
}

void RestMemory::Clear() {
  absl::MutexLock lock(&mu_);
  for (std::vector<std::unique_ptr<char[]>>& free : free_) free.clear();
}

RestBuffer::~RestBuffer() { Release(); }

void RestBuffer::Release() {
  if (block_ != nullptr) memory_->Give(std::move(block_), capacity_);
  capacity_ = 0;
  size_ = 0;
}

void RestBuffer::Resize(size_t size) {
  const size_t capacity = RestMemory::CapacityFor(size + kPaddingBytes);
  if (capacity != capacity_) {
    Release();
    block_ = memory_->Take(capacity);
    capacity_ = capacity;
  }
  size_ = size;
}

}  // namespace weir
