// SPDX-License-Identifier: Apache-2.0
#include <gflags/gflags.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <filesystem>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "launcher/console.h"
#include "launcher/counted.h"
#include "launcher/flags.h"
#include "launcher/job_settings.h"
#include "launcher/load_topology.h"
#include "launcher/local_backend.h"
#include "launcher/plan.h"
#include "launcher/process_flags.h"
#include "launcher/run_directory.h"
#include "launcher/run_results.h"
#include "launcher/supervisor.h"
#include "launcher/topology_print.h"
#include "launcher/verbs.h"
#include "models/matrix.h"
#include "net/socket_directory.h"

DEFINE_bool(dry_run, false, "print what would be started, and start nothing");
DEFINE_int32(start_timeout, 60, "seconds until every process must have joined");

namespace weir {
namespace {

constexpr int kTokenBytes = 32;

// Where this program and its links lie.
absl::StatusOr<std::string> ProgramDirectory() {
  std::error_code error;
  const std::filesystem::path self = std::filesystem::read_symlink("/proc/self/exe", error);
  if (error) return absl::InternalError("cannot find this program in /proc/self/exe");
  return self.parent_path().string();
}

Console::Options ConsoleOptions() {
  Console::Options options;
  options.out = stdout;
  const char* term = getenv("TERM");
  const std::string name = term == nullptr ? "" : term;
  options.terminal = isatty(STDOUT_FILENO) == 1 && name != "dumb";
  const char* no_color = getenv("NO_COLOR");  // no-color.org: set, and not to nothing
  options.color = options.terminal && (no_color == nullptr || *no_color == '\0');
  winsize size;
  if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
    options.columns = size.ws_col;
  return options;
}

void DryRun(const Topology& topology, const RunPlace& place) {
  printf("# %s/topology.yaml\n%s\n", place.run_dir.c_str(), ResolvedYaml(topology).c_str());
  printf("# Processes, started by one agent on this host:\n");
  for (const PlannedProcess& process : MakePlan(topology))
    printf("%s\n", ShellLine(StartCommand(process, place)).c_str());
}

// Writes what the processes will read: the topology, and the job's token.
absl::Status FillRunDirectory(const Topology& topology, const RunPlace& place,
                              const std::string& token) {
  absl::Status status =
      WriteFile(absl::StrCat(place.run_dir, "/topology.yaml"), ResolvedYaml(topology), 0644);
  if (status.ok() && !token.empty())
    status = WriteFile(place.token_file, absl::StrCat(token, "\n"), 0600);
  return status;
}

int Supervise(const std::string& program, const Topology& topology, const PreparedModel& prepared,
              RunPlace place, const std::string& token) {
  sigset_t set;
  sigemptyset(&set);
  for (int number : {SIGINT, SIGTERM, SIGHUP}) sigaddset(&set, number);
  sigprocmask(SIG_BLOCK, &set, nullptr);

  Supervisor::Options options;
  options.plan = MakePlan(topology);
  options.place = place;
  options.job_token = token;
  options.agent_argv = {absl::StrCat(place.program_dir, "/weir"), "agent"};
  options.host = HostName();
  options.steps = prepared.steps;
  options.start_timeout = absl::Seconds(FLAGS_start_timeout);
  options.finish = [&](const JobStatus& job, RunSummary* summary) {
    return SaveWeights(job, token, place.run_dir, prepared.model.get(), summary);
  };
  Console console(ConsoleOptions());
  console.Say(absl::StrCat("Run '", topology.name, "': ", Counted(topology.servers.count, "server"),
                           ", ", Counted(topology.workers.count, "worker"),
                           "; logs and results in ", place.run_dir, "\n"));
  Supervisor::Outcome outcome = Supervisor(std::move(options), &console).Run();
  RemoveStaleSocketDirectories(SocketBasesOfProcess());  // where the agent was killed too
  // What the coordinator did not live to tell.
  if (outcome.summary.job.settings.name.empty())
    outcome.summary.job.settings = JobSettingsOf(topology);
  absl::Status written = WriteSummary(place.run_dir, outcome.summary);
  console.Say(FinalTable(outcome.summary, place.run_dir));
  if (!written.ok()) return ExitWith(program, written.message(), std::max(1, outcome.exit_code));
  return outcome.exit_code;
}

// The end of a run whose data or model cannot be used: nothing was started.
int EndUnstarted(const std::string& program, const Topology& topology, const std::string& run_dir,
                 const absl::Status& status) {
  RunSummary summary;
  summary.job.settings = JobSettingsOf(topology);
  summary.failure = RunFailure{"launcher", "launcher", 0, HostName()};
  summary.failure->exit = kExitBadTopology;
  summary.failure->reason = std::string(status.message());
  absl::Status written = WriteSummary(run_dir, summary);
  if (!written.ok()) ExitWith(program, written.message(), kExitBadTopology);
  return ExitWith(program, status.message(), kExitBadTopology);
}

int DryRunOf(const std::string& program, Topology topology, RunPlace place) {
  absl::StatusOr<PreparedModel> prepared = PrepareModel(&topology);
  if (!prepared.ok()) return ExitWith(program, prepared.status().message(), kExitBadTopology);
  place.run_dir =
      FLAGS_run_dir.empty() ? absl::StrCat("runs/", topology.name, "-TIME") : FLAGS_run_dir;
  place.token_file = absl::StrCat(place.run_dir, "/token");
  place.coordinator = "HOST:PORT";
  DryRun(topology, place);
  return 0;
}

int Run(const std::string& program, Topology topology) {
  FixEigenArithmetic();
  absl::StatusOr<std::string> programs = ProgramDirectory();
  if (!programs.ok()) return ExitWith(program, programs.status().message(), 1);
  RunPlace place;
  place.program_dir = *programs;
  place.threads_are_set = getenv("OMP_NUM_THREADS") != nullptr;
  if (FLAGS_dry_run) return DryRunOf(program, std::move(topology), std::move(place));
  absl::StatusOr<std::string> directory =
      MakeRunDirectory(FLAGS_run_dir, topology.name, absl::Now());
  if (!directory.ok()) {
    return ExitWith(program, directory.status().message(), ExitOfRunDirectory(directory.status()));
  }
  place.run_dir = *directory;
  absl::StatusOr<PreparedModel> prepared = PrepareModel(&topology);
  if (!prepared.ok()) return EndUnstarted(program, topology, place.run_dir, prepared.status());
  std::string token;
  if (topology.security.mode != SecurityMode::kNone) {
    token = absl::BytesToHexString(RandomBytes(kTokenBytes));
    place.token_file = absl::StrCat(place.run_dir, "/token");
  }
  absl::Status filled = FillRunDirectory(topology, place, token);
  if (!filled.ok()) return ExitWith(program, filled.message(), 1);
  return Supervise(program, topology, *prepared, std::move(place), token);
}

}  // namespace

int CmdRun(const std::string& program, const std::vector<std::string>& words) {
  FlagTable table;
  table.usage = program + " FILE [--set key.path=value ...] [--run_dir DIR] [--dry_run]";
  table.about =
      "Runs the job that the topology FILE describes: starts its servers and workers on this "
      "machine, shows how\n"
      "training goes, saves the weights, and leaves nothing running.\n\n"
      "Exits with 0, or the code of the process that failed first; 128 + n for signal n; 2: usage; "
      "65: bad "
      "topology\n"
      "or data; 75: the start took too long.";
  table.flags = {"run_dir", "dry_run", "start_timeout"};
  table.repeated = "set";
  table.repeated_help = "set a key of the topology, as in --set workers.count=4";
  table.min_arguments = table.max_arguments = 1;
  absl::StatusOr<CommandLine> line = ParseCommandLine(table, words);
  if (!line.ok()) return ExitWith(program, line.status().message(), kExitUsage);
  if (line->help) {
    fputs(HelpText(table).c_str(), stdout);
    return 0;
  }
  if (FLAGS_start_timeout <= 0) {
    return ExitWith(program,
                    absl::StrCat("--start_timeout is 1 second or more, not ", FLAGS_start_timeout),
                    kExitUsage);
  }
  std::optional<Topology> topology =
      AcceptTopology(LoadTopology(line->arguments[0], line->repeated));
  if (!topology) return kExitBadTopology;
  return Run(program, *std::move(topology));
}

}  // namespace weir
