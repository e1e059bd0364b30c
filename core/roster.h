// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_CORE_ROSTER_H_
#define WEIR_CORE_ROSTER_H_

#include <cstdint>
#include <vector>

namespace weir {

// Which workers count in a job at one moment, as its Membership says and servers and workers are
// told with their heartbeats' answers.
//
// A step's parts are divided among `owners`: the i-th of n computes AssignedParts(i, n, G). In a
// mode bounded by clocks the slowest of them that is not in `lost` is the one that others must not
// leave behind. Both hold ranks, ascending, each once; `lost` is within `owners`.
struct Roster {
  uint64_t generation = 0;       // grows with every change; 0: none has been told yet
  std::vector<uint32_t> owners;  // places whose process works, has not joined yet, is awaited
                                 // again, or left when its steps were done; not one that left
                                 // before, or that will not be replaced
  std::vector<uint32_t> lost;    // owners whose process has died, or let its lease run out, and
                                 // whose successor has not joined yet
};

inline bool operator==(const Roster& a, const Roster& b) {
  return a.generation == b.generation && a.owners == b.owners && a.lost == b.lost;
}
inline bool operator!=(const Roster& a, const Roster& b) { return !(a == b); }

}  // namespace weir

#endif  // WEIR_CORE_ROSTER_H_
