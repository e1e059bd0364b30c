// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_CORE_STEADY_CLOCK_H_
#define WEIR_CORE_STEADY_CLOCK_H_

#include <time.h>

#include "absl/time/time.h"

namespace weir {

// The time of the events that the state machines are given, and by which leases are judged.
//
// It counts from when the machine was started, not from 1970: for differences only, in one process.
// It never goes back, whoever sets the wall clock, and it goes on while the process is stopped and
// while the machine is suspended: else a lease would seem to go on that everybody else has seen
// end. (CLOCK_MONOTONIC stands still meanwhile.) Dates for people and names of files are wall time.
inline absl::Time SteadyNow() {
  timespec now{};
  clock_gettime(CLOCK_BOOTTIME, &now);  // cannot fail: every Linux that runs this has it
  return absl::TimeFromTimespec(now);
}

}  // namespace weir

#endif  // WEIR_CORE_STEADY_CLOCK_H_
