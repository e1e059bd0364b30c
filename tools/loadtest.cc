// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <gflags/gflags.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <memory>
#include <optional>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "launcher/child_process.h"
#include "launcher/flags.h"
#include "launcher/process_end.h"
#include "launcher/process_flags.h"
#include "launcher/run_directory.h"
#include "launcher/verbs.h"
#include "tools/load_report.h"
#include "weir/worker.h"

DEFINE_string(profile, "resnet50", "tensors to move: resnet50, mlp or uniform:COUNTxSIZE");
DEFINE_string(transport, "tcp", "how payloads travel: tcp");
DEFINE_string(codec, "f32", "how values are encoded on the wire: f32");
DEFINE_uint64(steps, 30, "counted push-pulls of the whole model, of each worker, 1 to 100000");
DEFINE_uint64(pulls, 2000, "counted pulls of the smallest tensor, 1 to 1000000");
DEFINE_bool(roofline, false, "measure what the machine can do at all, and print the share of it");
DEFINE_string(json, "", "write the figures to this file too");
DEFINE_bool(as_worker, false, "be one load worker (the load test starts these itself)");

// `weir-loadtest`: starts servers and load workers as processes on this machine, drives them,
// checks every answer, and prints one table. Exit codes: 0; 1 a wrong answer or a run that failed;
// 2 usage; 128 and the number of the signal that ended it.
namespace weir {
namespace {

constexpr size_t kMaxReportBytes = size_t{64} << 20;

int Complain(const absl::Status& status, int code) {
  return ExitWith("weir-loadtest", status.message(), code);
}

uint32_t Servers() { return FLAGS_servers == 0 ? 1 : static_cast<uint32_t>(FLAGS_servers); }
uint32_t Workers() { return FLAGS_workers == 0 ? 1 : static_cast<uint32_t>(FLAGS_workers); }

FlagTable LoadtestFlags(const std::string& program) {
  FlagTable table;
  table.usage = program + " [flags]";
  table.about =
      "Starts servers and workers on this machine, moves a model's gradients and weights between "
      "them, checks\n"
      "every value that comes back, and prints what it measured. docs/performance.md says what "
      "each figure means.";
  table.flags = {"profile", "servers", "workers",  "transport", "codec",
                 "steps",   "pulls",   "roofline", "json",      "as_worker"};
  table.instead = {{"servers", "how many servers, 1 to 64 (default 1)"},
                   {"workers", "how many workers, 1 to 64 (default 1)"},
                   {"as_worker", ""}};
  return table;
}

template <typename Number>
absl::Status CheckRange(const char* flag, Number value, Number most) {
  if (value >= 1 && value <= most) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("--", flag, "=", value, ": from 1 to ", most));
}

absl::Status CheckFlags() {
  if (FLAGS_transport != "tcp" && FLAGS_transport != "auto") {
    return absl::InvalidArgumentError(
        absl::StrCat("--transport=", FLAGS_transport, ": not yet; today it is tcp"));
  }
  if (FLAGS_codec != "f32") {
    return absl::InvalidArgumentError(
        absl::StrCat("--codec=", FLAGS_codec, ": not yet; today it is f32"));
  }
  for (const absl::Status& status :
       {CheckRange<int64_t>("servers", FLAGS_servers == 0 ? 1 : FLAGS_servers, 64),
        CheckRange<int64_t>("workers", FLAGS_workers == 0 ? 1 : FLAGS_workers, 64),
        CheckRange<uint64_t>("steps", FLAGS_steps, 100000),
        CheckRange<uint64_t>("pulls", FLAGS_pulls, 1000000),
        MakeLoadProfile(FLAGS_profile).status()}) {
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

// Whether the figures can go to the file of --json, before anything is measured. Leaves no file.
absl::Status CheckJsonPath(const std::string& path) {
  if (path.empty()) return absl::OkStatus();
  const int flags = O_WRONLY | O_APPEND | O_NONBLOCK | O_CLOEXEC;
  const auto refused = [&] {
    return absl::ErrnoToStatus(errno, absl::StrCat("--json=", path, ": cannot be written"));
  };
  int file = open(path.c_str(), flags | O_CREAT | O_EXCL, 0644);
  if (file >= 0) {
    close(file);
    return unlink(path.c_str()) == 0 ? absl::OkStatus() : refused();
  }
  if (errno == EEXIST) file = open(path.c_str(), flags);
  if (file < 0) return refused();
  struct stat about {};
  const bool plain = fstat(file, &about) == 0 && S_ISREG(about.st_mode);
  close(file);
  if (plain) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("--json=", path, ": is not a plain file"));
}

std::string ReportPath(const std::string& run_dir, uint32_t rank) {
  return absl::StrCat(run_dir, "/load-", rank, ".json");
}

// One load worker, started by `weir run` with the job in its environment. Its report goes to a file
// in the run's directory.
absl::Status RunAsWorker() {
  const char* run_dir = std::getenv("WEIR_RUN_DIR");
  if (run_dir == nullptr)
    return absl::FailedPreconditionError(
        "--as_worker is for the load test itself: WEIR_RUN_DIR is not set");
  const auto profile = MakeLoadProfile(FLAGS_profile);
  if (!profile.ok()) return profile.status();
  const Result<Options> options = Options::FromEnvironment();
  if (!options.ok()) return absl::FailedPreconditionError(options.status().ToString());
  Result<std::unique_ptr<Worker>> worker = Worker::Connect(options.value());
  if (!worker.ok()) return absl::UnavailableError(worker.status().ToString());
  LoadOptions load;
  load.steps = FLAGS_steps;
  load.pulls = FLAGS_pulls;
  const auto report = RunLoadWorker(**worker, *profile, load);
  if (!report.ok()) return report.status();
  const std::string path = ReportPath(run_dir, (*worker)->job().rank);
  if (absl::Status status = WriteFile(path, ToJson(*report).dump(), 0644); !status.ok())
    return status;
  const Status left = (*worker)->Leave();
  return left.ok() ? absl::OkStatus() : absl::InternalError(left.ToString());
}

// A directory of this load test's own, gone when it is.
class TemporaryDirectory {
 public:
  static absl::StatusOr<std::unique_ptr<TemporaryDirectory>> Make() {
    std::error_code error;
    const std::filesystem::path parent = std::filesystem::temp_directory_path(error);
    if (error) {
      return absl::NotFoundError(
          absl::StrCat("no directory for temporary files (TMPDIR): ", error.message()));
    }
    std::string path = (parent / "weir-loadtest-XXXXXX").string();
    if (mkdtemp(path.data()) == nullptr)
      return absl::ErrnoToStatus(errno, absl::StrCat("cannot make ", path));
    return std::unique_ptr<TemporaryDirectory>(new TemporaryDirectory(std::move(path)));
  }
  ~TemporaryDirectory() {
    std::error_code ignored;  // nothing is left to tell
    std::filesystem::remove_all(path_, ignored);
  }
  const std::string& path() const { return path_; }

 private:
  explicit TemporaryDirectory(std::string path) : path_(std::move(path)) {}
  const std::string path_;
};

absl::StatusOr<std::string> ProgramDirectory() {
  std::error_code error;
  const std::filesystem::path self = std::filesystem::read_symlink("/proc/self/exe", error);
  if (error) return absl::NotFoundError(absl::StrCat("/proc/self/exe: ", error.message()));
  return self.parent_path().string();
}

std::string TopologyText(const std::string& program) {
  const std::vector<std::string> command = {
      program, "--as_worker", absl::StrCat("--profile=", FLAGS_profile),
      absl::StrCat("--steps=", FLAGS_steps), absl::StrCat("--pulls=", FLAGS_pulls)};
  return absl::StrCat("version: 1\nname: loadtest\nservers: {count: ", Servers(),
                      "}\nworkers:\n  count: ", Workers(), "\n  program: [\"",
                      absl::StrJoin(command, "\", \""),
                      "\"]\nconsistency: {mode: asp}\ntransport: tcp\ntrain:\n  optimizer: {type: "
                      "sgd, learning_rate: ",
                      absl::StrFormat("%.17g", kLoadLearningRate), "}\n");
}

// Waits for the run to end. `signals` are blocked, SIGCHLD among them; the others are for the run,
// which ends in order: then this program's directory goes too. `interrupted`: the first of them.
absl::StatusOr<ProcessEnd> AwaitRun(pid_t run, const sigset_t& signals, int* interrupted) {
  for (;;) {
    int wait_status = 0;
    const pid_t ended = waitpid(run, &wait_status, WNOHANG);
    if (ended < 0) return absl::ErrnoToStatus(errno, "waitpid");
    if (ended == run) return ProcessEnd::FromWaitStatus(wait_status);
    const int signal = sigwaitinfo(&signals, nullptr);
    if (signal <= 0 || signal == SIGCHLD) continue;
    if (*interrupted == 0) *interrupted = signal;
    kill(run, signal);
  }
}

// Runs the cluster to its end. CANCELLED: a signal ended it, the one in `interrupted`.
absl::Status RunCluster(const std::string& directory, int* interrupted) {
  const auto programs = ProgramDirectory();
  if (!programs.ok()) return programs.status();
  const std::string topology = absl::StrCat(directory, "/loadtest.yaml");
  if (absl::Status status =
          WriteFile(topology, TopologyText(absl::StrCat(*programs, "/weir-loadtest")), 0644);
      !status.ok()) {
    return status;
  }
  ProcessSpec spec;
  spec.argv = {absl::StrCat(*programs, "/weir"), "run", topology, "--run_dir",
               absl::StrCat(directory, "/run")};
  spec.log_path = absl::StrCat(directory, "/run.log");
  sigset_t signals;
  sigemptyset(&signals);
  for (int number : {SIGINT, SIGTERM, SIGHUP, SIGCHLD}) sigaddset(&signals, number);
  sigprocmask(SIG_BLOCK, &signals, nullptr);
  const auto pid = StartProcess(spec);
  if (!pid.ok()) return pid.status();
  const auto end = AwaitRun(*pid, signals, interrupted);
  if (!end.ok()) return end.status();
  if (end->ok()) return absl::OkStatus();
  if (*interrupted != 0) return absl::CancelledError("interrupted: nothing was measured");
  return absl::InternalError(
      absl::StrCat("the run ended with ", end->Describe(), ":\n", LastLines(spec.log_path, 40)));
}

absl::StatusOr<std::vector<LoadReport>> ReadReports(const std::string& run_dir) {
  std::vector<LoadReport> reports;
  for (uint32_t rank = 0; rank < Workers(); ++rank) {
    const auto text = ReadFile(ReportPath(run_dir, rank), kMaxReportBytes);
    if (!text.ok()) return text.status();
    auto report =
        LoadReportFromJson(nlohmann::json::parse(*text, nullptr, /*allow_exceptions=*/false));
    if (!report.ok()) return report.status();
    reports.push_back(*std::move(report));
  }
  return reports;
}

absl::Status Measure(std::optional<Roofline>* roofline, LoadRow* row, int* interrupted) {
  if (FLAGS_roofline) {
    auto measured = MeasureRoofline({});
    if (!measured.ok()) return measured.status();
    *roofline = *measured;
  }
  const auto directory = TemporaryDirectory::Make();
  if (!directory.ok()) return directory.status();
  absl::Status status = RunCluster((*directory)->path(), interrupted);
  if (!status.ok()) return status;
  const auto reports = ReadReports(absl::StrCat((*directory)->path(), "/run"));
  if (!reports.ok()) return reports.status();
  *row = Summarize(*reports);
  row->profile = FLAGS_profile;
  row->transport = "tcp";
  row->codec = FLAGS_codec;
  row->servers = Servers();
  return absl::OkStatus();
}

}  // namespace

int CmdLoadtest(const std::string& program, const std::vector<std::string>& words) {
  const FlagTable table = LoadtestFlags(program);
  const auto line = ParseCommandLine(table, words);
  if (!line.ok()) return Complain(line.status(), kExitUsage);
  if (line->help) {
    std::cout << HelpText(table);
    return 0;
  }
  if (absl::Status status = CheckFlags(); !status.ok()) return Complain(status, kExitUsage);
  if (FLAGS_as_worker) {
    const absl::Status status = RunAsWorker();
    return status.ok() ? 0 : Complain(status, 1);
  }
  if (absl::Status status = CheckJsonPath(FLAGS_json); !status.ok())
    return Complain(status, kExitUsage);
  std::optional<Roofline> roofline;
  LoadRow row;
  int interrupted = 0;
  if (absl::Status status = Measure(&roofline, &row, &interrupted); !status.ok())
    return Complain(status, interrupted == 0 ? 1 : 128 + interrupted);
  std::cout << FormatTable(row, roofline);
  if (!FLAGS_json.empty()) {
    const absl::Status status = WriteFile(FLAGS_json, ToJson(row, roofline).dump(2) + "\n", 0644);
    if (!status.ok()) return Complain(status, 1);
  }
  if (row.wrong == 0) return 0;
  return Complain(absl::DataLossError(absl::StrCat(row.wrong, " answers were wrong")), 1);
}

}  // namespace weir
