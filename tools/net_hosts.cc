// SPDX-License-Identifier: Apache-2.0
#include "tools/net_hosts.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace weir {
namespace {

constexpr size_t kMaxOutputBytes = 4096;
constexpr uint64_t kMinBurstBytes = 128 * 1024;  // above the largest packet before it is cut

// Runs `script` with /bin/sh to its end. UNAVAILABLE: it failed; with what it printed.
absl::Status RunScript(const std::string& script) {
  FILE* output = popen(absl::StrCat("exec 2>&1; set -e\n", script).c_str(), "re");
  if (output == nullptr) return absl::UnavailableError("cannot start /bin/sh");
  std::string said;
  char bytes[512];
  for (size_t got; (got = fread(bytes, 1, sizeof(bytes), output)) > 0;) {
    if (said.size() < kMaxOutputBytes) said.append(bytes, got);
  }
  if (pclose(output) == 0) return absl::OkStatus();
  return absl::UnavailableError(
      absl::StrCat("cannot make hosts (they need iproute2 and util-linux):\n",
                   absl::StripTrailingAsciiWhitespace(said)));
}

// A process with namespaces of its own that does nothing until it is killed. It dies with the
// process that has started it.
absl::StatusOr<pid_t> StartKeeper() {
  int ready[2];
  if (pipe2(ready, O_CLOEXEC) != 0) return absl::ErrnoToStatus(errno, "pipe");
  const pid_t parent = getpid();
  const pid_t keeper = fork();
  if (keeper == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    setpgid(0, 0);  // a Ctrl-C is not for it
    const int error = unshare(CLONE_NEWNET | CLONE_NEWNS) == 0 ? 0 : errno;
    if (getppid() != parent || write(ready[1], &error, sizeof(error)) != sizeof(error)) _exit(1);
    for (;;) pause();
  }
  close(ready[1]);
  int error = EIO;
  if (keeper > 0 && read(ready[0], &error, sizeof(error)) != sizeof(error)) error = EIO;
  close(ready[0]);
  if (keeper > 0 && error == 0) return keeper;
  if (keeper > 0) {
    kill(keeper, SIGKILL);
    waitpid(keeper, nullptr, 0);
  }
  return absl::UnavailableError(absl::StrCat("cannot make a host: ", std::strerror(error)));
}

// The command that limits what leaves by `device`.
std::string Limit(absl::string_view device, uint64_t rate_bits) {
  const uint64_t bytes_each_ms = rate_bits / 8 / 1000;
  const uint64_t burst = std::max(kMinBurstBytes, bytes_each_ms);
  return absl::StrCat("tc qdisc add dev ", device, " root tbf rate ", rate_bits, "bit burst ",
                      burst, "b limit ", burst + NetHosts::kQueueMs * bytes_each_ms, "b\n");
}

absl::Status Failed(const char* call) {
  return absl::UnavailableError(
      absl::StrCat("a socket of a host: ", call, ": ", std::strerror(errno)));
}

// A TCP socket that belongs to the network namespace of `keeper`. Enters it and comes back.
absl::StatusOr<int> SocketOf(pid_t keeper) {
  const int here = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
  const int there = open(absl::StrCat("/proc/", keeper, "/ns/net").c_str(), O_RDONLY | O_CLOEXEC);
  absl::StatusOr<int> made = Failed("setns");
  if (here >= 0 && there >= 0 && setns(there, CLONE_NEWNET) == 0) {
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0) {
      const int on = 1;
      setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
      made = fd;
    } else {
      made = Failed("socket");
    }
    if (setns(here, CLONE_NEWNET) != 0) made = Failed("setns back");
  }
  if (here >= 0) close(here);
  if (there >= 0) close(there);
  return made;
}

}  // namespace

