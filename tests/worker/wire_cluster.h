// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_TESTS_WORKER_WIRE_CLUSTER_H_
#define WEIR_TESTS_WORKER_WIRE_CLUSTER_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/optimizer.h"
#include "core/schedule.h"
#include "launcher/coordinator_service.h"
#include "net/server_host.h"
#include "net/session_host.h"
#include "ps/shard.h"
#include "weir/worker.h"

namespace weir {

// A cluster in this process whose members talk over sockets: the real coordinator, real shards
// behind real streams on free ports of the loopback, one shard a server, jobs run inline. For tests
// of what connects a worker to all that.
class WireCluster {
 public:
  struct Options {
    uint32_t servers = 1;
    uint32_t workers = 1;
    uint32_t gradient_shards = 1;
    uint32_t mode = 1;  // weir.v1.Mode
    uint64_t slice_bytes = 1 << 20;
    uint64_t seed = 0;
    std::string token = "secret";
    absl::Duration lease = absl::Seconds(10);
    // Servers have Unix sockets too, and workers are to come by them and move to shared memory.
    bool shared_memory = false;
    uint64_t max_reply_bytes = 0;  // that a session may ask for at a time; 0: as usual
    OptimizerSpec optimizer;
    ScheduleSpec schedule;
  };

  explicit WireCluster(const Options& options);
  ~WireCluster();

  // What a worker connects with.
  weir::Options WorkerOptions() const;
  // The weights now, tensor by tensor, in the order of `tensors`.
  std::vector<std::vector<float>> Weights(const std::vector<TensorSpec>& tensors);
  // Sums over the shards, of what a push can come to.
  ShardTotals totals();
  // Blocks for weights and gradients that the servers have asked for since the start.
  uint64_t allocated_blocks() const;
  SessionHost::Statistics sessions(uint32_t server) const;
  // Ends every stream of the data plane.
  void CutStreams();
  // Kills the coordinator.
  void StopCoordinator();
  CoordinatorService& coordinator() { return *service_; }

 private:
  class Server;

  const Options options_;
  std::unique_ptr<CoordinatorService> service_;
  std::unique_ptr<ServerHost> coordinator_;
  std::vector<std::unique_ptr<Server>> servers_;
};

}  // namespace weir

#endif  // WEIR_TESTS_WORKER_WIRE_CLUSTER_H_
