// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_TOOLS_REST_COMMAND_H_
#define WEIR_TOOLS_REST_COMMAND_H_

#include <string>

#include "tools/rest_compare.h"

namespace weir {

// What `weir-loadtest --compare=rest-json` does: compares, in a network namespace of its own where
// the system allows that, and prints the table, with `seed` that of the reference figures too.
// `json_path`: a file for the figures; empty: none. Returns the exit code: 0; 1: a wrong answer or
// a run that failed; 128 and the number of the signal that ended it. REQUIRES: the process has no
// other thread.
int RunCompareCommand(const CompareOptions& options, bool seed, const std::string& json_path);

}  // namespace weir

#endif  // WEIR_TOOLS_REST_COMMAND_H_
