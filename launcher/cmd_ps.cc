// SPDX-License-Identifier: Apache-2.0
#include <gflags/gflags.h>
#include <signal.h>
#include <stdio.h>

#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "core/host_key.h"
#include "launcher/coordinator_service.h"
#include "launcher/flags.h"
#include "launcher/job_of_process.h"
#include "launcher/process_flags.h"
#include "launcher/server_process.h"
#include "launcher/verbs.h"

DEFINE_int32(shards, 0, "how many shards the plan gives it; the coordinator decides");
DEFINE_string(advertise, "", "host:port that the workers are told; else where it listens");
DEFINE_int32(job_threads, -1,
             "threads for the arithmetic of each shard, beside the one that receives; -1: one for "
             "each core that the job's other processes leave, up to 3");

namespace weir {
namespace {

// The job of a server that is alone: it coordinates too.
absl::StatusOr<std::unique_ptr<CoordinatorService>> CoordinateAlone(
    std::vector<std::string> settings, const std::string& token) {
  settings.push_back("servers.count=1");
  std::optional<Topology> topology = TopologyOfProcess(std::move(settings));
  if (!topology) return absl::InvalidArgumentError("the topology is wrong");
  absl::StatusOr<Membership::Options> options = JobOfProcess(&*topology, token);
  if (!options.ok()) return options.status();
  return std::make_unique<CoordinatorService>(*std::move(options));
}

int Serve(const std::string& program, const std::vector<std::string>& settings) {
  absl::StatusOr<std::string> token = TokenOfProcess();
  if (!token.ok()) return ExitWith(program, token.status().message(), kExitUsage);
  ServerProcess::Options options;
  absl::StatusOr<std::string> coordinator = CoordinatorOfProcess();
  if (!coordinator.ok()) return ExitWith(program, coordinator.status().message(), kExitUsage);
  options.coordinator = *coordinator;
  options.job_token = *token;
  absl::StatusOr<std::optional<uint32_t>> rank = RankOfProcess();
  if (!rank.ok()) return ExitWith(program, rank.status().message(), kExitUsage);
  options.rank = *rank;
  options.host = FLAGS_host;
  options.port = FLAGS_port;
  options.advertise = FLAGS_advertise;
  options.socket_bases = SocketBasesOfProcess();
  options.host_key = ReadHostKey();
  options.host_name = HostName();
  if (FLAGS_job_threads != -1) options.job_threads = FLAGS_job_threads;
  const auto spin = SpinOfProcess();
  if (!spin.ok()) return ExitWith(program, spin.status().message(), kExitUsage);
  options.spin = *spin;

  sigset_t signals;
  sigemptyset(&signals);
  for (int number : {SIGINT, SIGTERM}) sigaddset(&signals, number);
  sigprocmask(SIG_BLOCK, &signals, nullptr);  // before any thread: all inherit it
  std::unique_ptr<CoordinatorService> alone;
  if (options.coordinator.empty()) {
    absl::StatusOr<std::unique_ptr<CoordinatorService>> made = CoordinateAlone(settings, *token);
    if (!made.ok()) return ExitWith(program, made.status().message(), kExitBadTopology);
    alone = *std::move(made);
    options.services.push_back(alone->service());
  }
  ServerProcess server(std::move(options));
  absl::Status status = server.Listen();
  if (!status.ok()) return ExitWith(program, status.message(), 1);
  if (alone != nullptr)
    printf("weir-ps: alone, coordinator and server at %s\n", server.address().c_str());
  fflush(stdout);
  SayReady(server.address());
  status = server.Serve(signals);
  if (status.ok()) return 0;
  return ExitWith(program, status.message(), absl::IsUnavailable(status) ? kExitUnreachable : 1);
}

}  // namespace

int CmdPs(const std::string& program, const std::vector<std::string>& words) {
  FlagTable table;
  table.usage = program + " --coordinator=HOST:PORT [flags]";
  table.about =
      "Holds a share of a job's weights, as one of its servers. Without a coordinator it is one "
      "itself: a\n"
      "job of one server, with the --workers, --topology and --set of weir-coordinator.";
  table.flags = {"coordinator", "rank",        "shards",  "host",     "port",   "advertise",
                 "token_file",  "job_threads", "spin_us", "topology", "workers"};
  table.repeated = "set";
  table.repeated_help = "alone: set a key of the topology";
  absl::StatusOr<CommandLine> line = ParseCommandLine(table, words);
  if (!line.ok()) return ExitWith(program, line.status().message(), kExitUsage);
  if (line->help) {
    fputs(HelpText(table).c_str(), stdout);
    return 0;
  }
  return Serve(program, line->repeated);
}

}  // namespace weir
