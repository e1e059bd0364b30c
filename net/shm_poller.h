// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_NET_SHM_POLLER_H_
#define WEIR_NET_SHM_POLLER_H_

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "net/shm_fd.h"
#include "net/shm_link.h"
#include "net/shm_listener.h"

namespace weir {

// Looks after all links and listeners of a process, on the one thread that calls PollOnce: hands
// frames to the links' handlers, and when there is nothing to do for `spin` waits until a peer
// rings or Wake is called. Add, Listen and Wake may be called on any thread, also within handlers.
class ShmPoller {
 public:
  using OfferHandler = std::function<void(ShmListener::Offer offer)>;

  struct Options {
    // What a listener is told; does not go back.
    std::function<absl::Time()> clock = [] {
      return absl::FromChrono(std::chrono::system_clock::time_point(
          std::chrono::duration_cast<std::chrono::system_clock::duration>(
              std::chrono::steady_clock::now().time_since_epoch())));
    };
  };

  // RESOURCE_EXHAUSTED: there are no descriptors for it.
  static absl::StatusOr<std::unique_ptr<ShmPoller>> Create(Options options);
  // Ends what links there are, with CANCELLED. REQUIRES: nobody polls any more.
  ~ShmPoller();
  ShmPoller(const ShmPoller&) = delete;
  ShmPoller& operator=(const ShmPoller&) = delete;

  // Begins to look after a link. `handler` lives until its OnClosed has returned.
  void Add(std::shared_ptr<ShmLink> link, ShmLinkHandler* handler) ABSL_LOCKS_EXCLUDED(mu_);
  // Begins to listen; `handler` gets the offers, on the polling thread.
  void Listen(std::unique_ptr<ShmListener> listener, OfferHandler handler) ABSL_LOCKS_EXCLUDED(mu_);
  // Makes the present or the next PollOnce return soon.
  void Wake();
  // See net/spin.h; zero at first. Any thread.
  void set_spin(absl::Duration spin) { spin_ns_ = absl::ToInt64Nanoseconds(spin); }

  // Does what there is to do, but only a bounded part of it, and returns. When there is nothing,
  // waits for it: for at most `max_wait`, without sleeping as long as there was something within
  // the last `spin`.
  void PollOnce(absl::Duration max_wait);

 private:
  struct Watched {
    std::shared_ptr<ShmLink> link;  // either these
    ShmLinkHandler* handler = nullptr;
    std::unique_ptr<ShmListener> listener;  // or these
    OfferHandler on_offer;
  };

  ShmPoller(Options options, ShmFd poll, ShmFd wake)
      : options_(std::move(options)), poll_(std::move(poll)), wake_(std::move(wake)) {}

  void AddWatched(Watched watched) ABSL_LOCKS_EXCLUDED(mu_);
  void TakeAdded() ABSL_LOCKS_EXCLUDED(mu_);
  bool PollLinks();
  // Waits for messages of the sockets for at most `wait` and handles them. False: none came.
  bool HandleSockets(absl::Duration wait);
  void Sleep(absl::Duration max_wait);
  void End(uint64_t id, const absl::Status& status);
  // Ends links that turned out to be over while others were being looked at.
  void EndAll(const std::vector<std::pair<uint64_t, absl::Status>>& over);
  bool SpinsOn();

  const Options options_;
  const ShmFd poll_;
  const ShmFd wake_;  // this process's alone

  std::atomic<bool> woken_{false};  // there is something in added_, or Wake was called
  std::atomic<bool> asleep_{false};
  std::atomic<int64_t> spin_ns_{0};

  absl::Mutex mu_;
  std::vector<Watched> added_ ABSL_GUARDED_BY(mu_);

  // The polling thread's.
  std::map<uint64_t, Watched> watched_;
  uint64_t last_id_ = 0;
  uint64_t rounds_ = 0;
  std::chrono::steady_clock::time_point last_work_;
};

// A thread that polls until it is destroyed.
class ShmPollerThread {
 public:
  explicit ShmPollerThread(ShmPoller* poller);
  ~ShmPollerThread();
  ShmPollerThread(const ShmPollerThread&) = delete;
  ShmPollerThread& operator=(const ShmPollerThread&) = delete;

 private:
  ShmPoller* const poller_;
  std::atomic<bool> stopping_{false};
  std::thread thread_;
};

}  // namespace weir

#endif  // WEIR_NET_SHM_POLLER_H_
