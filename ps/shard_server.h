// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_PS_SHARD_SERVER_H_
#define WEIR_PS_SHARD_SERVER_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <variant>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "core/arena.h"
#include "core/buffer.h"
#include "net/session_host.h"
#include "ps/job_threads.h"
#include "ps/shard.h"

namespace weir {

// Where the frames of a shard's sessions go: the host of the sessions, or a test.
class SessionOutlet {
 public:
  virtual ~SessionOutlet() = default;
  // As SessionHost::Send and SessionHost::Close. Called under no lock; Send on the thread that has
  // the shard's turn.
  virtual void Send(SessionId id, ServerFrame&& frame) = 0;
  virtual void Close(SessionId id, const absl::Status& status) = 0;
};

// Runs a Shard: brings the events of its sessions to it one at a time and carries its effects out.
//
// There is one *turn*, and only the thread that has it touches the shard. Whoever brings an event
// puts it into the mailbox and, if nobody has the turn, takes it and handles what is there, so that
// a frame is handled, applied and answered on the thread that received it, without a hand-over.
// Nobody waits for the turn but Install, OnRoster, totals and status. What one session may have in
// the mailbox is bounded by its credits, and more closes the session. Jobs run in the turn, between
// events; where there are `job_threads`, large ones wait for these, and the turn runs only what
// they will not come to soon. Not so the job of a frame that came by OnFrame: its gradient has just
// been through the receiver's cache, and over sockets the hand-over cost an eighth of the
// throughput (docs/performance.md). Whoever brings an event has sockets to read, or a lease to
// renew, so that it keeps the turn for a bounded number of rounds; a thread of the server's own,
// "ps-N", handles what is left then, the first weights of a large model say, and keeps the
// deadlines. Time is SteadyNow(). The outlet may call OnSent and OnClosed from within; other
// public methods must not be called from there.
//
// Life: Start; Install when there is a layout; Stop. After Stop events are dropped, totals and
// status stay as they were.
class ShardServer : public SessionHandler {
 public:
  struct Options {
    ShardOptions shard;
    int job_threads = 0;           // beside the turn; see JobThreadsFor
    std::shared_ptr<Arena> arena;  // where weights lie, as far as it reaches; null: the heap
    // Given each cut, in the turn: it must not wait. Not set: Cut must not be called.
    std::function<void(std::shared_ptr<const ShardCut>)> on_cut;
    std::function<absl::Time()> clock;  // for tests; not set: SteadyNow
  };

  // `outlet` is borrowed and outlives the server. INVALID_ARGUMENT: the options, see
  // ValidateShardOptions; job_threads outside 0 to 256.
  static absl::StatusOr<std::unique_ptr<ShardServer>> Create(Options options,
                                                             SessionOutlet* outlet);

  // Stop.
  ~ShardServer() override;
  ShardServer(const ShardServer&) = delete;
  ShardServer& operator=(const ShardServer&) = delete;

  // Starts the threads. FAILED_PRECONDITION: started before.
  absl::Status Start();
  // As Shard::Install. Returns when the shard has taken the layout; `serving()` tells when the
  // first weights are there. May come before Start.
  absl::Status Install(const Layout& layout);
  // As Shard::InstallRestored; otherwise as Install.
  absl::Status InstallRestored(const Layout& layout, const ShardRestore& restore);
  // As Shard::OnCut and OnCutDone.
  absl::Status Cut(uint64_t number);
  void CutDone();
  // As Shard::SetLease; to be called from any thread.
  void SetLease(absl::Time until);
  // As Shard::OnRoster. May come before Start and before there is a layout.
  void OnRoster(const Roster& roster);
  // Handles what is in the mailbox, ends the threads and waits for them. Jobs that are not done are
  // abandoned.
  void Stop();

  bool serving() { return status().serving; }
  ShardTotals totals();
  ShardStatus status();

  void OnOpen(SessionId id, const std::string& peer) override;
  void OnFrame(SessionId id, ClientFrame&& frame, size_t wire_bytes) override;
  void OnSharedFrame(SessionId id, ClientFrame&& frame, size_t wire_bytes) override;
  void OnSent(SessionId id, uint64_t payload_bytes) override;
  void OnClosed(SessionId id) override;

