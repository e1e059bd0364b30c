// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_WORKER_H_
#define WEIR_WORKER_H_

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "weir/calls.h"
#include "weir/future.h"
#include "weir/memory.h"
#include "weir/status.h"
#include "weir/tensor.h"

namespace weir {

enum class LogLevel { kInfo = 0, kWarning = 1, kError = 2 };

// Where and how a Worker connects.
struct Options {
  std::string coordinator;  // "host:port" of weir-coordinator
  std::string token;        // the job's token; empty: from token_file
  std::string token_file;   // a file that holds it; surrounding white space is ignored. Both empty:
                            // a job without token
  std::optional<uint32_t> rank;  // the worker's place, 0-based; none: any free one
  std::string host;       // this machine's name in the job's status; empty: as the system tells it
  std::string transport;  // "auto", "tcp", "uds" or "shm"; empty: as the job's topology says

  // How long the threads that take frames look for the next one before they sleep. It saves
  // wake-ups of 30 to 60 microseconds each, and costs part of a core while the job is busy. None:
  // 30 microseconds, but 0, never, where the job's processes are more than the cores that this one
  // may use. Given: so long in any case; where cores are too few, the work itself waits meanwhile.
  // At most a second.
  std::optional<std::chrono::microseconds> spin;

  // How long Connect waits for a coordinator that does not answer yet.
  std::chrono::milliseconds connect_timeout{60000};
  // Of calls that name none. At least 1 ms.
  std::chrono::milliseconds deadline{60000};

  // Of the memory that Worker::Allocate gives out at a time.
  uint64_t max_memory_bytes = uint64_t{64} << 30;

  // Told what happens (connections lost and found, retries). Called on whatever thread is at work
  // for the Worker, its own or one that makes a call just then, one at a time; it must be quick and
  // must not call the Worker. None: nothing is said. The library itself prints nothing.
  std::function<void(LogLevel, const std::string&)> log;

  // Options from the environment that `weir run` sets for the programs it starts: WEIR_COORDINATOR,
  // WEIR_TOKEN_FILE (or WEIR_TOKEN) and WEIR_RANK; and WEIR_SPIN_US, if you set it.
  // kInvalidArgument: WEIR_COORDINATOR is missing, WEIR_RANK is no number, or WEIR_SPIN_US none
  // from 0 to 1000000. Call it from main.
  static Result<Options> FromEnvironment();
};

// The job that a Worker has joined. Fixed for the Worker's life.
struct JobInfo {
  std::string name;
  std::string job_id;        // 16 bytes
  uint32_t rank = 0;         // of this worker, 0-based, < workers
  uint64_t incarnation = 0;  // grows when this worker is restarted
  uint32_t workers = 0;
  uint32_t servers = 0;
  uint32_t shards = 0;
  uint32_t gradient_shards = 0;  // G: parts of a step's global batch
  Mode mode = Mode::kBsp;
  // kAsp: versions; none: any push is admitted. kSsp: clocks, always set.
  std::optional<uint64_t> max_staleness;
  uint64_t seed = 0;
  std::string topology;  // the resolved topology, as YAML
};

// A trainer's connection to a Weir job: it joins, declares its model, pulls weights and pushes
// gradients.
//
// Life: Connect, Declare, then any calls from any threads at once, then Leave (in order) or Close
// (in haste). Owns two connections: to the coordinator (its lease is renewed by a thread of its
// own) and one stream to each shard, served by one thread. It prints nothing, installs no signal
// handler, never ends the process and throws nothing.
//
// Lost connections are made again and unanswered calls repeated until their deadline, which is
// always safe: a push is applied at most once, whatever is repeated.
//
// Every call can fail with
// - kDeadlineExceeded: the message says for whom it waited. Again, a push under its sequence.
// - kAborted: the job's layout or epoch has changed and all that was known is void. Sync, go on.
// - kFailedPrecondition: not declared yet, or a server refuses this worker for good (a newer one
//   has its place: fenced). End the process.
// - kCancelled: the job is stopping, the lease is lost, or Close was called. End the work.
// - kInvalidArgument: the arguments; the message says which.
// - kResourceExhausted: more than 1024 calls at once, or beyond a limit that the message names.
// - kUnimplemented: a view that is not f32 on the CPU.
class Worker {
 public:
  // Joins the job. kUnavailable: nobody answered within connect_timeout; try again.
  // kFailedPrecondition: another job, a wrong token, protocol or rank. kResourceExhausted: all
  // places are taken.
  static Result<std::unique_ptr<Worker>> Connect(const Options& options);

  // Closes.
  virtual ~Worker() = default;

