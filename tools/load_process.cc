// SPDX-License-Identifier: Apache-2.0
#include "tools/load_process.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include <memory>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "launcher/process_flags.h"
#include "launcher/run_directory.h"
#include "launcher/topology_parse.h"
#include "tools/load_apply.h"
#include "tools/load_cluster.h"
#include "tools/load_echo.h"
#include "tools/load_job_totals.h"
#include "tools/load_peer.h"
#include "tools/load_worker.h"
#include "weir/worker.h"
#include "worker/options.h"

namespace weir {
namespace {

constexpr size_t kMaxOptionsBytes = size_t{64} << 10;
constexpr absl::Duration kTotalsLimit = absl::Seconds(30);  // servers tell them twice a second

void Say(const char* line) {
  puts(line);
  fflush(stdout);
}

// The variable of the environment that the load test set. FAILED_PRECONDITION: it did not.
absl::StatusOr<std::string> Variable(const char* name) {
  const char* value = getenv(name);
  if (value != nullptr) return std::string(value);
  return absl::FailedPreconditionError(
      absl::StrCat("--as_worker is for the load test itself: ", name, " is not set"));
}

// Takes rate and codec of the job that the worker has joined.
absl::Status AdoptJob(const JobInfo& job, LoadOptions* load) {
  TopologySource source;
  source.text = job.topology;
  source.file = "the job's topology";
  const ParsedTopology parsed = ParseTopology(source);
  if (!parsed.ok()) return absl::FailedPreconditionError(parsed.errors[0].ToString());
  const OptimizerSpec& optimizer = parsed.topology.train.optimizer;
  if (job.mode != Mode::kAsp) {
    return absl::FailedPreconditionError(
        "a load needs a job in mode asp: consistency.mode=asp in its topology");
  }
  if (optimizer.type != OptimizerType::kSgd || optimizer.weight_decay != 0 ||
      optimizer.clip_value != 0 || parsed.topology.train.schedule.type != ScheduleType::kConstant) {
    return absl::FailedPreconditionError(
        "a load needs a job with plain sgd at a constant rate: no other has an exact formula");
  }
  if (job.max_staleness && load->conflicts == 0) {
    return absl::FailedPreconditionError(
        "a load needs a job without consistency.max_staleness: none of its pushes may be stale");
  }
  const CodecChoice& codec = parsed.topology.codec;
  if (!codec.tensors.empty() || codec.all.error_feedback) {
    return absl::FailedPreconditionError(
        "a load needs a job with one codec for all tensors and without error feedback");
  }
  load->codec = CodecName(Specified(codec.all.pull));
  load->learning_rate = optimizer.learning_rate;
  return CheckLoadOptions(*load);
}

// Every other worker may have left: this one's place keeps the servers.
absl::StatusOr<ServerTotals> ServersOf(const Options& options) {
  const Result<std::string> token = ReadToken(options);
  if (!token.ok()) return absl::FailedPreconditionError(token.status().ToString());
  return AskServerTotals(options.coordinator, *token, kTotalsLimit);
}

absl::StatusOr<LoadReport> RunOnJob(LoadOptions load, const LoadMarks& marks) {
  const Result<Options> options = Options::FromEnvironment();
  if (!options.ok()) return absl::FailedPreconditionError(options.status().ToString());
  Result<std::unique_ptr<Worker>> worker = Worker::Connect(options.value());
  if (!worker.ok()) return absl::UnavailableError(worker.status().ToString());
  const absl::Status fits = AdoptJob((*worker)->job(), &load);
  auto report = fits.ok() ? RunLoadWorker(**worker, load, marks) : fits;
  if (report.ok() && load.asks_servers && (*worker)->job().rank == 0) {
    const auto servers = ServersOf(options.value());
    if (servers.ok())
      report->servers = *servers;
    else
      report = servers.status();
  }
  if (!report.ok()) {
    (void)(*worker)->Fail(std::string(report.status().message()));
    return report;
  }
  const Status left = (*worker)->Leave();
  if (!left.ok()) return absl::InternalError(left.ToString());
  return report;
}

}  // namespace

absl::StatusOr<LoadOptions> ReadLoadOptions(const std::string& path) {
  const auto text = ReadFile(path, kMaxOptionsBytes);
  if (!text.ok()) return text.status();
  return LoadOptionsFromJson(nlohmann::json::parse(*text, nullptr, /*allow_exceptions=*/false));
}

std::string LoadReportPath(const std::string& run_dir, uint64_t rank) {
  return absl::StrCat(run_dir, "/load-", rank, ".json");
}

absl::Status RunAsLoadWorker(const std::string& options_path) {
  const auto load = ReadLoadOptions(options_path);
  if (!load.ok()) return load.status();
  const auto run_dir = Variable("WEIR_RUN_DIR");
  if (!run_dir.ok()) return run_dir.status();
  const auto rank = Variable("WEIR_RANK");
  if (!rank.ok()) return rank.status();
  const auto address = Variable("WEIR_COORDINATOR");
  if (!address.ok()) return address.status();
  uint64_t number = 0;
  if (!absl::SimpleAtoi(*rank, &number))
    return absl::InvalidArgumentError(absl::StrCat("WEIR_RANK is no number: '", *rank, "'"));
  LoadMarks marks;
  if (number == 0) {
    marks.begins = [] { Say(kLoadBegins); };
    marks.memory = [] { Say(kLoadMemory); };
    marks.ends = [] { Say(kLoadEnds); };
  } else {
    marks.begins = marks.memory = marks.ends = [] {};
  }
  const auto report = load->mode == "full"    ? RunOnJob(*load, marks)
                      : load->mode == "apply" ? RunLoadApply(*load, marks)
                                              : RunLoadEcho(*load, *address, marks);
  if (!report.ok()) return report.status();
  return WriteFile(LoadReportPath(*run_dir, number), ToJson(*report).dump(), 0644);
}

absl::Status RunAsLoadPeer(const std::string& mode, const std::string& host) {
  sigset_t signals;
  sigemptyset(&signals);
  for (int number : {SIGINT, SIGTERM}) sigaddset(&signals, number);
  sigprocmask(SIG_BLOCK, &signals, nullptr);  // before any thread: all inherit it
  const auto peer = StartLoadPeer(mode, absl::StrCat(host, ":0"));
  if (!peer.ok()) return peer.status();
  SayReady((*peer)->address());
  int signal = 0;
  sigwait(&signals, &signal);
  return absl::OkStatus();
}

}  // namespace weir
