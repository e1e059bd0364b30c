// SPDX-License-Identifier: Apache-2.0
#include "launcher/restart_budget.h"

#include <algorithm>

namespace weir {

std::optional<absl::Duration> RestartBudget::OnLoss(const RestartRules& rules, absl::Time now) {
  while (!recent_.empty() && now - recent_.front() >= rules.window) recent_.pop_front();
  if (recent_.size() >= rules.limit) return std::nullopt;
  absl::Duration delay = recent_.empty() ? absl::ZeroDuration() : rules.backoff;
  for (size_t i = 1; i < recent_.size() && delay < RestartRules::kLongestBackoff; ++i) delay *= 2;
  recent_.push_back(now);
  ++granted_;
  return std::min(delay, absl::Duration(RestartRules::kLongestBackoff));
}

}  // namespace weir
