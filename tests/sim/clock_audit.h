// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_TESTS_SIM_CLOCK_AUDIT_H_
#define WEIR_TESTS_SIM_CLOCK_AUDIT_H_

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <utility>

#include "core/roster.h"
#include "tests/sim/world.h"

namespace weir::sim {

// Holds one shard to the promises of ssp, from what the workers sent and what was committed:
// - an applied push is of a step at most s ahead of every member's clock on its slice;
// - values go only to who is at most s ahead of every member's clock there, and no push of a step
//   that the reader was promised comes later;
// - each step of a worker counts exactly once on a slice, in order, whoever of its incarnations
//   pushes it; and a successor is told to go on with the step that was begun.
//
// A member's clock on a slice: the steps of it that were applied there, or what it has said, in a
// push or a read, that it has finished.
class ClockAudit {
 public:
  ClockAudit(World* world, uint32_t shard);

  void Installing();
  void Told(const Roster& roster);
  void Left(uint64_t worker) { left_.insert(worker); }
  // A hello of a newer incarnation, or the first, was answered; `clock` is what it was told.
  void Greeted(uint64_t worker, uint64_t clock, bool is_successor);
  // An honest worker has named this step.
  void Claimed(uint64_t worker, uint64_t clock);
  void Applied(size_t slice, const SentPush& push);
  // Values of the slice go to whoever is at `clock`.
  void Read(size_t slice, uint64_t clock);

  uint64_t clock(uint64_t worker, size_t slice) const;
  // At which a worker reads: `named`, or what is known of it. Of a successor that has named no step
  // yet: what its predecessor said.
  uint64_t ReadingClock(uint64_t worker, size_t slice, uint64_t named) const;
  uint64_t claimed(uint64_t worker) const;
  // Whether a push of `step` is too far ahead now.
  bool Exceeds(size_t slice, uint64_t step) const;

 private:
  template <typename Sentence>
  void Expect(Promise promise, bool holds, Sentence sentence);
  bool Counts(uint32_t rank) const;
  uint64_t bound() const { return *world_->scenario.shard.max_staleness; }

  World* const world_;
  const uint32_t shard_;
  Roster roster_;
  std::set<uint64_t> left_;
  std::set<uint64_t> heirs_;
  std::map<uint64_t, uint64_t> claimed_;
  std::map<std::pair<uint64_t, size_t>, uint64_t> ended_;     // steps applied, by (worker, slice)
  std::map<std::pair<uint64_t, size_t>, uint64_t> promised_;  // the same: of steps below, a reader
                                                              // has everything
};

}  // namespace weir::sim

#endif  // WEIR_TESTS_SIM_CLOCK_AUDIT_H_
