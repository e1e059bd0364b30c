// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_LAUNCHER_VERBS_H_
#define WEIR_LAUNCHER_VERBS_H_

#include <string>
#include <vector>

namespace weir {

// What the program `weir` can do: one verb a file, launcher/cmd_<verb>.cc. Each takes the name it
// was called by, for messages, and the words after it, and returns the exit code: 2 for usage, 65
// for a bad topology, 69 for a host that cannot be reached, 75 for a start that took too long, else
// the failing process's own.
using Verb = int (*)(const std::string& program, const std::vector<std::string>& words);

int CmdRun(const std::string& program, const std::vector<std::string>& words);
int CmdValidate(const std::string& program, const std::vector<std::string>& words);
int CmdCoordinator(const std::string& program, const std::vector<std::string>& words);
int CmdPs(const std::string& program, const std::vector<std::string>& words);
int CmdWorker(const std::string& program, const std::vector<std::string>& words);
int CmdLoadtest(const std::string& program, const std::vector<std::string>& words);
int CmdSim(const std::string& program, const std::vector<std::string>& words);
int CmdAgent(const std::string& program, const std::vector<std::string>& words);

}  // namespace weir

#endif  // WEIR_LAUNCHER_VERBS_H_
