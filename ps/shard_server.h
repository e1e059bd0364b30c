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
#include "core/buffer.h"
#include "net/session_host.h"
#include "ps/job_threads.h"
#include "ps/shard.h"

namespace weir {

// Where the frames of a shard's sessions go: the host of the sessions, or a test.
class SessionOutlet {
 public:
  virtual ~SessionOutlet() = default;
  // As SessionHost::Send and SessionHost::Close. Called under no lock, on the loop's thread; Close
  // also on the thread that brings a session's frame.
  virtual void Send(SessionId id, ServerFrame&& frame) = 0;
  virtual void Close(SessionId id, const absl::Status& status) = 0;
};

// Runs a Shard: brings the events of its sessions to it one at a time and carries its effects out.
//
// One thread, the loop, owns the shard. Sessions post to its mailbox and never wait; what one
// session may have in the mailbox is bounded by its credits, and more closes the session. Jobs run
// on the loop, between events, or on `job_threads` threads. Time is a steady clock. Public methods
// may be called on any thread but the loop's.
//
// Life: Start; Install when there is a layout; Stop. After Stop events are dropped, totals and
// status stay as they were.
class ShardServer : public SessionHandler {
 public:
  struct Options {
    ShardOptions shard;
    int job_threads = 0;                // 0: jobs run on the loop
    std::function<absl::Time()> clock;  // for tests; not set: steady, and it must not go back
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
  // Handles what is in the mailbox, ends the threads and waits for them. Jobs that are out are
  // abandoned.
  void Stop();

  bool serving() { return status().serving; }
  ShardTotals totals();
  ShardStatus status();

  void OnOpen(SessionId id, const std::string& peer) override;
  void OnFrame(SessionId id, ClientFrame&& frame, size_t wire_bytes) override;
  void OnSent(SessionId id, uint64_t payload_bytes) override;
  void OnClosed(SessionId id) override;

 private:
  struct Opened {
    SessionId id;
  };
  struct Arrived {
    SessionId id;
    ClientFrame frame;
  };
  struct Taken {
    SessionId id;
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

  void Post(Event event) ABSL_LOCKS_EXCLUDED(mu_);
  // Runs `run` where it alone may touch the shard, and returns when it has run.
  void RunOnLoop(const std::function<void()>& run) ABSL_LOCKS_EXCLUDED(mu_);

  // The loop. Only it calls what follows, or RunOnLoop while there is none.
  void Loop();
  // Waits until there is something to do; takes the mailbox. False: stopped, and the mailbox was
  // empty.
  bool TakeEvents(std::vector<Event>* events) ABSL_LOCKS_EXCLUDED(mu_);
  void Handle(Event event);
  void TickIfDue();
  void RunOneJob();
  // Carries out and clears `effects_`.
  void Perform();

  const Options options_;
  SessionOutlet* const outlet_;
  BufferPool pool_;

  // The loop's, from Start until it has ended; before and after, whoever holds mu_.
  Shard shard_;
  Effects effects_;
  std::deque<Job> jobs_;  // to be run on the loop

  // The most ever stated to a session; written before it is stated, where the shard is.
  std::atomic<uint64_t> max_requests_;

  absl::Mutex mu_;
  std::vector<Event> mailbox_ ABSL_GUARDED_BY(mu_);
  absl::flat_hash_map<SessionId, Load> load_ ABSL_GUARDED_BY(mu_);  // of mailbox_; looked up only
  bool started_ ABSL_GUARDED_BY(mu_) = false;
  bool running_ ABSL_GUARDED_BY(mu_) = false;
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;

  std::thread loop_;  // started by Start, joined by Stop
  std::unique_ptr<JobThreads>
      job_threads_;  // made by Start, before the loop; ended by Stop, after it
};

}  // namespace weir

#endif  // WEIR_PS_SHARD_SERVER_H_
