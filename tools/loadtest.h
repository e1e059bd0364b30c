// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_TOOLS_LOADTEST_H_
#define WEIR_TOOLS_LOADTEST_H_

#include <string>
#include <vector>

namespace weir {

// `weir-loadtest`: starts servers and load workers as processes on this machine, drives them, checks every answer, and prints one
// table. `words` follow the program's name. Returns the exit code: 0; 1 a wrong answer or a run that failed; 2 usage.
int LoadtestMain(const std::vector<std::string>& words);

}  // namespace weir

#endif  // WEIR_TOOLS_LOADTEST_H_
