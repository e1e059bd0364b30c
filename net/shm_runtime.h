// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_NET_SHM_RUNTIME_H_
#define WEIR_NET_SHM_RUNTIME_H_

#include <memory>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "net/shm_arena.h"
#include "net/shm_poller.h"

namespace weir {

// What a process has for shared memory: the arena of what it shares, and a poller with its thread.
// No memory is taken before it is asked for. Outlives every session, host and pool that uses it;
// blocks of the arena may outlive it. Self-synchronised.
class ShmRuntime {
 public:
  struct Options {
    ShmArena::Options arena;
  };

  // RESOURCE_EXHAUSTED: there are no descriptors for it.
  static absl::StatusOr<std::unique_ptr<ShmRuntime>> Start(Options options);

  const std::shared_ptr<ShmArena>& arena() const { return arena_; }
  ShmPoller* poller() { return poller_.get(); }

  // `bytes` zeroed bytes of the arena, or, where it has none, null.
  std::shared_ptr<void> Allocate(size_t bytes);

 private:
  ShmRuntime(std::shared_ptr<ShmArena> arena, std::unique_ptr<ShmPoller> poller)
      : arena_(std::move(arena)), poller_(std::move(poller)), thread_(poller_.get()) {}

  const std::shared_ptr<ShmArena> arena_;
  const std::unique_ptr<ShmPoller> poller_;
  ShmPollerThread thread_;
};

}  // namespace weir

#endif  // WEIR_NET_SHM_RUNTIME_H_
