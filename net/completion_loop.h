// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_NET_COMPLETION_LOOP_H_
#define WEIR_NET_COMPLETION_LOOP_H_

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"

namespace grpc {
class CompletionQueue;
}

namespace weir {

// The tag of one operation of gRPC: told, once, on the loop's thread, that it has ended.
class CompletionTag {
 public:
  virtual void OnComplete(bool ok) = 0;

 protected:
  ~CompletionTag() = default;
};

// A member function as a tag.
template <typename T, void (T::*kMethod)(bool)>
class MemberTag final : public CompletionTag {
 public:
  explicit MemberTag(T* object) : object_(object) {}
  void OnComplete(bool ok) override { (object_->*kMethod)(ok); }

 private:
  T* const object_;
};

// A completion queue of gRPC and the thread that waits on it, reads its sockets, and runs what is
// done.
//
// Why not gRPC's own callback threads: in gRPC 1.51 every thread that waits for anything shares one
// epoll set, and whichever it wakes reads the socket and hands the message on. With one thread that
// waits, a message is received, handled and answered where it arrived. (Measured: docs/
// performance.md. A process that also has callback or synchronous services loses a third.)
//
// Owns the queue and the thread. Self-synchronised.
class CompletionLoop {
 public:
  struct Options {
    std::string thread_name = "weir-loop";  // at most 15 bytes
    // Optional: what to call when, on the loop's thread. `next_tick` tells the time from now until
    // `tick` is due; called after every completion, it must be cheap.
    std::function<absl::Duration()> next_tick;
    std::function<void()> tick;
  };

  // With a queue of its own, for clients.
  explicit CompletionLoop(Options options);
  // `queue`: a ServerCompletionQueue of the server's builder.
  CompletionLoop(std::unique_ptr<grpc::CompletionQueue> queue, Options options);
  // Shutdown.
  ~CompletionLoop();
  CompletionLoop(const CompletionLoop&) = delete;
  CompletionLoop& operator=(const CompletionLoop&) = delete;

  grpc::CompletionQueue* queue() { return queue_.get(); }

  // Starts the thread. Once.
  void Start();

  // How long to look for the next completion before sleeping; zero, as it is at first: not at all.
  // See net/spin.h.
  void set_spin(absl::Duration spin) { spin_ns_ = absl::ToInt64Nanoseconds(spin); }

  // Makes the loop ask next_tick again, when it is now earlier than it was. No-op once Shutdown.
  void Wake();

  // True on the loop's thread.
  bool OnThread() const { return std::this_thread::get_id() == thread_id_.load(); }

  // Runs what is still to complete, ends the thread and waits for it. REQUIRES: no operation is
  // started on the queue from now on, but from within tags; not on the loop's thread. Idempotent.
  void Shutdown();

 private:
  class WakeTag;

  void Run();
  bool Next(void** tag, bool* ok, bool* timed_out);

  const Options options_;
  const std::unique_ptr<grpc::CompletionQueue> queue_;
  std::atomic<std::thread::id> thread_id_{};
  std::atomic<int64_t> spin_ns_{0};  // read by the thread before each wait

  absl::Mutex mu_;
  bool waking_ ABSL_GUARDED_BY(mu_) = false;
  bool shut_down_ ABSL_GUARDED_BY(mu_) = false;

  std::thread thread_;  // started by Start, joined by Shutdown
};

}  // namespace weir

#endif  // WEIR_NET_COMPLETION_LOOP_H_
