// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_PS_BSP_POLICY_H_
#define WEIR_PS_BSP_POLICY_H_

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "ps/policy.h"

namespace weir {

// Synchronous: version v of a slice becomes v + 1 when every part of step v is in, summed in the
// fixed tree over G parts.
//
// A part counts once, whoever sends it: one that is held or committed is a duplicate. A push holds
// one block of the tree; its payload is folded with the sums next to it as soon as these are there,
// so at most one sum a block is kept, and the same bits come out whatever the order. Memory: the
// sums of the open step, at most one a part, and one record a push held.
class BspPolicy : public Policy {
 public:
  // REQUIRES: 1 <= gradient_shards <= kMaxParts.
  BspPolicy(uint32_t gradient_shards, size_t slices);

  Admission Admit(uint32_t slice, uint64_t version, const PushTerms& push) const override;
  FoldPlan Plan(uint32_t slice, const PushTerms& push) const override;
  std::vector<PushTerms> Take(uint32_t slice, const PushTerms& push, const FoldPlan& plan,
                              Buffer sum) override;
  // "step 7 waits for parts 2 to 3 (last held by worker 1), part 5 (never seen)".
  std::string WaitsFor(uint32_t slice, uint64_t version) const override;

 private:
  // The step that a slice collects.
  struct OpenStep {
    explicit OpenStep(uint32_t parts) : tree(parts) {}
    PartTree tree;
    std::map<uint32_t, Buffer>
        sums;  // by first part of a held block; none: no example in it has a gradient
    std::vector<PushTerms> pushes;  // held, in the order taken
    uint64_t examples = 0;
    double learning_rate = 0;  // from the push that holds part 0
  };

  // Who has last pushed a part, on any slice: for the sentence only.
  struct Holder {
    bool known = false;
    uint64_t worker = 0;
  };

  Admission AdmitOpen(const OpenStep& open, uint64_t version, const PushTerms& push) const;

  const uint32_t gradient_shards_;
  std::vector<OpenStep> open_;   // by slice
  std::vector<Holder> holders_;  // by part
};

}  // namespace weir

#endif  // WEIR_PS_BSP_POLICY_H_
