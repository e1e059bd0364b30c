// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_LAUNCHER_DESCENDANTS_H_
#define WEIR_LAUNCHER_DESCENDANTS_H_

#include <sys/types.h>

#include <vector>

#include "absl/time/time.h"

namespace weir {

// The processes below this one, found by their parent's number and never by name.
//
// A process that is a child subreaper becomes the parent of every descendant whose own parent has
// ended, whatever session or process group it has moved to: so killing children until there are
// none leaves nothing behind.

// Makes this process a child subreaper. False: the kernel refuses.
bool BecomeSubreaper();

// The living and unreaped children of this process, as /proc lists them.
std::vector<pid_t> Children();

// Sends `signal` to every child, one by one, and to its process group when it leads one.
void SignalChildren(int signal);

// Sends SIGKILL to all children and reaps them, then to those that take their places, until there
// are none. False: some were left at `limit`. Any thread, but nobody else may wait for children
// meanwhile.
bool KillAndReapChildren(absl::Duration limit);

}  // namespace weir

#endif  // WEIR_LAUNCHER_DESCENDANTS_H_
