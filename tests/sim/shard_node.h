// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_TESTS_SIM_SHARD_NODE_H_
#define WEIR_TESTS_SIM_SHARD_NODE_H_

#include <cstdint>
#include <functional>
#include <memory>

#include "core/buffer.h"
#include "ps/shard.h"
#include "tests/sim/network.h"
#include "tests/sim/shard_audit.h"
#include "tests/sim/world.h"

namespace weir::sim {

// A server process with one shard: the real Shard, fed by the simulated network. Its jobs run some
// time after they were handed out and are reported done some time after that, so those of different
// slices end in any order. Every event is audited.
class ShardNode : public ServerEnd {
 public:
  // All arguments outlive it.
  ShardNode(World* world, Network* network, uint32_t shard);

  // A layout has come; it must be installable.
  void Install(const Layout& layout);
  // Who counts.
  void Tell(const Roster& roster);
  bool serving() const { return shard_.status().serving; }
  uint64_t epoch() const { return epoch_; }
  uint32_t shard() const { return number_; }
  // At the end of the simulation.
  void CheckQuiet() { audit_.CheckQuiet(); }
  // Told of each push that an honest worker's session brings, once the shard has handled it.
  void OnPushReceived(std::function<void(uint64_t worker, uint64_t sequence)> told) {
    told_ = std::move(told);
  }

  void OnOpen(uint64_t session) override;
  void OnFrame(uint64_t session, ClientFrame frame) override;
  void OnSent(uint64_t session, uint64_t payload_bytes) override;
  void OnClosed(uint64_t session) override;

 private:
  void Finish();  // an event: audits it and carries its effects out
  void Schedule(Job job);
  void ArmTimer();

  World* const world_;
  Network* const network_;
  const uint32_t number_;
  BufferPool pool_;
  Shard shard_;
  ShardAudit audit_;
  Effects effects_;
  uint64_t epoch_ = 0;
  absl::Time timer_ = absl::InfiniteFuture();
  std::function<void(uint64_t worker, uint64_t sequence)> told_;
};

}  // namespace weir::sim

#endif  // WEIR_TESTS_SIM_SHARD_NODE_H_
