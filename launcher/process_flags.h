// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_LAUNCHER_PROCESS_FLAGS_H_
#define WEIR_LAUNCHER_PROCESS_FLAGS_H_

#include <gflags/gflags_declare.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

// The flags that more than one of the processes takes. Read by the mains (launcher/cmd_*.cc) alone.
DECLARE_string(coordinator);
DECLARE_int32(rank);
DECLARE_string(host);
DECLARE_int32(port);
DECLARE_string(token_file);
DECLARE_string(run_dir);
DECLARE_string(spin_us);
DECLARE_int32(servers);
DECLARE_int32(workers);

namespace weir {

// The job's token: of --token_file, or of the file that WEIR_TOKEN_FILE names; "" when there is
// neither.
absl::StatusOr<std::string> TokenOfProcess();

// --rank; nothing: any free place. INVALID_ARGUMENT: below -1.
absl::StatusOr<std::optional<uint32_t>> RankOfProcess();

// --coordinator, or WEIR_COORDINATOR; "" when there is neither. INVALID_ARGUMENT: not HOST:PORT.
absl::StatusOr<std::string> CoordinatorOfProcess();

// --spin_us, or WEIR_SPIN_US; nothing when there is neither. INVALID_ARGUMENT: see ParseSpin.
absl::StatusOr<std::optional<absl::Duration>> SpinOfProcess();

// Where this process may make the directory of its Unix socket: see SocketBases.
std::vector<std::string> SocketBasesOfProcess();

// This machine's name.
std::string HostName();

// Says `line` on the pipe that WEIR_READY_FD names, if whoever started this process gave it one,
// and closes it.
void SayReady(const std::string& line);

// What a process exits with that got `refused` from MakeRunDirectory: kExitUsage, where another
// directory would do, or 1.
int ExitOfRunDirectory(const absl::Status& refused);

// Prints "weir-ps: <message>" to stderr and returns `code`.
int ExitWith(const std::string& program, absl::string_view message, int code);

constexpr int kExitUsage = 2;
constexpr int kExitBadTopology = 65;
constexpr int kExitUnreachable = 69;
constexpr int kExitTimedOut = 75;

}  // namespace weir

#endif  // WEIR_LAUNCHER_PROCESS_FLAGS_H_
