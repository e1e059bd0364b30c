// SPDX-License-Identifier: Apache-2.0
#include <string>
#include <vector>

#include "launcher/verbs.h"
#include "tests/sim/sim_main.h"

namespace weir {

int CmdSim(const std::string& program, const std::vector<std::string>& words) {
  std::vector<std::string> arguments = {program};
  arguments.insert(arguments.end(), words.begin(), words.end());
  std::vector<char*> argv;
  for (std::string& argument : arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);
  return SimMain(static_cast<int>(arguments.size()), argv.data());
}

}  // namespace weir