  virtual const JobInfo& job() const = 0;

  // Declares the whole model, first layers first, once, before any other call; every worker of the
  // job declares the same. Waits until every shard is ready, at most `deadline`; kDeadlineExceeded
  // says who is missing: call again. kFailedPrecondition: it differs from what another worker
  // declared; the message names the difference. kInvalidArgument: a bad name or shape.
  virtual Status Declare(const std::vector<TensorSpec>& tensors,
                         Deadline deadline = Deadline{0}) = 0;

  // The slices of a tensor, in order. kNotFound: no such tensor. kFailedPrecondition: not declared
  // yet.
  virtual Result<std::vector<SliceRange>> Slices(uint32_t tensor) const = 0;

  // Memory for gradients: pushes send from where it lies, on every transport; see weir/memory.h.
  // Ask for one block for a whole model rather than one a tensor: each takes whole pages. Any time,
  // also before Declare. kResourceExhausted: beyond Options::max_memory_bytes, or the machine has
  // none.
  virtual Result<TensorMemory> Allocate(size_t bytes) = 0;

  // What this Worker has moved, as it was when a call last ended. Any time, also after Close.
  virtual PayloadTraffic Traffic() const = 0;

  // Reads tensors. Each slice is one version, never torn; slices may differ in version unless
  // PullOptions::step is given.
  virtual Future<PullResult> PullAsync(std::vector<TensorPull> tensors,
                                       const PullOptions& options = {}) = 0;
  Result<PullResult> Pull(std::vector<TensorPull> tensors, const PullOptions& options = {}) {
    return PullAsync(std::move(tensors), options).Get();
  }

  // Sends a gradient. Ends, in bulk synchronous training, when the step has committed. A gradient
  // that lies whole in memory of Allocate is sent from there; another is copied while the call is
  // under way, at most 64 MiB of it at a time for each shard. Outside bulk synchronous training
  // each slice stands alone.
  virtual Future<PushResult> PushAsync(std::vector<TensorPush> tensors,
                                       const PushOptions& options) = 0;
  Result<PushResult> Push(std::vector<TensorPush> tensors, const PushOptions& options) {
    return PushAsync(std::move(tensors), options).Get();
  }

  // The same, and brings the values after the push (also when stale: the fresh ones) into
  // TensorPush::into, in one round trip.
  virtual Future<PushResult> PushPullAsync(std::vector<TensorPush> tensors,
                                           const PushOptions& options) = 0;
  Result<PushResult> PushPull(std::vector<TensorPush> tensors, const PushOptions& options) {
    return PushPullAsync(std::move(tensors), options).Get();
  }

  // Reads one cut of each shard: its slices as they are at one moment. With PullOptions::step: of
  // all shards. What a worker does at its start and after kAborted.
  virtual Future<PullResult> SyncAsync(std::vector<TensorPull> tensors,
                                       const PullOptions& options = {}) = 0;
  Result<PullResult> Sync(std::vector<TensorPull> tensors, const PullOptions& options = {}) {
    return SyncAsync(std::move(tensors), options).Get();
  }

  // Bulk synchronous training: this part of this step holds no examples. It counts as held, with
  // weight 0, in every tensor.
  virtual Result<PushResult> Skip(uint64_t step, uint32_t part,
                                  Deadline deadline = Deadline{0}) = 0;

  // Reserves a sequence for a push that may have to be asked for again; see PushOptions::sequence.
  virtual Result<uint64_t> NewSequence() = 0;

  // Leaves opaque state (at most 64 KiB: a sampler's position, a random state) on the servers, or
  // gets back what this worker or its predecessor left. The newest `sequence` wins;
  // WorkerState::sequence 0: there is none.
  virtual Status PutState(uint64_t sequence, const std::string& state,
                          Deadline deadline = Deadline{0}) = 0;
  virtual Result<WorkerState> GetState(Deadline deadline = Deadline{0}) = 0;

  // Named values and progress for the job's status; they travel with the next heartbeat. At most 64
  // names of 1 to 64 bytes; kResourceExhausted beyond. `steps` 0: not known.
  virtual Status Report(const std::string& name, double value) = 0;
  virtual void Progress(uint64_t step, uint64_t steps) = 0;

  // Tells the job that this worker ends in failure, and why. Close follows.
  virtual Status Fail(const std::string& why) = 0;

  // Leaves in order: nobody waits for this worker any more. Then as after Close.
  virtual Status Leave(Deadline deadline = Deadline{0}) = 0;

  // Ends all calls with kCancelled and closes the connections. Idempotent.
  virtual void Close() = 0;
};

}  // namespace weir

#endif  // WEIR_WORKER_H_
