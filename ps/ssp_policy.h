// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_PS_SSP_POLICY_H_
#define WEIR_PS_SSP_POLICY_H_

#include <cstdint>
#include <string>
#include <vector>

#include "ps/at_once_policy.h"
#include "ps/clock_table.h"

namespace weir {

// Bounded by clocks: every push is a version of its own, committed at once, while its worker's
// clock, which is its step, is at most `max_staleness` ahead of the slowest member's.
//
// With s = max_staleness, of each slice: an applied push of step t finds no member's clock below
// t - s; and who reads at clock r (CanRead) misses no push of any member of a step below r - s,
// since those that count have ended these steps there and nothing of an ended step is taken. So a
// worker has one push a step on a slice: a second one is a duplicate of it, whoever sends it, also
// a successor that does not know how far the step had come. Beyond the bound a push is stale: its
// worker reads again, which waits for the slowest, and computes anew.
class SspPolicy : public AtOncePolicy {
 public:
  // `clocks` outlives it. The shard has told it the claim of a push (its step) when Admit is asked;
  // Take ends the step of the push on the slice.
  SspPolicy(uint64_t max_staleness, ClockTable* clocks)
      : max_staleness_(max_staleness), clocks_(clocks) {}

  Admission Admit(uint32_t slice, uint64_t version, const PushTerms& push) const override;
  std::vector<PushTerms> Take(uint32_t slice, const PushTerms& push, const FoldPlan& plan,
                              Buffer sum) override;
  // "worker 3, which is at clock 12": the slowest.
  std::string WaitsFor(uint32_t slice, uint64_t version) const override;

  // Whether whoever is at `clock` may read `slice` now.
  bool CanRead(uint32_t slice, uint64_t clock) const;
  // The clock that the slowest must have reached before that.
  uint64_t ClockAwaited(uint64_t clock) const;
  // Why it must wait: "worker 3 is at clock 12, this reader at 16, and at most 3 ahead is allowed".
  std::string WhyWaiting(uint32_t slice, uint64_t clock) const;

 private:
  const uint64_t max_staleness_;
  ClockTable* const clocks_;
};

}  // namespace weir

#endif  // WEIR_PS_SSP_POLICY_H_
