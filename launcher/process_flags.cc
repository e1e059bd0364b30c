// SPDX-License-Identifier: Apache-2.0
#include "launcher/process_flags.h"

#include <gflags/gflags.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "launcher/run_directory.h"
#include "net/socket_directory.h"
#include "net/spin.h"

DEFINE_string(coordinator, "", "host:port of the coordinator");
DEFINE_int32(rank, -1, "the place to take, from 0; -1: any free one");
DEFINE_string(host, "127.0.0.1", "the address to listen on");
DEFINE_int32(port, 0, "the port to listen on; 0: a free one");
DEFINE_string(token_file, "", "a file with the job's token; else WEIR_TOKEN_FILE");
DEFINE_string(run_dir, "", "the directory for logs and results");
DEFINE_string(spin_us, "",
              "microseconds to look for frames before sleeping, at most 1000000, 0: never; else "
              "WEIR_SPIN_US, else 30 where there are cores enough");
DEFINE_int32(servers, 0, "how many servers; 0: as the topology says, or 1");
DEFINE_int32(workers, 0, "how many workers; 0: as the topology says, or 1");

namespace weir {
namespace {

std::string Variable(const char* name) {
  const char* value = getenv(name);
  return value == nullptr ? "" : value;
}

}  // namespace

absl::StatusOr<std::string> TokenOfProcess() {
  const std::string path =
      FLAGS_token_file.empty() ? Variable("WEIR_TOKEN_FILE") : FLAGS_token_file;
  if (path.empty()) return std::string();
  return ReadTokenFile(path);
}

absl::StatusOr<std::optional<uint32_t>> RankOfProcess() {
  if (FLAGS_rank < -1) {
    return absl::InvalidArgumentError(
        absl::StrCat("--rank is a place from 0, or -1 for any free one, not ", FLAGS_rank));
  }
  if (FLAGS_rank == -1) return std::optional<uint32_t>();
  return std::optional<uint32_t>(static_cast<uint32_t>(FLAGS_rank));
}

absl::StatusOr<std::string> CoordinatorOfProcess() {
  const std::string address =
      FLAGS_coordinator.empty() ? Variable("WEIR_COORDINATOR") : FLAGS_coordinator;
  if (address.empty()) return address;
  const size_t colon = address.rfind(':');
  int port = 0;
  if (colon != std::string::npos && colon != 0 &&
      absl::SimpleAtoi(address.substr(colon + 1), &port) && port >= 1 && port <= 65535) {
    return address;
  }
  return absl::InvalidArgumentError(
      absl::StrCat(FLAGS_coordinator.empty() ? "WEIR_COORDINATOR" : "--coordinator",
                   " wants HOST:PORT, not '", address, "'"));
}

absl::StatusOr<std::optional<absl::Duration>> SpinOfProcess() {
  if (!FLAGS_spin_us.empty()) return ParseSpin("--spin_us", FLAGS_spin_us);
  return ParseSpin("WEIR_SPIN_US", Variable("WEIR_SPIN_US"));
}

std::vector<std::string> SocketBasesOfProcess() { return SocketBases(Variable("XDG_RUNTIME_DIR")); }

std::string HostName() {
  char name[256] = "";
  gethostname(name, sizeof(name) - 1);
  return name;
}

void SayReady(const std::string& line) {
  int fd = -1;
  if (!absl::SimpleAtoi(Variable("WEIR_READY_FD"), &fd) || fd < 3) return;
  unsetenv("WEIR_READY_FD");
  const std::string text = absl::StrCat(line, "\n");
  if (write(fd, text.data(), text.size()) < 0) perror("WEIR_READY_FD");
  close(fd);
}

int ExitOfRunDirectory(const absl::Status& refused) {
  return absl::IsFailedPrecondition(refused) ? kExitUsage : 1;
}

int ExitWith(const std::string& program, absl::string_view message, int code) {
  fprintf(stderr, "%s: %s\n", program.c_str(), std::string(message).c_str());
  return code;
}

}  // namespace weir
