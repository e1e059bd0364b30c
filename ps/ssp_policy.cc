// SPDX-License-Identifier: Apache-2.0
#include "ps/ssp_policy.h"

#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"

namespace weir {

Admission SspPolicy::Admit(uint32_t slice, uint64_t version, const PushTerms& push) const {
  using Kind = Admission::Kind;
  Admission admission = CheckTerms("ssp", version, push);
  if (admission.kind != Kind::kTake) return admission;
  const uint64_t worker = push.id.worker;
  if (push.step < clocks_->claimed(worker)) {
    return {Kind::kInvalid,
            {},
            version,
            absl::StrCat("worker ", worker, " has finished ", clocks_->claimed(worker),
                         " steps: a push of step ", push.step, " comes too late")};
  }
  if (push.step < clocks_->clock(worker, slice))
    return {Kind::kDuplicate, Outcome::kApplied, version, ""};
  if (CanRead(slice, push.step)) return admission;
  const ClockTable::Slowest slowest = *clocks_->SlowestOn(slice);
  return {Kind::kStale,
          {},
          version,
          absl::StrCat("worker ", worker, " is at clock ", push.step, ", ",
                       push.step - slowest.clock, " ahead of worker ", slowest.worker, "; at most ",
                       max_staleness_, " is allowed")};
}

std::vector<PushTerms> SspPolicy::Take(uint32_t slice, const PushTerms& push, const FoldPlan& plan,
                                       Buffer sum) {
  clocks_->Finish(push.id.worker, slice);
  return AtOncePolicy::Take(slice, push, plan, std::move(sum));
}

uint64_t SspPolicy::ClockAwaited(uint64_t clock) const {
  return clock > max_staleness_ ? clock - max_staleness_ : 0;
}

bool SspPolicy::CanRead(uint32_t slice, uint64_t clock) const {
  const std::optional<ClockTable::Slowest> slowest = clocks_->SlowestOn(slice);
  return !slowest.has_value() || ClockAwaited(clock) <= slowest->clock;
}

std::string SspPolicy::WaitsFor(uint32_t slice, uint64_t) const {
  const std::optional<ClockTable::Slowest> slowest = clocks_->SlowestOn(slice);
  if (!slowest.has_value()) return "";
  return absl::StrCat("worker ", slowest->worker, ", which is at clock ", slowest->clock);
}

std::string SspPolicy::WhyWaiting(uint32_t slice, uint64_t clock) const {
  const std::optional<ClockTable::Slowest> slowest = clocks_->SlowestOn(slice);
  if (!slowest.has_value()) return "";
  return absl::StrCat("worker ", slowest->worker, " is at clock ", slowest->clock,
                      ", this reader at ", clock, ", and at most ", max_staleness_,
                      " ahead is allowed");
}

}  // namespace weir
