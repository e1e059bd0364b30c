// SPDX-License-Identifier: Apache-2.0
#include "tools/private_network.h"

#include <fcntl.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <iostream>
#include <string>

#include "absl/cleanup/cleanup.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "launcher/process_end.h"

namespace weir {
namespace {

constexpr int kSpaces = CLONE_NEWNET | CLONE_NEWNS | CLONE_NEWPID;

// Why the first process of the namespaces could not do its part; sent to the caller as it is.
struct Refusal {
  char step[64] = "";  // empty: everything is there, `body` runs
  int error = 0;
};

Refusal Refused(const char* step) {
  Refusal refusal;
  refusal.error = errno;
  std::snprintf(refusal.step, sizeof(refusal.step), "%s", step);
  return refusal;
}

bool WriteText(const char* path, const std::string& text) {
  const int fd = open(path, O_WRONLY | O_CLOEXEC);
  if (fd < 0) return false;
  const bool written = write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size());
  const int error = errno;
  close(fd);
  errno = error;
  return written;
}

bool LoopbackUp() {
  const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return false;
  ifreq request{};
  std::strncpy(request.ifr_name, "lo", IFNAMSIZ - 1);
  request.ifr_flags = IFF_UP;
  const bool up = ioctl(fd, SIOCSIFFLAGS, &request) == 0;
  close(fd);
  return up;
}

// In the first process: makes the place habitable. `uid`, `gid`: the caller's, mapped to root when
// it has a user namespace.
Refusal MoveIn(bool user_space, uid_t uid, gid_t gid) {
  if (user_space && (!WriteText("/proc/self/setgroups", "deny") ||
                     !WriteText("/proc/self/uid_map", absl::StrCat("0 ", uid, " 1")) ||
                     !WriteText("/proc/self/gid_map", absl::StrCat("0 ", gid, " 1")))) {
    return Refused("become root of a user namespace");
  }
  if (mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0)
    return Refused("keep mounts to itself");
  if (mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, nullptr) != 0)
    return Refused("mount /proc");
  if (!LoopbackUp()) return Refused("bring up the loopback");
  return Refusal();
}

// The first process: starts `body` in a second one, buries whatever dies, and ends with it; the
// kernel ends all others then.
[[noreturn]] void BeFirst(const std::function<int()>& body, const sigset_t& mask) {
  setpgid(0, 0);  // a Ctrl-C reaches the caller, which hands it on: once, not twice
  const pid_t second = fork();
  if (second == 0) {
    sigprocmask(SIG_SETMASK, &mask, nullptr);
    const int code = body();
    std::cout.flush();
    std::fflush(nullptr);
    _exit(code);
  }
  for (;;) {
    int wait_status = 0;
    const pid_t ended = waitpid(-1, &wait_status, 0);
    if (ended == second) _exit(ProcessEnd::FromWaitStatus(wait_status).ExitCode());
    if (ended < 0 && errno != EINTR) _exit(1);
  }
}

// The caller's end: waits for `first`, handing on the signals that it has blocked.
absl::StatusOr<int> AwaitFirst(pid_t first, const sigset_t& signals) {
  for (;;) {
    int wait_status = 0;
    const pid_t ended = waitpid(first, &wait_status, WNOHANG);
    if (ended < 0) return absl::ErrnoToStatus(errno, "waitpid");
    if (ended == first) return ProcessEnd::FromWaitStatus(wait_status).ExitCode();
    const int signal = sigwaitinfo(&signals, nullptr);
    if (signal > 0 && signal != SIGCHLD) kill(-first, signal);
  }
}

class Pipe {
 public:
  Pipe() {
    if (pipe2(fds_, O_CLOEXEC) != 0) fds_[0] = fds_[1] = -1;
  }
  ~Pipe() {
    Close(0);
    Close(1);
  }
  bool ok() const { return fds_[0] >= 0; }
  int read_end() const { return fds_[0]; }
  int write_end() const { return fds_[1]; }
  void Close(int end) {
    if (fds_[end] >= 0) close(fds_[end]);
    fds_[end] = -1;
  }

 private:
  int fds_[2];
};

absl::Status Unavailable(const Refusal& refusal) {
  return absl::UnavailableError(
      absl::StrCat("hosts of its own need network namespaces, as root or by user namespaces, and "
                   "here the step '",
                   refusal.step, "' was refused: ", std::strerror(refusal.error)));
}

// As fork(), into new namespaces.
pid_t ForkApart(int spaces) {
  return static_cast<pid_t>(syscall(SYS_clone, spaces | SIGCHLD, nullptr, nullptr, nullptr, 0));
}

}  // namespace

absl::StatusOr<int> RunInPrivateNetwork(const std::function<int()>& body) {
  Pipe told, alive;
  if (!told.ok() || !alive.ok()) return absl::ErrnoToStatus(errno, "pipe");
  std::cout.flush();
  std::fflush(nullptr);
  sigset_t signals, mask;
  sigemptyset(&signals);
  for (int number : {SIGINT, SIGTERM, SIGHUP, SIGCHLD}) sigaddset(&signals, number);
  sigprocmask(SIG_BLOCK, &signals, &mask);
  absl::Cleanup unblock = [&mask] { sigprocmask(SIG_SETMASK, &mask, nullptr); };

  const uid_t uid = geteuid();
  const gid_t gid = getegid();
  bool user_space = false;
  pid_t first = ForkApart(kSpaces);
  if (first < 0 && errno == EPERM) {
    user_space = true;
    first = ForkApart(kSpaces | CLONE_NEWUSER);
  }
  if (first < 0) return Unavailable(Refused("make namespaces"));
  if (first == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    alive.Close(1);
    pollfd caller = {alive.read_end(), 0, 0};
    if (poll(&caller, 1, 0) != 0) _exit(1);  // it had died before that
    const Refusal refusal = MoveIn(user_space, uid, gid);
    if (write(told.write_end(), &refusal, sizeof(refusal)) != sizeof(refusal)) _exit(1);
    if (refusal.error != 0) _exit(1);
    BeFirst(body, mask);
  }
  setpgid(first, first);
  told.Close(1);
  Refusal refusal;
  ssize_t got;
  do {
    got = read(told.read_end(), &refusal, sizeof(refusal));
  } while (got < 0 && errno == EINTR);
  absl::StatusOr<int> code = AwaitFirst(first, signals);
  if (got != sizeof(refusal)) return absl::InternalError("the first process of a namespace died");
  if (refusal.error != 0) return Unavailable(refusal);
  return code;
}

}  // namespace weir
