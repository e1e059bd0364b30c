// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_TOOLS_LOAD_PIN_H_
#define WEIR_TOOLS_LOAD_PIN_H_

#include <string>

#include "absl/status/statusor.h"

namespace weir {

// Which cores the two ends of a load are kept to: servers and workers, or the ends of the raw
// connection beside them.
enum class LoadPin {
  kNone,   // any
  kSame,   // both to one core
  kApart,  // each to one of its own
};

// INVALID_ARGUMENT: not "none", "same" or "apart".
absl::StatusOr<LoadPin> ParseLoadPin(const std::string& name);

// Two cores that this process may use, the first and the last: twice the same where there is one
// only.
struct CorePair {
  int first = 0;
  int second = 0;
};
CorePair CoresToPin();

// The core of an end, the first (servers) or the second (workers); -1: any.
int CoreOf(LoadPin pin, bool is_second);

// Keeps the calling thread to the core; any for -1, or where the system refuses.
void PinThread(int core);

}  // namespace weir

#endif  // WEIR_TOOLS_LOAD_PIN_H_
