// SPDX-License-Identifier: Apache-2.0
#include "net/shm_poller.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>

namespace weir {
namespace {

constexpr int kEventsAtOnce = 64;
constexpr uint64_t kWakeId = 0;
constexpr uint64_t kRoundsPerLook = 64;  // at the sockets, while there is other work
// While somebody's time runs, or a peer may let go of payloads without ringing.
constexpr absl::Duration kLongestWait = absl::Seconds(1);

void Pause() { __builtin_ia32_pause(); }

bool Watch(int poll, int fd, uint64_t id) {
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u64 = id;
  return epoll_ctl(poll, EPOLL_CTL_ADD, fd, &event) == 0;
}

int Milliseconds(absl::Duration wait) {
  const absl::Duration whole = absl::Ceil(wait, absl::Milliseconds(1));
  return static_cast<int>(absl::ToInt64Milliseconds(std::min(whole, absl::Hours(1))));
}

}  // namespace

absl::StatusOr<std::unique_ptr<ShmPoller>> ShmPoller::Create(Options options) {
  ShmFd poll(epoll_create1(EPOLL_CLOEXEC));
  ShmFd wake(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!poll || !wake || !Watch(poll.get(), wake.get(), kWakeId)) {
    return absl::ResourceExhaustedError("shared memory: no descriptors are left to wait with");
  }
  return std::unique_ptr<ShmPoller>(
      new ShmPoller(std::move(options), std::move(poll), std::move(wake)));
}

ShmPoller::~ShmPoller() {
  TakeAdded();
  while (!watched_.empty()) {
    End(watched_.begin()->first,
        absl::CancelledError("this process looks after no links any more"));
  }
}

void ShmPoller::Add(std::shared_ptr<ShmLink> link, ShmLinkHandler* handler) {
  Watched watched;
  watched.link = std::move(link);
  watched.handler = handler;
  AddWatched(std::move(watched));
}

void ShmPoller::Listen(std::unique_ptr<ShmListener> listener, OfferHandler handler) {
  Watched watched;
  watched.listener = std::move(listener);
  watched.on_offer = std::move(handler);
  AddWatched(std::move(watched));
}

void ShmPoller::AddWatched(Watched watched) {
  {
    absl::MutexLock lock(&mu_);
    added_.push_back(std::move(watched));
  }
  Wake();
}

void ShmPoller::Wake() {
  woken_.store(true);
  if (!asleep_.load()) return;  // it looks at woken_ after it has said that it sleeps
  const uint64_t one = 1;
  if (write(wake_.get(), &one, sizeof(one)) < 0) return;  // full: it wakes up in any case
}

void ShmPoller::PollOnce(absl::Duration max_wait) {
  const bool woken = woken_.exchange(false);
  if (woken) TakeAdded();
  if (++rounds_ % kRoundsPerLook == 0 && HandleSockets(absl::ZeroDuration())) return;
  if (PollLinks()) {
    if (spin_ns_ > 0) last_work_ = std::chrono::steady_clock::now();
    return;
  }
  if (woken) return;
  if (SpinsOn()) return Pause();
  Sleep(max_wait);
}

void ShmPoller::TakeAdded() {
  std::vector<Watched> added;
  {
    absl::MutexLock lock(&mu_);
    added.swap(added_);
  }
  for (Watched& watched : added) {
    const uint64_t id = ++last_id_;
    const int fd = watched.link ? watched.link->socket() : watched.listener->fd();
    const bool is_link = watched.link != nullptr;
    watched_[id] = std::move(watched);
    if (!Watch(poll_.get(), fd, id) && is_link) {
      End(id, absl::ResourceExhaustedError("shared memory: a link's socket cannot be watched"));
    }
  }
}

bool ShmPoller::PollLinks() {
  bool worked = false;
  std::vector<std::pair<uint64_t, absl::Status>> over;
  for (auto& [id, watched] : watched_) {
    if (watched.link == nullptr) continue;
    const absl::StatusOr<bool> polled = watched.link->Poll(watched.handler);
    if (!polled.ok()) over.emplace_back(id, polled.status());
    worked = worked || !polled.ok() || *polled;
  }
  EndAll(over);
  return worked;
}

bool ShmPoller::HandleSockets(absl::Duration wait) {
  std::array<epoll_event, kEventsAtOnce> events;
  const int count = epoll_wait(poll_.get(), events.data(), kEventsAtOnce, Milliseconds(wait));
  std::vector<std::pair<uint64_t, absl::Status>> over;
  for (int i = 0; i < count; ++i) {
    if (events[i].data.u64 == kWakeId) {
      uint64_t unused;
      if (read(wake_.get(), &unused, sizeof(unused)) < 0) continue;
      continue;
    }
    const auto found = watched_.find(events[i].data.u64);
    if (found == watched_.end() || found->second.link == nullptr) continue;
    const absl::Status status = found->second.link->ReadSocket(found->second.handler);
    if (!status.ok()) over.emplace_back(found->first, status);
  }
  EndAll(over);
  for (auto& [id, watched] : watched_) {
    if (watched.listener == nullptr) continue;
    for (ShmListener::Offer& offer : watched.listener->Run(options_.clock()))
      watched.on_offer(std::move(offer));
  }
  return count > 0;
}

void ShmPoller::Sleep(absl::Duration max_wait) {
  bool quiet = true;
  for (auto& [id, watched] : watched_) {
    if (watched.link != nullptr) {
      quiet = watched.link->PrepareSleep() && quiet;
      if (watched.link->waiting()) max_wait = std::min(max_wait, kLongestWait);
    } else if (watched.listener->waiting()) {
      max_wait = std::min(max_wait, kLongestWait);
    }
  }
  asleep_.store(true);
  if (woken_.load()) quiet = false;
  HandleSockets(quiet ? max_wait : absl::ZeroDuration());
  asleep_.store(false);
  for (auto& [id, watched] : watched_) {
    if (watched.link != nullptr) watched.link->Wake();
  }
}

void ShmPoller::End(uint64_t id, const absl::Status& status) {
  const auto found = watched_.find(id);
  Watched watched = std::move(found->second);
  watched_.erase(found);
  if (watched.link == nullptr) return;
  epoll_ctl(poll_.get(), EPOLL_CTL_DEL, watched.link->socket(), nullptr);
  watched.handler->OnClosed(watched.link->Finish(status, watched.handler));
}

void ShmPoller::EndAll(const std::vector<std::pair<uint64_t, absl::Status>>& over) {
  for (const auto& [id, status] : over) {
    if (watched_.count(id) != 0) End(id, status);
  }
}

bool ShmPoller::SpinsOn() {
  const std::chrono::nanoseconds spin(spin_ns_.load(std::memory_order_relaxed));
  return spin.count() > 0 && std::chrono::steady_clock::now() - last_work_ < spin;
}

ShmPollerThread::ShmPollerThread(ShmPoller* poller)
    : poller_(poller), thread_([this] {
        while (!stopping_.load()) poller_->PollOnce(absl::InfiniteDuration());
      }) {}

ShmPollerThread::~ShmPollerThread() {
  stopping_.store(true);
  poller_->Wake();
  thread_.join();
}

}  // namespace weir
