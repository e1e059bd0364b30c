// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_LAUNCHER_AGENT_H_
#define WEIR_LAUNCHER_AGENT_H_

namespace weir {

// The agent of one host: starts the processes of a run and sees to it that none outlives the run.
//
// Standard input and output are replaced by /dev/null and stderr; `in` and `out` may be these.
//
// It obeys the lines of launcher/agent_protocol.h that come in on `in` and reports on `out`. Each
// process is started in a process group of its own and dies with the agent; what a process leaves
// in its group is killed when it ends. The agent is a child subreaper: descendants that moved to
// other sessions become its children when their parents end, are reaped, and are killed at the end
// too. It never kills by name.
//
// It ends on `shutdown`, on SIGTERM, when `in` is closed (the launcher is gone), and when a line
// cannot be understood: SIGTERM to all, SIGKILL to what is left after a grace of at most
// kAgentGrace, everything reaped. 0: all was reaped.
//
// One thread, which must be the process's only one and its main one: signal handling and the death
// of the parent belong to it. A limit of kMaxAgentProcesses lives at once.
int RunAgent(int in, int out);

constexpr int kMaxAgentProcesses = 4096;
constexpr int kAgentGraceMs = 2000;

}  // namespace weir

#endif  // WEIR_LAUNCHER_AGENT_H_