absl::StatusOr<uint64_t> ParseLinkRate(absl::string_view text) {
  const auto refused = [text] {
    return absl::InvalidArgumentError(absl::StrCat(
        "'", text,
        "' is no rate of a link: a number and kbit, mbit or gbit, from 1mbit to 100gbit"));
  };
  absl::string_view digits = text;
  double unit = 0;
  if (absl::ConsumeSuffix(&digits, "kbit")) {
    unit = 1e3;
  } else if (absl::ConsumeSuffix(&digits, "mbit")) {
    unit = 1e6;
  } else if (absl::ConsumeSuffix(&digits, "gbit")) {
    unit = 1e9;
  }
  double number = 0;
  const bool plain = digits.find_first_not_of("0123456789.") == absl::string_view::npos;
  if (unit == 0 || !plain || !absl::SimpleAtod(digits, &number)) return refused();
  const double bits = std::round(number * unit);
  if (!(bits >= 1e6 && bits <= 100e9)) return refused();
  return static_cast<uint64_t>(bits);
}

uint32_t HostOfProcess(uint32_t process, uint32_t hosts) { return process % hosts; }

std::string NetHosts::address(uint32_t host) { return absl::StrCat("10.87.0.", host + 1); }

std::vector<std::string> NetHosts::prefix(uint32_t host) const {
  return {"nsenter", absl::StrCat("--target=", keepers_[host]), "--net", "--mount", "--"};
}

absl::StatusOr<std::unique_ptr<NetHosts>> NetHosts::Make(const NetHostsOptions& options) {
  if (options.count < 1 || options.count > kMaxNetHosts) {
    return absl::InvalidArgumentError(
        absl::StrCat(options.count, " hosts: from 1 to ", kMaxNetHosts));
  }
  std::unique_ptr<NetHosts> hosts(new NetHosts());
  absl::Status status = RunScript("ip link add switch type bridge\nip link set switch up\n");
  while (status.ok() && hosts->count() < options.count) status = hosts->AddHost(options);
  if (!status.ok()) return status;
  return hosts;
}

absl::Status NetHosts::AddHost(const NetHostsOptions& options) {
  const absl::StatusOr<pid_t> keeper = StartKeeper();
  if (!keeper.ok()) return keeper.status();
  const uint32_t host = count();
  keepers_.push_back(*keeper);
  const std::string port = absl::StrCat("port", host);
  const std::string inside = absl::StrCat("nsenter --target=", *keeper, " --net ");
  std::string script =
      absl::StrCat("ip link add ", port, " type veth peer name eth0 netns ", *keeper, "\n",  //
                   "ip link set ", port, " master switch up\n",                              //
                   inside, "ip address add ", address(host), "/24 dev eth0\n",               //
                   inside, "ip link set lo up\n", inside, "ip link set eth0 up\n");
  if (options.rate_bits > 0) {
    absl::StrAppend(&script, Limit(port, options.rate_bits), inside,
                    Limit("eth0", options.rate_bits));
  }
  return RunScript(script);
}

NetHosts::~NetHosts() {
  for (pid_t keeper : keepers_) kill(keeper, SIGKILL);
  for (pid_t keeper : keepers_) {
    while (waitpid(keeper, nullptr, 0) < 0 && errno == EINTR) {
    }
  }
}

absl::Status NetHosts::Connect(uint32_t a, uint32_t b, int* a_fd, int* b_fd) const {
  const absl::StatusOr<int> listener = SocketOf(keepers_[b]);
  if (!listener.ok()) return listener.status();
  sockaddr_in at{};
  at.sin_family = AF_INET;
  inet_pton(AF_INET, address(b).c_str(), &at.sin_addr);
  auto* generic = reinterpret_cast<sockaddr*>(&at);
  socklen_t size = sizeof(at);
  absl::Status status = absl::OkStatus();
  if (bind(*listener, generic, size) != 0 || listen(*listener, 1) != 0 ||
      getsockname(*listener, generic, &size) != 0) {
    status = Failed("listen");
  }
  const absl::StatusOr<int> caller = status.ok() ? SocketOf(keepers_[a]) : status;
  if (!caller.ok()) {
    close(*listener);
    return caller.status();
  }
  if (connect(*caller, generic, size) != 0) status = Failed("connect");
  int accepted = -1;
  if (status.ok()) accepted = accept4(*listener, nullptr, nullptr, SOCK_CLOEXEC);
  if (status.ok() && accepted < 0) status = Failed("accept");
  close(*listener);
  if (!status.ok()) {
    close(*caller);
    return status;
  }
  const int on = 1;
  setsockopt(accepted, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  *a_fd = *caller;
  *b_fd = accepted;
  return absl::OkStatus();
}

}  // namespace weir
