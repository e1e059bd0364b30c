// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_TESTS_CORE_FAKE_CLOCKS_H_
#define WEIR_TESTS_CORE_FAKE_CLOCKS_H_

#include <cstdint>

#include "absl/time/time.h"

namespace weir {

// Sets the clocks of a whole test program: whatever in it, its libraries included, asks the system
// what time it is gets the system's answer and what was added here. Linked into the program by
// fake_clocks.cc, which defines clock_gettime.
void MoveWallClock(absl::Duration by);     // as an operator or NTP would: CLOCK_REALTIME alone
void SuspendMachine(absl::Duration time);  // CLOCK_REALTIME and CLOCK_BOOTTIME go on, no other

}  // namespace weir

#endif  // WEIR_TESTS_CORE_FAKE_CLOCKS_H_
