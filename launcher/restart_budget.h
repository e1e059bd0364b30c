// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_LAUNCHER_RESTART_BUDGET_H_
#define WEIR_LAUNCHER_RESTART_BUDGET_H_

#include <cstdint>
#include <deque>
#include <optional>

#include "absl/time/time.h"

namespace weir {

// How often, and how soon, a lost member is replaced.
struct RestartRules {
  uint32_t limit = 0;  // replacements of one place within `window`; 0: none
  absl::Duration window = absl::Minutes(10);
  // The first replacement within the window starts at once, the second after `backoff`, and each
  // further one after twice as long, at most kLongestBackoff.
  absl::Duration backoff = absl::Seconds(1);

  static constexpr absl::Duration kLongestBackoff = absl::Seconds(30);
};

// The replacements of one place in a job. Deterministic; time is handed in and does not go back.
// Memory: one time a replacement within the window.
class RestartBudget {
 public:
  // The holder of the place was lost at `now`. How long to wait before its successor is started, or
  // nothing when the limit is reached: then it is not to be replaced.
  std::optional<absl::Duration> OnLoss(const RestartRules& rules, absl::Time now);

  // Replacements granted so far, those beyond the window included.
  uint64_t granted() const { return granted_; }

 private:
  std::deque<absl::Time> recent_;  // when they were granted, within the window
  uint64_t granted_ = 0;
};

}  // namespace weir

#endif  // WEIR_LAUNCHER_RESTART_BUDGET_H_
