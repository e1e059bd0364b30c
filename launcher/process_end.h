// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_LAUNCHER_PROCESS_END_H_
#define WEIR_LAUNCHER_PROCESS_END_H_

#include <string>

namespace weir {

// How a process ended: with an exit code, or by a signal.
struct ProcessEnd {
  bool by_signal = false;
  int number = 0;  // the exit code, or the signal

  // From the status of waitpid().
  static ProcessEnd FromWaitStatus(int status);

  bool ok() const { return !by_signal && number == 0; }
  // What a shell would report: the exit code, or 128 + the signal.
  int ExitCode() const { return by_signal ? 128 + number : number; }
  // "exit 3", "killed by signal 9 (SIGKILL)".
  std::string Describe() const;

  bool operator==(const ProcessEnd& o) const {
    return by_signal == o.by_signal && number == o.number;
  }
};

}  // namespace weir

#endif  // WEIR_LAUNCHER_PROCESS_END_H_
