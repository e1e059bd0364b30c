// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_TOOLS_REST_MEMORY_H_
#define WEIR_TOOLS_REST_MEMORY_H_

#include <cstdint>

#include "absl/status/status.h"
#include "tools/load_profile.h"
#include "tools/rest_options.h"

namespace weir {

// How much memory the comparison takes, and whether there is so much.

// The most that the processes of one comparison have resident at once, as far as can be told
// before: Weir's all the time, and beside it the one REST form whose turn it is, with requests in
// flight for the largest tensors. An estimate, above what was measured. REQUIRES: good options.
uint64_t CompareMemoryBytes(const LoadProfile& profile, const CompareOptions& options);

// OK, or RESOURCE_EXHAUSTED: `needed` is more than `available`; says both, and what to ask for
// less of. 0 available: nobody knows; OK.
absl::Status CheckMemory(uint64_t needed, uint64_t available);

// Gives memory that is free, but kept by the allocator for what comes next, back to the system.
void ReturnFreeMemory();

}  // namespace weir

#endif  // WEIR_TOOLS_REST_MEMORY_H_
