// SPDX-License-Identifier: Apache-2.0
#include "net/completion_loop.h"

#include <grpcpp/alarm.h>
#include <grpcpp/completion_queue.h>
#include <pthread.h>

#include <algorithm>
#include <utility>

namespace weir {
namespace {

using Clock = std::chrono::steady_clock;

gpr_timespec FromNow(absl::Duration wait) {
  const int64_t nanoseconds = std::max<int64_t>(0, absl::ToInt64Nanoseconds(wait));
  return gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC), gpr_time_from_nanos(nanoseconds, GPR_TIMESPAN));
}

}  // namespace

// An alarm that is due at once: its completion brings the thread back from its wait.
class CompletionLoop::WakeTag final : public CompletionTag {
 public:
  explicit WakeTag(CompletionLoop* loop) : loop_(loop) {}
  void Set() { alarm_.Set(loop_->queue(), gpr_now(GPR_CLOCK_MONOTONIC), this); }
  void OnComplete(bool) override {
    const std::unique_ptr<WakeTag> self(this);
    absl::MutexLock lock(&loop_->mu_);
    loop_->waking_ = false;
  }

 private:
  CompletionLoop* const loop_;
  grpc::Alarm alarm_;
};

CompletionLoop::CompletionLoop(Options options)
    : CompletionLoop(std::make_unique<grpc::CompletionQueue>(), std::move(options)) {}

CompletionLoop::CompletionLoop(std::unique_ptr<grpc::CompletionQueue> queue, Options options)
    : options_(std::move(options)), queue_(std::move(queue)) {}

CompletionLoop::~CompletionLoop() { Shutdown(); }

void CompletionLoop::Start() {
  thread_ = std::thread([this] { Run(); });
}

void CompletionLoop::Wake() {
  absl::MutexLock lock(&mu_);  // an alarm must not be set behind the queue's end
  if (waking_ || shut_down_) return;
  waking_ = true;
  (new WakeTag(this))->Set();  // deletes itself when it completes, which it always does
}

void CompletionLoop::Shutdown() {
  {
    absl::MutexLock lock(&mu_);
    if (shut_down_) return;
    shut_down_ = true;
    queue_->Shutdown();
  }
  if (thread_.joinable()) return thread_.join();
  void* tag;
  bool ok;
  while (queue_->Next(&tag, &ok)) static_cast<CompletionTag*>(tag)->OnComplete(ok);
}

void CompletionLoop::Run() {
  thread_id_ = std::this_thread::get_id();
  pthread_setname_np(pthread_self(), options_.thread_name.substr(0, 15).c_str());
  void* tag = nullptr;
  bool ok = false;
  bool timed_out = false;
  while (Next(&tag, &ok, &timed_out)) {
    if (!timed_out) static_cast<CompletionTag*>(tag)->OnComplete(ok);
    if (options_.tick && options_.next_tick() <= absl::ZeroDuration()) options_.tick();
  }
}

// False: the queue has been shut down and is empty.
bool CompletionLoop::Next(void** tag, bool* ok, bool* timed_out) {
  using Status = grpc::CompletionQueue::NextStatus;
  const absl::Duration wait = options_.tick ? options_.next_tick() : absl::InfiniteDuration();
  Status status = Status::TIMEOUT;
  const absl::Duration spin = absl::Nanoseconds(spin_ns_.load(std::memory_order_relaxed));
  if (spin > absl::ZeroDuration()) {
    const Clock::time_point end = Clock::now() + absl::ToChronoNanoseconds(std::min(wait, spin));
    do {
      status = queue_->AsyncNext(tag, ok, gpr_time_0(GPR_CLOCK_MONOTONIC));
    } while (status == Status::TIMEOUT && Clock::now() < end);
  }
  if (status == Status::TIMEOUT) {
    status = wait == absl::InfiniteDuration()
                 ? (queue_->Next(tag, ok) ? Status::GOT_EVENT : Status::SHUTDOWN)
                 : queue_->AsyncNext(tag, ok, FromNow(wait));
  }
  *timed_out = status == Status::TIMEOUT;
  return status != Status::SHUTDOWN;
}

}  // namespace weir
