// SPDX-License-Identifier: Apache-2.0
#include "launcher/process_end.h"

#include <string.h>
#include <sys/wait.h>

#include "absl/strings/str_cat.h"

namespace weir {

ProcessEnd ProcessEnd::FromWaitStatus(int status) {
  if (WIFSIGNALED(status)) return {true, WTERMSIG(status)};
  return {false, WEXITSTATUS(status)};
}

std::string ProcessEnd::Describe() const {
  if (!by_signal) return absl::StrCat("exit ", number);
  const char* name = sigabbrev_np(number);
  return absl::StrCat("killed by signal ", number,
                      name == nullptr ? "" : absl::StrCat(" (SIG", name, ")"));
}

}  // namespace weir
