// SPDX-License-Identifier: Apache-2.0
#include "ps/asp_policy.h"

#include "absl/strings/str_cat.h"

namespace weir {

Admission AspPolicy::Admit(uint32_t, uint64_t version, const PushTerms& push) const {
  Admission admission = CheckTerms("asp", version, push);
  if (admission.kind != Admission::Kind::kTake) return admission;
  if (max_staleness_.has_value() && version - push.base_version > *max_staleness_) {
    return {Admission::Kind::kStale,
            {},
            version,
            absl::StrCat("base version ", push.base_version, " is ", version - push.base_version,
                         " behind ", version, "; at most ", *max_staleness_, " is allowed")};
  }
  return admission;
}

std::string AspPolicy::WaitsFor(uint32_t, uint64_t) const { return ""; }

}  // namespace weir