 private:
  struct Opened {
    SessionId id;
  };
  struct Arrived {
    SessionId id;
    ClientFrame frame;
    bool shared;  // came by OnSharedFrame
  };
  struct Taken {
    SessionId id;
    uint64_t payload_bytes;
  };
  struct Ended {
    SessionId id;
  };
  struct JobDone {
    uint64_t job;
    JobResult result;
  };
  struct Call {
    std::function<void()> run;
  };
  using Event = std::variant<Opened, Arrived, Taken, Ended, JobDone, Call>;

  // What one session has in the mailbox.
  struct Load {
    uint64_t frames = 0;
    uint64_t bytes = 0;
  };

  ShardServer(Options options, SessionOutlet* outlet);

  struct Stint;
  void Arrive(Arrived arrived, size_t wire_bytes) ABSL_LOCKS_EXCLUDED(mu_);
  void Post(Event event, const Stint& stint) ABSL_LOCKS_EXCLUDED(mu_);
  absl::Status InstallWith(const Layout& layout, const ShardRestore* restore);
  // Runs `run` in the turn and returns when it has run.
  void RunInTurn(const std::function<void()>& run) ABSL_LOCKS_EXCLUDED(mu_);
  // Takes the turn if it is free and there is something to do.
  bool TryTakeTurn() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  bool HasWork() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    return !mailbox_.empty() || jobs_left_;
  }

  // The thread ps-N.
  void Loop() ABSL_LOCKS_EXCLUDED(mu_);
  absl::Duration Patience() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  // For how long one keeps the turn.
  struct Stint {
    size_t rounds;
    bool is_job_thread;  // which has jobs of its own: what is too much for these is not for it
  };
  static constexpr size_t kAllRounds = ~size_t{0};
  // A caller in a hurry to report that the server lives sees to its own event. One that received a
  // frame also does what that has caused, which is seldom more than a few jobs, and is back at its
  // sockets within some ten milliseconds.
  static constexpr Stint kCallers{1, false};
  static constexpr Stint kReceivers{64, false};
  static constexpr Stint kJobThreads{64, true};
  static constexpr Stint kOwn{kAllRounds, false};

  // REQUIRES, for all that follow: this thread has the turn.
  // Handles events and jobs until there are none, at most `rounds` times all that has come and a
  // job, and gives the turn back.
  void Drive(const Stint& stint) ABSL_LOCKS_EXCLUDED(mu_);
  void GiveTurnBack(const Stint& stint) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Handle(Event event);
  // Has the arena make now what the weights of `layout` will need, up to a bound: shared memory in
  // huge pages can take 2 ms a MiB to make, which would come in the midst of the first steps.
  void Reserve(const Layout& layout);
  void TickIfDue();
  // There is a job to be run in the turn.
  bool HasJob(const Stint& stint) const;
  absl::optional<Job> TakeJob(const Stint& stint);
  void RunOneJob(const Stint& stint);
  // Carries out and clears `effects_`. `shares`: large jobs may wait for the threads.
  void Perform(bool shares);

  const Options options_;
  SessionOutlet* const outlet_;
  BufferPool pool_;

  // Of whoever has the turn.
  Shard shard_;
  Effects effects_;
  std::deque<Job> jobs_;       // to be run in the turn
  std::vector<Event> events_;  // taken from the mailbox

  // The most ever stated to a session; written before it is stated, where the shard is.
  std::atomic<uint64_t> max_requests_;

  mutable absl::Mutex mu_;
  bool turn_ ABSL_GUARDED_BY(mu_) = false;       // somebody has it
  bool jobs_left_ ABSL_GUARDED_BY(mu_) = false;  // while nobody has it: as HasJob when it was left
  // While nobody has the turn: the shard's next deadline; and the one that ps-N waits for.
  absl::Time deadline_ ABSL_GUARDED_BY(mu_) = absl::InfiniteFuture();
  absl::Time awaited_ ABSL_GUARDED_BY(mu_) = absl::InfiniteFuture();
  std::vector<Event> mailbox_ ABSL_GUARDED_BY(mu_);
  absl::flat_hash_map<SessionId, Load> load_ ABSL_GUARDED_BY(mu_);  // of mailbox_; looked up only
  bool started_ ABSL_GUARDED_BY(mu_) = false;
  bool running_ ABSL_GUARDED_BY(mu_) = false;  // from Start until ps-N has ended
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;

  std::thread loop_;  // started by Start, joined by Stop
  std::unique_ptr<JobThreads>
      job_threads_;  // made by Start, before the loop; ended by Stop, after it
};

}  // namespace weir

#endif  // WEIR_PS_SHARD_SERVER_H_
