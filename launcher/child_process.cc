// SPDX-License-Identifier: Apache-2.0
#include "launcher/child_process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "absl/cleanup/cleanup.h"
#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

extern char** environ;

namespace weir {
namespace {

constexpr int kReadyFd = 3;  // in the child
constexpr char kReadyVariable[] = "WEIR_READY_FD";

// What the child tells its parent when it cannot start the program.
struct Failure {
  enum Where : int { kDirectory, kProgram } where;
  int error;
};

std::vector<std::string> Environment(const ProcessSpec& spec, bool ready) {
  std::vector<std::pair<std::string, std::string>> added = spec.env;
  if (ready) added.emplace_back(kReadyVariable, absl::StrCat(kReadyFd));
  std::vector<std::string> entries;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const absl::string_view text = *entry;
    const absl::string_view name = text.substr(0, text.find('='));
    bool replaced = name == kReadyVariable;
    for (const auto& [key, value] : added) replaced = replaced || key == name;
    if (!replaced) entries.emplace_back(text);
  }
  for (const auto& [key, value] : added) entries.push_back(absl::StrCat(key, "=", value));
  return entries;
}

std::vector<char*> Pointers(std::vector<std::string>& strings) {
  std::vector<char*> pointers;
  for (std::string& string : strings) pointers.push_back(string.data());
  pointers.push_back(nullptr);
  return pointers;
}

absl::Status Error(absl::string_view what, absl::string_view name, int error) {
  const std::string message = absl::StrCat(what, " ", name, ": ", strerror(error));
  if (error == ENOENT || error == ENOTDIR) return absl::NotFoundError(message);
  if (error == EACCES || error == EPERM) return absl::PermissionDeniedError(message);
  return absl::InvalidArgumentError(message);
}

// In the child, between fork and exec: only async-signal-safe calls, and no return.
[[noreturn]] void BecomeProgram(const ProcessSpec& spec, pid_t parent, const int (&fds)[4],
                                int failure_fd, char** argv, char** env) {
  setpgid(0, 0);
  if (spec.die_with_parent) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(127);  // it has died already
  }
  // Away from the low numbers first, so that none is overwritten before it is used.
  int high[4];
  for (int i = 0; i < 4; ++i) high[i] = fds[i] < 0 ? -1 : fcntl(fds[i], F_DUPFD_CLOEXEC, 16);
  failure_fd = fcntl(failure_fd, F_DUPFD_CLOEXEC, 16);
  for (int i = 0; i < 4; ++i) {
    if (high[i] >= 0) dup2(high[i], i);
  }
  close_range(high[kReadyFd] >= 0 ? kReadyFd + 1 : kReadyFd, ~0U, CLOSE_RANGE_CLOEXEC);
  for (int number = 1; number < NSIG; ++number) signal(number, SIG_DFL);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  Failure failure{Failure::kDirectory, 0};
  if (spec.directory.empty() || chdir(spec.directory.c_str()) == 0) {
    execvpe(argv[0], argv, env);
    failure.where = Failure::kProgram;
  }
  failure.error = errno;
  const ssize_t written = write(failure_fd, &failure, sizeof(failure));
  _exit(written == sizeof(failure) ? 127 : 126);
}

}  // namespace

absl::StatusOr<pid_t> StartProcess(const ProcessSpec& spec, int* ready_fd) {
  if (spec.argv.empty() || spec.argv[0].empty())
    return absl::InvalidArgumentError("no program is named");
  std::vector<int> to_close;
  absl::Cleanup closer = [&] {
    for (int fd : to_close) close(fd);
  };
  int log = -1;
  if (!spec.log_path.empty()) {
    log = open(spec.log_path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (log < 0) return Error("cannot write the log", spec.log_path, errno);
    to_close.push_back(log);
  }
  int in = spec.stdin_fd;
  if (in < 0) {
    in = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (in < 0) return Error("cannot open", "/dev/null", errno);
    to_close.push_back(in);
  }
  int failure[2];
  if (pipe2(failure, O_CLOEXEC) != 0) return Error("cannot start", spec.argv[0], errno);
  to_close.push_back(failure[0]);
  absl::Cleanup failure_closer = [&] {
    if (failure[1] >= 0) close(failure[1]);
  };
  int ready[2] = {-1, -1};
  if (ready_fd != nullptr) {
    if (pipe2(ready, O_CLOEXEC) != 0) return Error("cannot start", spec.argv[0], errno);
    to_close.push_back(ready[1]);
    fcntl(ready[0], F_SETFL, O_NONBLOCK);
  }

  std::vector<std::string> arguments = spec.argv;
  std::vector<std::string> environment = Environment(spec, ready_fd != nullptr);
  std::vector<char*> argv = Pointers(arguments), env = Pointers(environment);
  const int fds[4] = {in, spec.stdout_fd >= 0 ? spec.stdout_fd : log, log, ready[1]};
  const pid_t parent = getpid();
  const pid_t pid = fork();
  if (pid == 0) BecomeProgram(spec, parent, fds, failure[1], argv.data(), env.data());
  if (pid < 0) {
    const int error = errno;
    if (ready[0] >= 0) close(ready[0]);
    return Error("cannot start", spec.argv[0], error);
  }
  setpgid(pid, pid);  // the child does the same: whichever comes first
  close(failure[1]);
  failure[1] = -1;
  Failure told;
  ssize_t got;
  do {
    got = read(failure[0], &told, sizeof(told));
  } while (got < 0 && errno == EINTR);
  if (got != sizeof(told)) {
    if (ready_fd != nullptr) *ready_fd = ready[0];
    return pid;
  }
  if (ready[0] >= 0) close(ready[0]);
  while (waitpid(pid, nullptr, 0) < 0 && errno == EINTR) {
  }
  if (told.where == Failure::kDirectory)
    return Error("cannot enter the directory", spec.directory, told.error);
  return Error("cannot start the program", spec.argv[0], told.error);
}

}  // namespace weir
