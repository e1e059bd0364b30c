// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_WORKER_DATA_LOOP_H_
#define WEIR_WORKER_DATA_LOOP_H_

#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "core/buffer.h"
#include "core/layout.h"
#include "core/transport.h"
#include "net/completion_loop.h"
#include "net/session_client.h"
#include "net/shm_runtime.h"
#include "weir/worker.h"
#include "worker/client.h"

namespace weir {

// Runs a Client: brings events to it one at a time and carries its effects out.
//
// There is one *turn*, and only the thread that has it touches the client. Whoever brings an event
// (a caller, or the thread of the loop or of shared memory with a frame) puts it into the mailbox
// and, if nobody has the turn, takes it: a call is cut into frames on the caller's thread, and
// values are brought to their place on the thread that received them, without a hand-over. A caller
// handles few events of others beside its own, SetLayout, Stop, Log and WaitsFor none; the rest is
// the loop's.
//
// Owns the client, its buffer pool, the streams to the shards and the CompletionLoop that runs
// them, one thread, "weir-data". Every method may be called from any thread and none waits, but for
// Close. The mailbox holds at most kMaxMail events and of each server max_waiting_bytes: a call
// beyond is refused, a server that fills it is disconnected. Values can be lent only by a loop that
// a shared_ptr owns: they tell it when they are let go of.
class DataLoop : public std::enable_shared_from_this<DataLoop> {
 public:
  struct Options {
    ClientOptions client;
    // Asks for a layout newer than this epoch; SetLayout answers. Called in the turn: must not
    // wait.
    std::function<void(uint64_t newer_than)> fetch_layout;
    // May be empty. Called in the turn.
    std::function<void(LogLevel, const std::string&)> log;
    // For sessions that may travel in shared memory; borrowed, outlives the loop. Null: none does.
    ShmRuntime* shm = nullptr;
    // Of the frames of one shard in the mailbox, encoded. More than any shard lets a client ask for
    // at once.
    uint64_t max_waiting_bytes = uint64_t{320} << 20;
  };
  // Starts a call of the client under the id given.
  using Begin =
      std::function<void(Client& client, uint64_t call, absl::Time now, ClientEffects* effects)>;
  // Told how a call ended, in the turn (or, when the loop is closed or its mailbox full, on the
  // caller's thread).
  using Done = std::function<void(CompleteEffect& end)>;

  // Twice the answers of the largest sync, one a slice.
  static constexpr size_t kMaxMail = 2 * kMaxSlices;

  explicit DataLoop(Options options);
  ~DataLoop();  // Close
  DataLoop(const DataLoop&) = delete;
  DataLoop& operator=(const DataLoop&) = delete;

  // Makes a call; `done` is called exactly once. Returns the call's id, for Cancel.
  uint64_t Call(Begin begin, Done done);
  void Cancel(uint64_t call);
  void SetLayout(Layout layout);
  // Of the threads that bring frames; see net/spin.h.
  void SetSpin(absl::Duration spin);
  // Ends every call, now and from now on, with `why`.
  void Stop(Status why);
  void Log(LogLevel level, std::string text);
  // As it was when a call last ended.
  PayloadTraffic traffic() const;
  // Whom the calls waited for when this was last asked; asks again.
  std::string WaitsFor();

  // Stop, closes the streams and joins the thread. Idempotent. Not from within the turn.
  void Close();

 private:
  using Event = std::function<void(absl::Time now, ClientEffects* effects)>;
  class Connection;

  // False when the mailbox is full or closed. `events`: see Drive.
  bool Post(Event event, size_t events);
  // For the few events that must not be lost: one a call, a connection or a layout. Dropped when
  // closed.
  void PostAlways(Event event, size_t events);
  Status RefusedCall() const;
  // Takes the turn if it is free and there is mail.
  bool TryTakeTurn() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  // Of the completion loop: how long until Tick, which handles what is due or left behind.
  absl::Duration UntilTick();
  void Tick();

  // REQUIRES, for all that follow: this thread has the turn.
  // Handles at most `events` events and gives the turn back.
  void Drive(size_t events);
  void CarryOut(ClientEffects* effects);
  // Lets what the caller is lent tell when it is let go of.
  void Watch(CompleteEffect* end);
  // UNAVAILABLE: a Unix socket that is not there, or not safe to use.
  absl::Status Open(const ConnectEffect& connect);
  void Send(SendEffect* send);
  void Greeted(uint64_t connection);
  void OnClosed(uint64_t connection, const absl::Status& why, absl::Time now,
                ClientEffects* effects);
  absl::Status Flooded() const;  // what is said of a connection that DropFlooding ends
  void DropFlooding();
  void Say(LogLevel level, const std::string& text);

  const Options options_;

  // Of whoever has the turn.
  BufferPool pool_;
  Client client_;
  ClientEffects effects_;
  std::map<uint64_t, std::unique_ptr<Connection>> connections_;
  std::map<uint32_t, std::string> ways_;  // by shard, as last said
  std::set<uint32_t> without_shm_;        // shards whose sessions it has broken
  std::map<uint64_t, Done> done_;

  std::atomic<uint64_t> next_call_{1};  // only unique
  mutable absl::Mutex mu_;
  std::deque<Event> mail_ ABSL_GUARDED_BY(mu_);
  bool turn_ ABSL_GUARDED_BY(mu_) = false;  // somebody has it
  // While nobody has the turn: when the client's next tick is due. And until when the loop sleeps.
  absl::Time due_ ABSL_GUARDED_BY(mu_) = absl::InfiniteFuture();
  absl::Time sleeps_until_ ABSL_GUARDED_BY(mu_) = absl::InfiniteFuture();
  bool closing_ ABSL_GUARDED_BY(mu_) = false;
  std::string waits_for_ ABSL_GUARDED_BY(mu_);
  PayloadTraffic traffic_ ABSL_GUARDED_BY(mu_);

  absl::Mutex close_mu_;  // one Close at a time
  CompletionLoop loop_;   // self-synchronised; the first to go
};

}  // namespace weir

#endif  // WEIR_WORKER_DATA_LOOP_H_
