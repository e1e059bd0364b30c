// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_TESTS_SIM_EVENT_QUEUE_H_
#define WEIR_TESTS_SIM_EVENT_QUEUE_H_

#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/time/time.h"

namespace weir::sim {

// The virtual clock and what is to happen when: events run in the order of their times, those of
// one time in the order in which they were added. Time stands still while an event runs.
class EventQueue {
 public:
  using Action = absl::AnyInvocable<void()>;

  absl::Time now() const { return now_; }
  // Microseconds since the start.
  uint64_t micros() const {
    return static_cast<uint64_t>(absl::ToInt64Microseconds(now_ - kStart));
  }
  uint64_t events() const { return events_; }
  bool empty() const { return heap_.empty(); }

  // An action due in the past runs now.
  void At(absl::Time when, Action action) {
    heap_.push_back({std::max(when, now_), next_++, std::move(action)});
    std::push_heap(heap_.begin(), heap_.end(), Later);
  }
  void After(absl::Duration wait, Action action) { At(now_ + wait, std::move(action)); }

  // REQUIRES: !empty().
  void RunNext() {
    std::pop_heap(heap_.begin(), heap_.end(), Later);
    Event event = std::move(heap_.back());
    heap_.pop_back();
    now_ = event.when;
    ++events_;
    event.action();
  }

 private:
  struct Event {
    absl::Time when;
    uint64_t number = 0;
    Action action;
  };
  static bool Later(const Event& a, const Event& b) {
    return a.when != b.when ? a.when > b.when : a.number > b.number;
  }

  static constexpr absl::Time kStart = absl::UnixEpoch();
  absl::Time now_ = kStart;
  uint64_t next_ = 0;
  uint64_t events_ = 0;
  std::vector<Event> heap_;
};

}  // namespace weir::sim

#endif  // WEIR_TESTS_SIM_EVENT_QUEUE_H_
