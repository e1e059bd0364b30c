// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_PS_AT_ONCE_POLICY_H_
#define WEIR_PS_AT_ONCE_POLICY_H_

#include <cstdint>
#include <vector>

#include "ps/policy.h"

namespace weir {

// The arithmetic of the modes that commit at once: every push that is taken is a version of its
// own. Slices are counted each on its own, so a push must say ATOMICITY_SLICE. Holds nothing.
class AtOncePolicy : public Policy {
 public:
  FoldPlan Plan(uint32_t slice, const PushTerms& push) const override;
  std::vector<PushTerms> Take(uint32_t slice, const PushTerms& push, const FoldPlan& plan,
                              Buffer sum) override;

 protected:
  // kTake, or kInvalid and why no such mode can take the push. `mode` is for the sentence.
  static Admission CheckTerms(const char* mode, uint64_t version, const PushTerms& push);
};

}  // namespace weir

#endif  // WEIR_PS_AT_ONCE_POLICY_H_
