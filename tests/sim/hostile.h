// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_TESTS_SIM_HOSTILE_H_
#define WEIR_TESTS_SIM_HOSTILE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "tests/sim/network.h"
#include "tests/sim/shard_node.h"
#include "tests/sim/world.h"

namespace weir::sim {

// A stranger with one session to one shard: says hello wrongly or not at all, or says it right and
// then sends what nobody should. Whatever it does must change nothing (ShardAudit sees to that) and
// be answered or end the session.
class Hostile : public ClientEnd {
 public:
  // All pointers outlive it.
  Hostile(World* world, Network* network, ShardNode* shard)
      : world_(world), network_(network), shard_(shard) {}

  void Start() { link_ = network_->Connect(this, 1, shard_, /*faulty=*/false); }
  // At the end of the simulation.
  void CheckQuiet();

  void Connected(uint64_t connection) override;
  void Disconnected(uint64_t connection, const absl::Status& why) override;
  void Receive(uint64_t link, uint64_t connection, ServerFrame frame) override;

 private:
  static constexpr uint64_t kHellos = 9;
  static constexpr uint64_t kWrongHellos = 7;
  static constexpr uint64_t kFrames = 14;

  void Send(ClientFrame frame);
  ClientFrame Hello(uint64_t variant);
  ClientFrame Frame(uint64_t variant);
  PushFrame GoodPush();

  World* const world_;
  Network* const network_;
  ShardNode* const shard_;
  uint64_t link_ = 0;
  uint64_t next_request_ = 1;
  uint64_t unanswered_ = 0;
  bool over_ = false;
  bool unwelcome_ = false;  // its hello is wrong, whoever has been here before
};

}  // namespace weir::sim

#endif  // WEIR_TESTS_SIM_HOSTILE_H_
