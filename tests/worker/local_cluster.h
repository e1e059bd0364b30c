// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_TESTS_WORKER_LOCAL_CLUSTER_H_
#define WEIR_TESTS_WORKER_LOCAL_CLUSTER_H_

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "core/optimizer.h"
#include "core/schedule.h"
#include "ps/shard.h"
#include "weir/worker.h"
#include "worker/client.h"

namespace weir {

// A cluster in one process: the real shards and the real clients, frames handed over as values,
// without a coordinator. Whoever calls a worker runs all of it until nothing is left to do, under
// one lock; jobs run inline. Time stands still, so no deadline passes. Workers are driven by a
// thread each, or all by one thread through futures.
class LocalCluster {
 public:
  struct Options {
    uint32_t shards = 1;
    uint32_t workers = 1;
    uint32_t gradient_shards = 1;
    Mode mode = Mode::kBsp;
    std::optional<uint64_t> max_staleness;
    uint64_t slice_bytes = 1 << 20;
    uint64_t seed = 0;
    TensorCodec codec;  // of every tensor
    OptimizerSpec optimizer;
    ScheduleSpec schedule;
  };

  explicit LocalCluster(const Options& options);
  ~LocalCluster();

  // The worker of that rank; the cluster outlives it.
  std::unique_ptr<Worker> Join(uint32_t rank);

  // The weights now, tensor by tensor.
  std::vector<std::vector<float>> Weights();
  // Sums over the shards.
  ShardTotals totals();
  // Blocks asked of the allocator by the clients' and shards' pools since the start.
  uint64_t allocated_blocks() const { return pool_.statistics().allocated; }
  // The value that any worker last reported under this name; 0: none has.
  double reported(const std::string& name);
  // Ends every connection, as if the network had; the clients come back when time has passed.
  void CutConnections();

 private:
  class LocalWorker;
  using Done = std::function<void(CompleteEffect&)>;
  struct Node {
    std::unique_ptr<Client> client;
    std::map<uint64_t, Done> done;
  };
  struct Session {
    uint32_t rank = 0;
    uint64_t connection = 0;
    uint32_t shard = 0;
  };

  Status Declare(uint32_t rank, const std::vector<TensorSpec>& tensors);
  uint64_t Call(uint32_t rank,
                const std::function<void(Client&, uint64_t, absl::Time, ClientEffects*)>& begin,
                Done done);
  void Cancel(uint32_t rank, uint64_t call);

  void Later(std::function<void()> event) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    queue_.push_back(std::move(event));
  }
  void RunAll() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Take(uint32_t rank, ClientEffects* effects) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Take(uint32_t shard, Effects* effects) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void ToClient(uint64_t session, ServerFrame frame) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void End(uint64_t session, const absl::Status& why) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const Options options_;
  BufferPool pool_;
  absl::Mutex mu_;
  absl::Time now_ ABSL_GUARDED_BY(mu_) = absl::UnixEpoch();
  std::optional<Layout> layout_ ABSL_GUARDED_BY(mu_);
  std::map<std::string, double> reported_ ABSL_GUARDED_BY(mu_);
  std::vector<std::unique_ptr<Shard>> shards_ ABSL_GUARDED_BY(mu_);
  std::vector<Node> nodes_ ABSL_GUARDED_BY(mu_);
  std::map<uint64_t, Session> sessions_ ABSL_GUARDED_BY(mu_);
  std::map<std::pair<uint32_t, uint64_t>, uint64_t> session_of_
      ABSL_GUARDED_BY(mu_);  // (rank, connection)
  std::deque<std::function<void()>> queue_ ABSL_GUARDED_BY(mu_);
  uint64_t next_session_ ABSL_GUARDED_BY(mu_) = 1;
  uint64_t next_call_ ABSL_GUARDED_BY(mu_) = 1;
};

}  // namespace weir

#endif  // WEIR_TESTS_WORKER_LOCAL_CLUSTER_H_
