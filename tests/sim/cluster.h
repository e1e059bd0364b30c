// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_TESTS_SIM_CLUSTER_H_
#define WEIR_TESTS_SIM_CLUSTER_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tests/sim/coordinator_node.h"
#include "tests/sim/hostile.h"
#include "tests/sim/judge.h"
#include "tests/sim/network.h"
#include "tests/sim/shard_node.h"
#include "tests/sim/worker_process.h"
#include "tests/sim/world.h"

namespace weir::sim {

// How a simulation went.
struct Verdict {
  std::optional<Broken> broken;  // none: every promise held
  Totals totals;
  uint64_t trace_hash = 0;
  std::vector<std::string> last_lines;  // of the trace, where lines were kept
};

// A whole cluster in one thread: a coordinator, servers, workers and an agent that starts them
// anew, from the start of the job until every worker has left, with the faults of its scenario on
// the way.
class Cluster {
 public:
  explicit Cluster(World* world);
  void Run();

 private:
  // One place of the job, and what the agent knows of it.
  struct Place {
    WorkerProcess* process = nullptr;  // the newest
    bool replacing = false;            // a successor is about to be started
    uint64_t restarts = 0;             // of the place, when it was started
  };
  static constexpr uint64_t kMaxEvents = 400000;
  static constexpr absl::Duration kMaxTime = absl::Minutes(30);
  static constexpr absl::Duration kAfterglow = absl::Seconds(20);

  // cluster.cc
  void StartServer(uint32_t shard);
  // `roster`: the generation that it knows.
  void BeatServer(ShardNode* shard, const MemberId& who, uint64_t roster);
  void StartWorker(uint32_t rank);
  void Supervise();
  bool Done() const;
  std::string WaitsFor() const;
  void CheckQuiet();
  // faults.cc
  void InjectFaults();
  void Inject(FaultKind kind);
  WorkerProcess* AnyWorker();
  void CutAll();
  void PauseOverLease(WorkerProcess* worker);
  void CrashWorker(WorkerProcess* worker);
  void CrashInPush(uint64_t worker, uint64_t sequence);
  void ChangeEpoch();

  World* const world_;
  Network network_;
  CoordinatorNode coordinator_;
  std::vector<std::unique_ptr<ShardNode>> shards_;
  std::vector<std::unique_ptr<WorkerProcess>> processes_;  // of all lives
  std::vector<std::unique_ptr<Hostile>> strangers_;
  std::vector<Place> places_;  // by rank
  uint64_t next_process_ = 1;
  size_t next_fault_ = 0;
  uint32_t crashes_in_push_ = 0;  // wanted
};

// Runs the simulation of one seed.
Verdict Simulate(uint64_t seed, Trace::Lines lines);

}  // namespace weir::sim

#endif  // WEIR_TESTS_SIM_CLUSTER_H_
