// SPDX-License-Identifier: Apache-2.0
#include "net/shm_runtime.h"

#include <cstring>
#include <utility>

namespace weir {

absl::StatusOr<std::unique_ptr<ShmRuntime>> ShmRuntime::Start(Options options) {
  absl::StatusOr<std::unique_ptr<ShmPoller>> poller = ShmPoller::Create({});
  if (!poller.ok()) return poller.status();
  return std::unique_ptr<ShmRuntime>(
      new ShmRuntime(std::make_shared<ShmArena>(std::move(options.arena)), *std::move(poller)));
}

std::shared_ptr<void> ShmRuntime::Allocate(size_t bytes) {
  char* const block = arena_->Take(bytes);
  if (block == nullptr) return nullptr;
  std::memset(block, 0, bytes);
  return std::shared_ptr<void>(block, [arena = arena_, bytes](void* taken) {
    arena->Return(static_cast<char*>(taken), bytes);
  });
}

}  // namespace weir
