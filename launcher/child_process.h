// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_LAUNCHER_CHILD_PROCESS_H_
#define WEIR_LAUNCHER_CHILD_PROCESS_H_

#include <sys/types.h>

#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"

namespace weir {

// A process to start.
struct ProcessSpec {
  std::vector<std::string> argv;  // argv[0] is looked up in PATH when it holds no slash
  std::vector<std::pair<std::string, std::string>>
      env;                // beside, or in place of, the inherited environment
  std::string directory;  // empty: the present one
  std::string log_path;   // stdout and stderr are appended to it; empty: inherited
  int stdin_fd = -1;      // -1: /dev/null
  int stdout_fd = -1;     // in place of the log
  bool die_with_parent = true;
};

// Starts `spec` as the leader of a process group of its own, with default signals and no other file
// descriptor than 0 to 2 and, with `ready_fd`, the writing end of a pipe whose number is in the
// environment as WEIR_READY_FD; the reading end, non-blocking, is returned in `*ready_fd` and is
// the caller's.
//
// With die_with_parent the kernel kills it when the *thread* that calls this ends: call it from a
// thread that lives as long as the process. Forks: to be called while the process has no other
// thread that may hold a lock.
//
// NOT_FOUND, PERMISSION_DENIED or INVALID_ARGUMENT, naming the program, directory or log: nothing
// was started.
absl::StatusOr<pid_t> StartProcess(const ProcessSpec& spec, int* ready_fd = nullptr);

}  // namespace weir

#endif  // WEIR_LAUNCHER_CHILD_PROCESS_H_
