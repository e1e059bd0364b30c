// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_TOOLS_LOAD_MEMORY_USE_H_
#define WEIR_TOOLS_LOAD_MEMORY_USE_H_

#include <sys/types.h>

#include <cstdint>

namespace weir {

// The most memory that process `pid` (0: this one) has had resident since it began to run its
// program, as /proc/PID/status tells it (VmHWM; getrusage would count what its parent had before).
// 0: it is gone.
uint64_t PeakRssBytes(pid_t pid);

// Processor seconds of this process, user and system, all threads.
double CpuSeconds();

}  // namespace weir

#endif  // WEIR_TOOLS_LOAD_MEMORY_USE_H_
