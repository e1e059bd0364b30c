// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_LAUNCHER_PLAN_H_
#define WEIR_LAUNCHER_PLAN_H_

#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "launcher/topology.h"

namespace weir {

enum class ProcessRole { kCoordinator, kServer, kWorker };

// "coordinator", "ps", "worker".
absl::string_view RoleName(ProcessRole role);

// One process to be started. What only the running cluster knows (addresses, the token's file, the
// run's directory) is added by whoever starts it.
struct PlannedProcess {
  ProcessRole role = ProcessRole::kCoordinator;
  int rank = 0;         // counts from 0 within the role
  std::string name;     // "coordinator", "ps-0", "worker-2": of the log and of every message
  std::string host;     // one of Topology::hosts
  std::string program;  // one of Weir's programs, or the first word of workers.program
  std::vector<std::string> args;  // what follows from the topology alone
  bool is_weirs_own =
      true;               // false: a program of the user's own; it reads the environment, not flags
  std::string directory;  // in which it starts; "": anywhere
};

// Every process of the topology, in the order in which they are started: the coordinator, servers
// by rank, workers by rank. Servers and workers go round the hosts in turn; the coordinator is on
// the first. REQUIRES: parsed without an error.
std::vector<PlannedProcess> MakePlan(const Topology& topology);

}  // namespace weir

#endif  // WEIR_LAUNCHER_PLAN_H_
