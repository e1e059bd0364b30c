// SPDX-License-Identifier: Apache-2.0
#include "ps/at_once_policy.h"

#include "absl/strings/str_cat.h"

namespace weir {

Admission AtOncePolicy::CheckTerms(const char* mode, uint64_t version, const PushTerms& push) {
  if (push.atomicity != Atomicity::kSlice) {
    return {Admission::Kind::kInvalid,
            {},
            version,
            absl::StrCat("not yet: an ", mode,
                         " push that is atomic over its slices; send it with ATOMICITY_SLICE")};
  }
  if (push.base_version > version) {
    return {Admission::Kind::kInvalid,
            {},
            version,
            absl::StrCat("base version ", push.base_version, " is ahead of the slice, which is at ",
                         version)};
  }
  return {};
}

FoldPlan AtOncePolicy::Plan(uint32_t, const PushTerms& push) const {
  FoldPlan plan;
  plan.complete = true;
  plan.examples = push.examples;
  plan.learning_rate = push.learning_rate;
  return plan;
}

std::vector<PushTerms> AtOncePolicy::Take(uint32_t, const PushTerms& push, const FoldPlan&,
                                          Buffer) {
  return {push};
}

}  // namespace weir
