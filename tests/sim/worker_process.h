// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_TESTS_SIM_WORKER_PROCESS_H_
#define WEIR_TESTS_SIM_WORKER_PROCESS_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/buffer.h"
#include "tests/sim/coordinator_node.h"
#include "tests/sim/network.h"
#include "tests/sim/shard_node.h"
#include "tests/sim/world.h"
#include "worker/client.h"

namespace weir::sim {

class Trainer;

// One life of one worker: joins, declares, fetches the layout, trains with the real Client, leaves.
// It may be paused, when all that comes is kept for later, and it may crash, when nothing happens
// any more and its connections end. It is kept as an object until the simulation ends.
//
// Checks the client's side of the promises: each call ends once and by its deadline, what was
// delivered is one committed version, what was reported is true, no credit is exceeded.
class WorkerProcess : public ClientEnd {
 public:
  enum class State { kStarting, kTraining, kLeft, kEnded, kCrashed };

  // All pointers outlive it.
  WorkerProcess(World* world, Network* network, CoordinatorNode* coordinator,
                std::vector<ShardNode*> shards, uint32_t rank, uint64_t process);
  ~WorkerProcess() override;

  void Start();
  void Crash();
  void Pause(absl::Duration time);

  State state() const { return state_; }
  bool running() const { return state_ == State::kStarting || state_ == State::kTraining; }
  bool paused() const { return paused_; }
  uint32_t rank() const { return rank_; }
  uint64_t incarnation() const { return who_.incarnation; }
  // Pushes of this life that a shard has received in part: some slices, but not all.
  bool InTheMiddleOf(uint64_t sequence) const;
  std::string WaitsFor() const;
  // At the end of the simulation.
  void CheckQuiet();

  // For its trainer. Functions handed in run when the process runs, and not after it has crashed.
  World* world() { return world_; }
  uint64_t epoch() const { return client_->epoch(); }
  void After(absl::Duration wait, std::function<void()> then);
  void Pull(std::vector<TensorPull> tensors, const PullOptions& options, bool sync,
            std::function<void(const Status&, const PullResult&)> done);
  // `owner` keeps all gradients alive; null: they are copied. Returns the call, for Cancel.
  uint64_t Push(std::vector<TensorPush> tensors, std::shared_ptr<const void> owner,
                const PushOptions& options, bool want_values,
                std::function<void(const Status&, const PushResult&)> done);
  void NewSequence(std::function<void(const Status&, uint64_t)> done);
  void PutState(uint64_t sequence, const std::string& state,
                std::function<void(const Status&)> done);
  void GetState(std::function<void(const Status&, const WorkerState&)> done);
  void Cancel(uint64_t call);
  // Leaves in order: the shards, then the job.
  void Leave();
  // Ends in failure: fenced, lost or stopped.
  void End();

  void Connected(uint64_t connection) override;
  void Disconnected(uint64_t connection, const absl::Status& why) override;
  void Receive(uint64_t link, uint64_t connection, ServerFrame frame) override;

 private:
  using Done = std::function<void(const CompleteEffect&)>;
  using Event = std::function<void(Client& client, absl::Time now, ClientEffects* effects)>;
  struct Connection {
    uint64_t link = 0;
    std::map<uint64_t, uint64_t> asked;  // reply bytes, by request in flight
    uint64_t pushed = 0;
    uint64_t released = 0;
    HelloReplyFrame stated;  // the limits that it was told
  };
  struct OpenCall {
    absl::Time deadline;
    Done done;
    bool ended = false;  // and about to be told
  };

  void Deliver(std::function<void()> event);  // now, or when it runs again
  void Resume();
  // worker_process_start.cc
  void Join();
  void Declare();
  void FetchFirstLayout();
  void FetchLayout(uint64_t newer_than);
  void BeginTraining(const Layout& layout);
  void Beat();
  void LeaveJob();
  // worker_process.cc
  void Handle(const Event& event);
  void CarryOut(ClientEffects* effects, std::vector<CompleteEffect>* ended);
  void Send(SendEffect* send);
  void NotePush(const PushFrame& push, uint64_t epoch);
  void Complete(const CompleteEffect& end);
  void ArmTimer();
  uint64_t Begin(
      const std::function<void(Client&, uint64_t call, absl::Time, ClientEffects*)>& begin,
      Deadline deadline, Done done);
  // worker_process_checks.cc
  void CheckSend(Connection* connection, const ClientFrame& frame);
  void CheckReceived(Connection* connection, const ServerFrame& frame);
  void CheckPulled(const std::vector<TensorPull>& tensors, const PullOptions& options,
                   const PullResult& result);
  void CheckPushed(const std::vector<TensorPush>& tensors, const PushOptions& options,
                   bool want_values, const PushResult& result);
  void CheckMemory(const void* tensor, size_t slice, uint64_t version, const char* what);

  World* const world_;
  Network* const network_;
  CoordinatorNode* const coordinator_;
  const std::vector<ShardNode*> shards_;
  const uint32_t rank_;
  const uint64_t process_;
  State state_ = State::kStarting;
  bool paused_ = false;
  bool doomed_ = false;  // told that its lease is lost
  absl::Time resumed_ = absl::InfinitePast();
  std::vector<std::function<void()>> kept_;  // while paused
  MemberId who_;
  BufferPool pool_;
  std::unique_ptr<Client> client_;
  std::unique_ptr<Trainer> trainer_;
  std::map<uint64_t, Connection> connections_;
  std::map<uint64_t, OpenCall> calls_;
  uint64_t next_call_ = 1;
  absl::Time timer_ = absl::InfiniteFuture();
};

// The program that a worker runs.
class Trainer {
 public:
  virtual ~Trainer() = default;
  virtual void Start() = 0;
};
std::unique_ptr<Trainer> MakeBspTrainer(WorkerProcess* process);
std::unique_ptr<Trainer> MakeAspTrainer(WorkerProcess* process);
std::unique_ptr<Trainer> MakeSspTrainer(WorkerProcess* process);

}  // namespace weir::sim

#endif  // WEIR_TESTS_SIM_WORKER_PROCESS_H_
