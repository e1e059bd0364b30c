// SPDX-License-Identifier: Apache-2.0
#include "launcher/descendants.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/time/clock.h"

namespace weir {
namespace {

// The parent of `pid`; 0 when it is gone. In /proc/PID/stat the name, in parentheses, may hold
// anything: the fields are counted from the last parenthesis.
pid_t ParentOf(pid_t pid) {
  const int fd = open(absl::StrCat("/proc/", pid, "/stat").c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return 0;
  char text[512];
  const ssize_t size = read(fd, text, sizeof(text) - 1);
  close(fd);
  if (size <= 0) return 0;
  const absl::string_view line(text, size);
  const size_t end = line.rfind(')');
  char state;
  int parent;
  text[size] = '\0';
  if (end == absl::string_view::npos || sscanf(text + end + 1, " %c %d", &state, &parent) != 2)
    return 0;
  return parent;
}

}  // namespace

bool BecomeSubreaper() { return prctl(PR_SET_CHILD_SUBREAPER, 1) == 0; }

std::vector<pid_t> Children() {
  std::vector<pid_t> children;
  DIR* proc = opendir("/proc");
  if (proc == nullptr) return children;
  const pid_t self = getpid();
  while (const dirent* entry = readdir(proc)) {
    int pid;
    if (absl::SimpleAtoi(entry->d_name, &pid) && ParentOf(pid) == self) children.push_back(pid);
  }
  closedir(proc);
  return children;
}

void SignalChildren(int signal) {
  for (pid_t pid : Children()) {
    if (getpgid(pid) == pid) {
      kill(-pid, signal);
    } else {
      kill(pid, signal);
    }
  }
}

bool KillAndReapChildren(absl::Duration limit) {
  const absl::Time end = absl::Now() + limit;
  for (;;) {
    SignalChildren(SIGKILL);
    pid_t pid;
    do {
      pid = waitpid(-1, nullptr, WNOHANG);
    } while (pid > 0 || (pid < 0 && errno == EINTR));
    if (pid < 0) return true;  // ECHILD
    if (absl::Now() >= end) return false;
    poll(nullptr, 0,
         2);  // a killed process ends when the kernel gets to it; SIGCHLD may be anybody's
  }
}

}  // namespace weir
