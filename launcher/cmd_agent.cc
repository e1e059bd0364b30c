// SPDX-License-Identifier: Apache-2.0
#include <gflags/gflags.h>
#include <stdio.h>

#include "launcher/agent.h"
#include "launcher/flags.h"
#include "launcher/process_flags.h"
#include "launcher/verbs.h"
#include "net/socket_directory.h"

namespace weir {

int CmdAgent(const std::string& program, const std::vector<std::string>& words) {
  FlagTable table;
  table.usage = program;
  table.about =
      "Starts and ends the processes of a run on this host, as told on standard input. For `weir "
      "run`.";
  absl::StatusOr<CommandLine> line = ParseCommandLine(table, words);
  if (!line.ok()) return ExitWith(program, line.status().message(), kExitUsage);
  if (line->help) {
    fputs(HelpText(table).c_str(), stdout);
    return 0;
  }
  const int code = RunAgent(0, 1);
  RemoveStaleSocketDirectories(SocketBasesOfProcess());  // of servers that were killed
  return code;
}

}  // namespace weir
