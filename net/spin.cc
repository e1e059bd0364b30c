// SPDX-License-Identifier: Apache-2.0
#include "net/spin.h"

#include <sched.h>

namespace weir {

int UsableCores() {
  cpu_set_t cores;
  CPU_ZERO(&cores);
  if (sched_getaffinity(0, sizeof(cores), &cores) != 0) return 1;
  return CPU_COUNT(&cores);
}

absl::Duration SpinTime(absl::Duration asked, int usable_cores, uint64_t spinners) {
  return static_cast<uint64_t>(usable_cores) < spinners ? absl::ZeroDuration() : asked;
}

uint64_t SpinnersOfJob(uint64_t servers, uint64_t workers, bool local) {
  return local ? servers + workers : 2;
}

}  // namespace weir
