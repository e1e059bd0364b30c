// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_PS_ASP_POLICY_H_
#define WEIR_PS_ASP_POLICY_H_

#include <cstdint>
#include <optional>
#include <string>

#include "ps/at_once_policy.h"

namespace weir {

// Asynchronous: every push is a version of its own, committed at once. With a bound, one whose base
// is more than `max_staleness` versions behind is stale.
class AspPolicy : public AtOncePolicy {
 public:
  explicit AspPolicy(std::optional<uint64_t> max_staleness) : max_staleness_(max_staleness) {}

  Admission Admit(uint32_t slice, uint64_t version, const PushTerms& push) const override;
  std::string WaitsFor(uint32_t slice, uint64_t version) const override;

 private:
  const std::optional<uint64_t> max_staleness_;
};

}  // namespace weir

#endif  // WEIR_PS_ASP_POLICY_H_
