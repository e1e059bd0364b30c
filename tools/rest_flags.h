// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_TOOLS_REST_FLAGS_H_
#define WEIR_TOOLS_REST_FLAGS_H_

#include <optional>

#include "launcher/flags.h"

namespace weir {

// Adds the flags of the comparison with REST and JSON to those of `weir-loadtest`.
void AddCompareFlags(FlagTable* table);

// Does what those flags ask for, after ParseCommandLine has set them, and returns the exit code: 2
// for usage, else RunCompareCommand's, or that of one of the comparison's processes. None: they ask
// for nothing. Called from the verb alone.
std::optional<int> RunCompareFlags();

}  // namespace weir

#endif  // WEIR_TOOLS_REST_FLAGS_H_
