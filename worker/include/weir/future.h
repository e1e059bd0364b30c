// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_FUTURE_H_
#define WEIR_FUTURE_H_

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>

#include "weir/status.h"

namespace weir {

// What a call will come to, and the memory between the one who waits and the one who answers. Not
// used directly.
template <typename T>
class FutureState {
 public:
  // The first answer stands; later ones are dropped.
  void Set(Result<T> result) {
    std::lock_guard<std::mutex> lock(mutex_);
    if (result_) return;
    result_.emplace(std::move(result));
    changed_.notify_all();
  }

  bool Wait(std::chrono::nanoseconds timeout) {
    const auto ended = [this] { return result_.has_value(); };
    const auto now = std::chrono::steady_clock::now();
    std::unique_lock<std::mutex> lock(mutex_);
    if (timeout >= std::chrono::steady_clock::time_point::max() - now) {  // beyond all time
      changed_.wait(lock, ended);
      return true;
    }
    // The addition of a time long gone by would overflow too.
    return changed_.wait_until(lock, now + std::max(timeout, std::chrono::nanoseconds(0)), ended);
  }

  Result<T> Take() {
    std::unique_lock<std::mutex> lock(mutex_);
    changed_.wait(lock, [this] { return result_.has_value(); });
    return std::move(*result_);
  }

  // Set once, before the state is shared.
  std::function<void()> cancel;

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::optional<Result<T>> result_;
};

// A call under way. Every call ends by its deadline, so Get never waits for ever.
//
// Movable. Dropping it does not end the call: memory that was given to the call must stay valid
// until the call has ended, so keep the Future for as long. Thread-safe, but for Get, which is
// called once.
template <typename T>
class Future {
 public:
  Future() = default;
  explicit Future(std::shared_ptr<FutureState<T>> state) : state_(std::move(state)) {}
  Future(Future&&) noexcept = default;
  Future& operator=(Future&&) noexcept = default;

  // False for a default-constructed Future and after Get.
  bool valid() const { return state_ != nullptr; }

  // True when the call has ended: Get returns at once. REQUIRES: valid().
  bool Ready() const { return state_->Wait(std::chrono::nanoseconds(0)); }

  // Waits until the call has ended, at most `timeout`. True when it has. REQUIRES: valid().
  bool Wait(std::chrono::nanoseconds timeout) const { return state_->Wait(timeout); }

  // Waits for the end of the call and returns what it came to. Once. REQUIRES: valid().
  Result<T> Get() {
    std::shared_ptr<FutureState<T>> state = std::move(state_);
    state_.reset();
    return state->Take();
  }

  // Asks the call to end early with StatusCode::kCancelled. It may end otherwise; a push may still
  // be applied. Memory given to the call stays in use until the Future is ready.
  void Cancel() {
    if (state_ != nullptr && state_->cancel) state_->cancel();
  }

 private:
  std::shared_ptr<FutureState<T>> state_;
};

}  // namespace weir

#endif  // WEIR_FUTURE_H_
