// SPDX-License-Identifier: Apache-2.0
#include <gflags/gflags.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "launcher/flags.h"
#include "launcher/process_end.h"
#include "nlohmann/json.hpp"
#include "tools/link_speed.h"
#include "tools/net_hosts.h"
#include "tools/private_network.h"

DEFINE_uint64(hosts, 2, "how many hosts, 1 to 160");
DEFINE_string(rate, "",
              "limit each link, each way, to this rate, as 1gbit or 2.5gbit; empty: none");

// `weir-hosts`: hosts on one machine, as weir-loadtest --hosts makes them, for any command. Exit
// codes: the command's own; 1: the hosts could not be had; 2: usage.
namespace weir {
namespace {

constexpr uint64_t kUnlimitedBytes = uint64_t{512} << 20;
constexpr int kRoundTrips = 1000;

int Complain(const absl::Status& status, int code) {
  std::cerr << "weir-hosts: " << status.message() << std::endl;
  return code;
}

FlagTable Table() {
  FlagTable table;
  table.usage = "weir-hosts [flags] [-- COMMAND [ARGUMENT...]]";
  table.about =
      "Makes hosts on this machine - network namespaces with links of their own, joined by a "
      "bridge - and runs\n"
      "COMMAND beside them. WEIR_HOSTS in its environment is a JSON list of {\"address\", "
      "\"prefix\"}: words that are\n"
      "written before a command, named by its absolute path, so that it runs on that host. All "
      "of it goes when\n"
      "COMMAND ends, or weir-hosts is killed.\n\n"
      "Without COMMAND: measures raw TCP from the first host to the second.";
  table.flags = {"hosts", "rate"};
  table.max_arguments = 4096;
  return table;
}

std::string Describe(const NetHosts& hosts) {
  nlohmann::json list = nlohmann::json::array();
  for (uint32_t host = 0; host < hosts.count(); ++host)
    list.push_back({{"address", NetHosts::address(host)}, {"prefix", hosts.prefix(host)}});
  return list.dump();
}

int RunCommand(const NetHosts& hosts, const std::vector<std::string>& words) {
  std::vector<std::string> command = words;
  std::vector<char*> argv;
  for (std::string& word : command) argv.push_back(word.data());
  argv.push_back(nullptr);
  setenv("WEIR_HOSTS", Describe(hosts).c_str(), 1);
  sigset_t signals, mask;  // they reach the command too: it decides, and this process waits for it
  sigemptyset(&signals);
  for (int number : {SIGINT, SIGTERM, SIGHUP}) sigaddset(&signals, number);
  sigprocmask(SIG_BLOCK, &signals, &mask);
  const pid_t pid = fork();
  if (pid == 0) {
    sigprocmask(SIG_SETMASK, &mask, nullptr);
    execvp(argv[0], argv.data());
    const int error = errno;
    std::fprintf(stderr, "weir-hosts: cannot start %s: %s\n", argv[0], std::strerror(error));
    _exit(error == ENOENT ? 127 : 126);
  }
  int wait_status = 0;
  while (pid > 0 && waitpid(pid, &wait_status, 0) < 0 && errno == EINTR) {
  }
  if (pid < 0) return Complain(absl::ErrnoToStatus(errno, "fork"), 1);
  return ProcessEnd::FromWaitStatus(wait_status).ExitCode();
}

int Measure(const NetHosts& hosts, uint64_t rate_bits) {
  int a = -1, b = -1;
  if (absl::Status status = hosts.Connect(0, hosts.count() - 1, &a, &b); !status.ok())
    return Complain(status, 1);
  const uint64_t bytes =
      rate_bits == 0 ? kUnlimitedBytes : std::min(kUnlimitedBytes, rate_bits / 8);
  const auto speed = MeasureLink(a, b, bytes, kRoundTrips);
  close(a);
  close(b);
  if (!speed.ok()) return Complain(speed.status(), 1);
  std::cout << absl::StrFormat(
      "raw TCP between two hosts: %.1f MB/s one way, %.1f MB/s both ways at once, round trip %.0f "
      "us\n",
      speed->one_way_mb_s, speed->both_ways_mb_s, speed->round_trip_us);
  return 0;
}

int Main(int argc, char** argv) {
  const FlagTable table = Table();
  const auto line = ParseCommandLine(table, std::vector<std::string>(argv + 1, argv + argc));
  if (!line.ok()) return Complain(line.status(), 2);
  if (line->help) {
    std::cout << HelpText(table);
    return 0;
  }
  NetHostsOptions options;
  if (FLAGS_hosts < 1 || FLAGS_hosts > kMaxNetHosts)
    return Complain(absl::InvalidArgumentError(
                        absl::StrCat("--hosts=", FLAGS_hosts, ": from 1 to ", kMaxNetHosts)),
                    2);
  options.count = static_cast<uint32_t>(FLAGS_hosts);
  if (!FLAGS_rate.empty()) {
    const auto rate = ParseLinkRate(FLAGS_rate);
    if (!rate.ok()) return Complain(rate.status(), 2);
    options.rate_bits = *rate;
  }
  const auto code = RunInPrivateNetwork([&] {
    const auto hosts = NetHosts::Make(options);
    if (!hosts.ok()) return Complain(hosts.status(), 1);
    return line->arguments.empty() ? Measure(**hosts, options.rate_bits)
                                   : RunCommand(**hosts, line->arguments);
  });
  return code.ok() ? *code : Complain(code.status(), 1);
}

}  // namespace
}  // namespace weir

int main(int argc, char** argv) { return weir::Main(argc, argv); }
