// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_TOOLS_PRIVATE_NETWORK_H_
#define WEIR_TOOLS_PRIVATE_NETWORK_H_

#include <functional>

#include "absl/status/statusor.h"

namespace weir {

// Runs `body` in a child process that has network, mount and process namespaces of its own, and
// returns what it returned; 128 and a signal's number when one ended it. In there /proc shows its
// processes only, the network is an unused loopback, and files are the same as outside. As root, or
// else in a user namespace in which the caller is root.
//
// Whatever `body` makes in there - processes, interfaces, mounts - is taken away by the kernel when
// it returns, or when the calling process ends in any way, kill -9 included. SIGINT, SIGTERM and
// SIGHUP that reach the caller are handed on to every process in there; the caller goes on waiting.
//
// REQUIRES: the process has no other thread. UNAVAILABLE: namespaces are not allowed here; the
// message says which step was refused. Nothing is left then, and `body` has not run.
absl::StatusOr<int> RunInPrivateNetwork(const std::function<int()>& body);

}  // namespace weir

#endif  // WEIR_TOOLS_PRIVATE_NETWORK_H_
