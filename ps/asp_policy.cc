// SPDX-License-Identifier: Apache-2.0
#include "ps/asp_policy.h"

#include "absl/strings/str_cat.h"

namespace weir {

Admission AspPolicy::Admit(uint32_t, uint64_t version, const PushTerms& push) const {
  if (push.atomicity != Atomicity::kSlice) {
    return {Admission::Kind::kInvalid,
            {},
            version,
            "not yet: an asp push that is atomic over its slices; send it with ATOMICITY_SLICE"};
  }
  if (push.base_version > version) {
    return {Admission::Kind::kInvalid,
            {},
            version,
            absl::StrCat("base version ", push.base_version, " is ahead of the slice, which is at ",
                         version)};
  }
  if (max_staleness_.has_value() && version - push.base_version > *max_staleness_) {
    return {Admission::Kind::kStale,
            {},
            version,
            absl::StrCat("base version ", push.base_version, " is ", version - push.base_version,
                         " behind ", version, "; at most ", *max_staleness_, " is allowed")};
  }
  return {};
}

FoldPlan AspPolicy::Plan(uint32_t, const PushTerms& push) const {
  FoldPlan plan;
  plan.complete = true;
  plan.examples = push.examples;
  plan.learning_rate = push.learning_rate;
  return plan;
}

std::vector<PushTerms> AspPolicy::Take(uint32_t, const PushTerms& push, const FoldPlan&, Buffer) {
  return {push};
}

std::string AspPolicy::WaitsFor(uint32_t, uint64_t) const { return ""; }

}  // namespace weir
