// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_LAUNCHER_LOCAL_BACKEND_H_
#define WEIR_LAUNCHER_LOCAL_BACKEND_H_

#include <string>

#include "launcher/agent_protocol.h"
#include "launcher/plan.h"

namespace weir {

// What a planned process is not told by the topology.
struct RunPlace {
  std::string program_dir;  // where weir-ps and the others lie
  std::string run_dir;
  std::string token_file;        // empty: the job has no token
  std::string coordinator;       // host:port; empty while it is not known
  bool threads_are_set = false;  // the environment has OMP_NUM_THREADS already
};

// The command by which an agent of this host starts `process`: its full command line, its log in
// the run's directory, and the environment that programs of the user's own rely on: WEIR_ROLE,
// WEIR_RANK, WEIR_COORDINATOR, WEIR_TOKEN_FILE, WEIR_RUN_DIR, and OMP_NUM_THREADS=1 unless it is
// set. The coordinator is asked to say when it is ready.
AgentCommand StartCommand(const PlannedProcess& process, const RunPlace& place);

// The same as a line to paste into a shell.
std::string ShellLine(const AgentCommand& command);

}  // namespace weir

#endif  // WEIR_LAUNCHER_LOCAL_BACKEND_H_
