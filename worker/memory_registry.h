// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_WORKER_MEMORY_REGISTRY_H_
#define WEIR_WORKER_MEMORY_REGISTRY_H_

#include <cstddef>
#include <functional>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "weir/calls.h"
#include "weir/memory.h"
#include "weir/status.h"

namespace weir {

// The memory that one Worker has given out: makes blocks, and tells of an address in which of them
// it lies, so that a push can borrow its gradient instead of copying it.
//
// Where blocks come from is one function, `source`; whoever needs them elsewhere (in shared memory,
// pinned for a device) gives another. A block is in the registry from Allocate until its last
// reference is dropped, on whatever thread; it may outlive the registry. Self-synchronised.
class MemoryRegistry {
 public:
  // Zeroed memory, 64-byte aligned, given back when the last reference is dropped.
  using Source = std::function<absl::StatusOr<std::shared_ptr<void>>(size_t bytes)>;

  // At most `limit_bytes` are given out at a time, as asked for.
  MemoryRegistry(size_t limit_bytes, Source source);
  ~MemoryRegistry();
  MemoryRegistry(const MemoryRegistry&) = delete;
  MemoryRegistry& operator=(const MemoryRegistry&) = delete;

  // kInvalidArgument: no bytes. kResourceExhausted: beyond the limit, which the message names, or
  // the source has none.
  Result<TensorMemory> Allocate(size_t bytes);

  // What keeps [data, data + bytes) alive, if it lies whole in one block; null otherwise.
  std::shared_ptr<const void> Owner(const void* data, size_t bytes) const;

  // Owner of the gradient of each entry.
  std::vector<std::shared_ptr<const void>> Owners(const std::vector<TensorPush>& pushes) const;

  // Of the blocks that are in use.
  size_t bytes_in_use() const;

 private:
  struct Blocks;
  const std::shared_ptr<Blocks> blocks_;
  const Source source_;
};

}  // namespace weir

#endif  // WEIR_WORKER_MEMORY_REGISTRY_H_
