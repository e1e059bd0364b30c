// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_PS_POLICY_H_
#define WEIR_PS_POLICY_H_

#include <cstdint>
#include <string>
#include <vector>

#include "core/buffer.h"
#include "core/part_tree.h"
#include "net/frame.h"
#include "ps/job.h"
#include "ps/push_ledger.h"

namespace weir {

// What a policy needs to know of the push of one slice.
struct PushTerms {
  PushId id;
  uint64_t batch = 0;
  uint64_t base_version = 0;
  uint64_t step = 0;
  PartBlock block;           // bsp
  uint64_t examples = 0;     // 0: skip
  double learning_rate = 0;  // 0: the schedule's
  Atomicity atomicity = Atomicity::kUnspecified;
};

// What is to become of a push.
struct Admission {
  enum class Kind {
    kTake,       // compute its plan, then Take
    kAttach,     // this very push is held already: its answer goes to the newer request
    kDuplicate,  // it stands already: `first` is how (kApplied, or kPending while held), `version`
                 // what it made
    kStale,      // its base is too old
    kInvalid,    // `reason`
  };
  Kind kind = Kind::kTake;
  Outcome first = Outcome::kUnspecified;
  uint64_t version = 0;
  std::string reason;
};

// The arithmetic of a push that is taken.
struct FoldPlan {
  std::vector<Addend> addends;  // held sums to fold it with, from the leaves to the root; parts
                                // without examples left out
  bool complete = false;        // the sum is all that the next version waits for: apply it
  uint64_t examples = 0;        // complete: of the whole commit; the sum is scaled by 1 / examples
  double learning_rate = 0;     // complete: overrides the schedule's; 0: does not
};

// A consistency mode: when a push is admitted, and when the version after it is made. One object
// serves all slices of a shard; slices do not influence each other. The shard asks about a slice
// only while none of its jobs runs, so versions are final. Deterministic: no lock, no I/O, no
// clock. REQUIRES throughout: slice < slices.
class Policy {
 public:
  virtual ~Policy() = default;

  // What to do with a push of `slice`, whose current version is `version`. Changes nothing.
  virtual Admission Admit(uint32_t slice, uint64_t version, const PushTerms& push) const = 0;

  // The arithmetic that it asks for. Changes nothing. REQUIRES: Admit said kTake.
  virtual FoldPlan Plan(uint32_t slice, const PushTerms& push) const = 0;

  // The arithmetic has succeeded. `sum` is what it left: null when no example has a gradient, or
  // when the plan was complete. Returns the pushes that the next version, to be committed now, is
  // made of; none when the plan was not complete. REQUIRES: nothing was taken since Plan.
  virtual std::vector<PushTerms> Take(uint32_t slice, const PushTerms& push, const FoldPlan& plan,
                                      Buffer sum) = 0;

  // Whom the next version of `slice` waits for, a sentence; empty: nobody in particular.
  virtual std::string WaitsFor(uint32_t slice, uint64_t version) const = 0;
};

}  // namespace weir

#endif  // WEIR_PS_POLICY_H_
