// SPDX-License-Identifier: Apache-2.0
#include "tools/load_rows.h"

#include <stdlib.h>

#include <filesystem>
#include <memory>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "launcher/counted.h"
#include "launcher/run_directory.h"
#include "launcher/topology_parse.h"
#include "tools/load_process.h"

namespace weir {
namespace {

constexpr size_t kMaxReportBytes = size_t{64} << 20;

// A directory of one repetition's own, gone when it is.
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

std::string TopologyText(const LoadRow& row) {
  return absl::StrCat("version: 1\nname: loadtest\nservers: {count: ", row.servers,
                      "}\nworkers: {count: ", row.workers, "}\ntransport: ", row.transport,
                      "\ncodec: ", row.codec, "\n");
}

// What every load has, whatever the file says: without it the values have no formula, or a step has
// answers that are no load's.
std::vector<std::string> LoadSettings(const LoadRow& row,
                                      const std::vector<std::string>& worker_command) {
  std::vector<std::string> settings = {
      "consistency.mode=asp",
      "restart.workers=0",
      "train.optimizer.type=sgd",
      "train.optimizer.weight_decay=0",
      "train.optimizer.clip_value=0",
      "train.schedule.type=constant",
      "train.schedule.warmup_steps=0",
      absl::StrFormat("train.optimizer.learning_rate=%.17g", row.load.learning_rate),
      absl::StrCat("workers.program=[\"", absl::StrJoin(worker_command, "\", \""), "\"]")};
  if (row.max_staleness)
    settings.push_back(absl::StrCat("consistency.max_staleness=", *row.max_staleness));
  settings.insert(settings.end(), row.settings.begin(), row.settings.end());
  return settings;
}

std::function<ProcessSeat(const PlannedProcess&)> SeatOf(const LoadRow& row) {
  if (row.pin == LoadPin::kNone) return row.seat;
  return [row](const PlannedProcess& process) {
    ProcessSeat seat = row.seat ? row.seat(process) : ProcessSeat{};
    const int core = CoreOf(row.pin, process.role == ProcessRole::kWorker);
    for (const std::string& word : {std::string("taskset"), std::string("-c"), absl::StrCat(core)})
      seat.prefix.push_back(word);
    return seat;
  };
}

absl::StatusOr<LoadReport> ReadReports(const std::string& run_dir, uint64_t workers) {
  std::vector<LoadReport> reports;
  for (uint64_t rank = 0; rank < workers; ++rank) {
    const auto text = ReadFile(LoadReportPath(run_dir, rank), kMaxReportBytes);
    if (!text.ok()) return text.status();
    auto report =
        LoadReportFromJson(nlohmann::json::parse(*text, nullptr, /*allow_exceptions=*/false));
    if (!report.ok()) return report.status();
    reports.push_back(*std::move(report));
  }
  return Merge(reports);
}

}  // namespace

std::string LoadRow::Label() const {
  return absl::StrCat(transport, " ", codec, ", ", Counted(servers, "server"), ", ",
                      Counted(workers, "worker"));
}

absl::StatusOr<Topology> TopologyOf(const LoadRow& row,
                                    const std::vector<std::string>& worker_command) {
  std::vector<std::string> settings = LoadSettings(row, worker_command);
  ParsedTopology parsed;
  if (row.topology_file.empty()) {
    TopologySource source;
    source.text = TopologyText(row);
    source.file = "the command line";
    source.settings = std::move(settings);
    parsed = ParseTopology(source);
  } else {
    parsed = LoadTopology(row.topology_file, settings);
  }
  if (parsed.ok()) return std::move(parsed.topology);
  return absl::InvalidArgumentError(
      absl::StrJoin(parsed.errors, "\n", [](std::string* out, const TopologyProblem& problem) {
        absl::StrAppend(out, problem.ToString());
      }));
}

absl::StatusOr<LoadRun> RunRow(const LoadRow& row, int* interrupted) {
  const auto programs = ProgramDirectory();
  if (!programs.ok()) return programs.status();
  const BlockedSignals signals;  // before there is anything to take away
  const auto directory = TemporaryDirectory::Make();
  if (!directory.ok()) return directory.status();
  const std::string options_path = absl::StrCat((*directory)->path(), "/load.json");
  if (absl::Status status = WriteFile(options_path, ToJson(row.load).dump(), 0644); !status.ok())
    return status;
  auto topology = TopologyOf(
      row, {absl::StrCat(*programs, "/weir-loadtest"), absl::StrCat("--as_worker=", options_path)});
  if (!topology.ok()) return topology.status();
  ClusterSpec spec;
  spec.topology = *std::move(topology);
  spec.program_dir = *programs;
  spec.run_dir = (*directory)->path();
  spec.connect = row.connect;
  spec.token_file = row.token_file;
  spec.workers_only = row.load.mode == "apply";
  if (row.load.mode == "net" || row.load.mode == "echo") {
    spec.peer = {absl::StrCat(*programs, "/weir-loadtest"),
                 absl::StrCat("--as_peer=", row.load.mode)};
  }
  spec.seat = SeatOf(row);
  spec.namespaces = row.namespaces;
  if (!row.spin_us.empty()) spec.env = {{"WEIR_SPIN_US", row.spin_us}};
  const auto workers = static_cast<uint64_t>(spec.topology.workers.count);
  LoadCluster cluster(std::move(spec));
  const absl::Status ran = cluster.Run(signals);
  if (cluster.signal() != 0) *interrupted = cluster.signal();
  if (!ran.ok()) return ran;
  auto report = ReadReports((*directory)->path(), workers);
  if (!report.ok()) return report.status();
  LoadFigures figures = FiguresOf(*report, cluster.usage());
  if (report->exchanges > 0)
    figures.connection_reuse = ConnectionReuse(cluster.opened(), report->exchanges);
  return LoadRun{figures, *report, cluster.usage()};
}

absl::StatusOr<std::string> ProgramDirectory() {
  std::error_code error;
  const std::filesystem::path self = std::filesystem::read_symlink("/proc/self/exe", error);
  if (error) return absl::NotFoundError(absl::StrCat("/proc/self/exe: ", error.message()));
  return self.parent_path().string();
}

}  // namespace weir
