// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_LAUNCHER_JOB_LIMITS_H_
#define WEIR_LAUNCHER_JOB_LIMITS_H_

#include <cstdint>

namespace weir {

// How large a job may be, as the topology is checked and the coordinator keeps it.
constexpr uint32_t kMaxMembers = 1024;  // servers, and workers
constexpr uint32_t kMaxJobShards = 4096;

}  // namespace weir

#endif  // WEIR_LAUNCHER_JOB_LIMITS_H_
