// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_PS_CLOCK_TABLE_H_
#define WEIR_PS_CLOCK_TABLE_H_

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <vector>

#include "core/roster.h"

namespace weir {

// The clocks of a job's workers as one shard knows them, and which of the workers count.
//
// A worker's clock is the number of steps that it has finished. A frame that names step t *claims*
// t of them: every push of the worker's earlier steps has ended. A push of step t that is applied
// to a slice ends that step there. So on each slice a worker's clock is what it has claimed, or one
// more; and since no push below it is ever applied (SspPolicy), a bound on clocks is a bound on
// what a reader of the slice can miss. A clock belongs to the place: who takes it over goes on with
// it.
//
// Those count who own a place and are not lost, by the newest roster; before any, ranks 0 to
// workers - 1. One that has left does not count until a successor enters. A rank that no roster had
// before begins where the slowest is, so that nobody waits for steps that were never its own.
//
// Memory: for each worker that has claimed or pushed, a bit a slice. Deterministic; no threads, no
// clock of the machine's. Part of the shard's state.
class ClockTable {
 public:
  explicit ClockTable(uint32_t workers);

  // An epoch begins: every clock is 0 on each of `slices` slices. Who counts stays.
  void Begin(size_t slices);

  // `worker` has finished `clock` steps on every slice; ignored when it has claimed as many before.
  // True: on some slice its clock has grown.
  bool Claim(uint64_t worker, uint64_t clock);
  // The step after those that it has claimed is over on `slice`. REQUIRES: slice < slices.
  void Finish(uint64_t worker, uint32_t slice);

  // What the worker has claimed, which is where a successor goes on; 0: nothing.
  uint64_t claimed(uint64_t worker) const;
  // Its clock on `slice`.
  uint64_t clock(uint64_t worker, uint32_t slice) const;
  // At which clock it reads the slice when it does not say: that one. A successor that has named no
  // step yet: what was claimed, for it has the step to do that its predecessor began, and two of
  // them could else wait for each other.
  uint64_t reading_clock(uint64_t worker, uint32_t slice) const;
  // Its clock on the slice where it is furthest.
  uint64_t furthest(uint64_t worker) const;

  // Ignored unless its generation is greater than that of the one in force.
  void SetRoster(const Roster& roster);
  // The worker is done; it has come, the first of its rank or a successor.
  void Leave(uint64_t worker);
  void Enter(uint64_t worker);

  // Of those that count, the one with the least clock on a slice, the lowest rank first.
  struct Slowest {
    uint64_t worker = 0;
    uint64_t clock = 0;
  };
  // Not set: nobody counts.
  std::optional<Slowest> SlowestOn(uint32_t slice) const;
  // The same by what they have claimed, over all slices.
  std::optional<Slowest> SlowestClaim() const;

 private:
  struct Worker {
    uint64_t claimed = 0;
    uint64_t ended = 0;      // how many of `over` are set
    std::vector<bool> over;  // by slice: the step after those claimed is over there
  };

  const Worker* Find(uint64_t worker) const;
  Worker& Known(uint64_t worker);
  template <typename ClockOf>
  std::optional<Slowest> Least(ClockOf clock_of) const;

  size_t slices_ = 0;
  std::map<uint64_t, Worker> workers_;
  uint64_t generation_ = 0;
  std::vector<uint32_t> members_;  // ranks that count, unless they have left; ascending
  std::set<uint32_t> known_;       // ranks that ever were owners
  std::set<uint64_t> left_;
  std::set<uint64_t> heirs_;  // successors that have named no step yet
};

}  // namespace weir

#endif  // WEIR_PS_CLOCK_TABLE_H_
