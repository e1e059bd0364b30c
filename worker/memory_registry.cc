// SPDX-License-Identifier: Apache-2.0
#include "worker/memory_registry.h"

#include <cstdint>
#include <map>
#include <string>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"

namespace weir {

// Outlives the registry while a block does.
struct MemoryRegistry::Blocks {
  struct Block {
    size_t bytes = 0;
    std::weak_ptr<void> memory;
  };

  explicit Blocks(size_t limit) : limit_bytes(limit) {}

  const size_t limit_bytes;
  mutable absl::Mutex mu;
  size_t bytes_in_use ABSL_GUARDED_BY(mu) = 0;
  std::map<uintptr_t, Block> by_address ABSL_GUARDED_BY(mu);

  Status Reserve(size_t bytes) {
    absl::MutexLock lock(&mu);
    if (bytes > limit_bytes - bytes_in_use) {
      return Status(StatusCode::kResourceExhausted,
                    absl::StrCat("Allocate: ", bytes, " bytes beside the ", bytes_in_use,
                                 " in use are more than Options::max_memory_bytes, ", limit_bytes,
                                 ": drop handles that are not needed, or raise the option"));
    }
    bytes_in_use += bytes;
    return Status();
  }

  void Release(size_t bytes) {
    absl::MutexLock lock(&mu);
    bytes_in_use -= bytes;
  }

  void Forget(const void* data, size_t bytes) {
    absl::MutexLock lock(&mu);
    by_address.erase(reinterpret_cast<uintptr_t>(data));
    bytes_in_use -= bytes;
  }
};

MemoryRegistry::MemoryRegistry(size_t limit_bytes, Source source)
    : blocks_(std::make_shared<Blocks>(limit_bytes)), source_(std::move(source)) {}

MemoryRegistry::~MemoryRegistry() = default;

Result<TensorMemory> MemoryRegistry::Allocate(size_t bytes) {
  if (bytes == 0) return Status(StatusCode::kInvalidArgument, "Allocate: no bytes were asked for");
  const Status reserved = blocks_->Reserve(bytes);
  if (!reserved.ok()) return reserved;
  absl::StatusOr<std::shared_ptr<void>> source = source_(bytes);
  if (!source.ok()) {
    blocks_->Release(bytes);
    return Status(StatusCode::kResourceExhausted,
                  absl::StrCat("Allocate: ", std::string(source.status().message())));
  }
  void* const data = source->get();
  // Forgotten before it goes back, so that its address cannot come again before.
  std::shared_ptr<void> memory(
      data, [blocks = blocks_, bytes, held = *std::move(source)](void* block) mutable {
        blocks->Forget(block, bytes);
        held.reset();
      });
  {
    absl::MutexLock lock(&blocks_->mu);
    blocks_->by_address[reinterpret_cast<uintptr_t>(data)] = Blocks::Block{bytes, memory};
  }
  return TensorMemory(std::move(memory), bytes);
}

std::shared_ptr<const void> MemoryRegistry::Owner(const void* data, size_t bytes) const {
  const uintptr_t address = reinterpret_cast<uintptr_t>(data);
  absl::MutexLock lock(&blocks_->mu);
  auto at = blocks_->by_address.upper_bound(address);
  if (at == blocks_->by_address.begin()) return nullptr;
  --at;
  const size_t offset = address - at->first;
  const size_t size = at->second.bytes;
  if (offset > size || bytes > size - offset) return nullptr;
  return at->second.memory.lock();
}

std::vector<std::shared_ptr<const void>> MemoryRegistry::Owners(
    const std::vector<TensorPush>& pushes) const {
  std::vector<std::shared_ptr<const void>> owners;
  owners.reserve(pushes.size());
  for (const TensorPush& push : pushes) {
    const bool known = push.gradient.data != nullptr && push.gradient.count > 0;
    owners.push_back(
        known ? Owner(push.gradient.data, static_cast<size_t>(push.gradient.count) * sizeof(float))
              : nullptr);
  }
  return owners;
}

size_t MemoryRegistry::bytes_in_use() const {
  absl::MutexLock lock(&blocks_->mu);
  return blocks_->bytes_in_use;
}

}  // namespace weir
