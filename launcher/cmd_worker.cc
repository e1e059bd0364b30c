// SPDX-License-Identifier: Apache-2.0
#include <gflags/gflags.h>
#include <glog/logging.h>
#include <stdio.h>

#include <chrono>
#include <memory>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "launcher/counted.h"
#include "launcher/flags.h"
#include "launcher/job_model.h"
#include "launcher/load_topology.h"
#include "launcher/process_flags.h"
#include "launcher/summary.h"
#include "launcher/verbs.h"
#include "models/classifier.h"
#include "models/matrix.h"
#include "weir/train.h"
#include "weir/worker.h"

namespace weir {
namespace {

constexpr Deadline kStoppedLeave = std::chrono::seconds(2);

void Log(LogLevel level, const std::string& text) {
  switch (level) {
    case LogLevel::kInfo:
      LOG(INFO) << text;
      break;
    case LogLevel::kWarning:
      LOG(WARNING) << text;
      break;
    case LogLevel::kError:
      LOG(ERROR) << text;
      break;
  }
}

// The model that the job's topology describes.
Result<std::unique_ptr<Model>> ModelOf(const Topology& topology) {
  if (!topology.workers.program.empty()) {
    return Status(StatusCode::kFailedPrecondition,
                  "the job's workers run " + topology.workers.program[0] + ", not weir-worker");
  }
  return MakeModel(ModelOptionsOf(topology));
}

Status TrainShare(Worker& worker) {
  TopologySource source;
  source.text = worker.job().topology;
  source.file = "the job's topology";
  const ParsedTopology parsed = ParseTopology(source);
  if (!parsed.ok()) return Status(StatusCode::kInvalidArgument, parsed.errors[0].ToString());
  Result<std::unique_ptr<Model>> model = ModelOf(parsed.topology);
  if (!model.ok()) return model.status();
  TrainOptions options;
  options.epochs = static_cast<uint64_t>(parsed.topology.train.epochs);
  options.clip_norm = parsed.topology.train.clip_norm;
  Result<TrainReport> report = Train(worker, **model, options);
  if (!report.ok()) return report.status();
  LOG(INFO) << "trained " << Counted(static_cast<int64_t>(report->steps), "step") << " on "
            << report->examples << " examples, loss " << report->final_loss;
  return worker.Report(kSlicesValue, static_cast<double>(report->pushes.total()));
}

int Work(const std::string& program) {
  Options options;
  absl::StatusOr<std::string> coordinator = CoordinatorOfProcess();
  if (!coordinator.ok()) return ExitWith(program, coordinator.status().message(), kExitUsage);
  options.coordinator = *coordinator;
  if (options.coordinator.empty()) {
    return ExitWith(program, "--coordinator=HOST:PORT is missing", kExitUsage);
  }
  absl::StatusOr<std::string> token = TokenOfProcess();
  if (!token.ok()) return ExitWith(program, token.status().message(), kExitUsage);
  options.token = *token;
  absl::StatusOr<std::optional<uint32_t>> rank = RankOfProcess();
  if (!rank.ok()) return ExitWith(program, rank.status().message(), kExitUsage);
  options.rank = *rank;
  const auto spin = SpinOfProcess();
  if (!spin.ok()) return ExitWith(program, spin.status().message(), kExitUsage);
  if (*spin) options.spin = absl::ToChronoMicroseconds(**spin);
  options.log = Log;
  Result<std::unique_ptr<Worker>> worker = Worker::Connect(options);
  if (!worker.ok()) {
    const bool unreachable = worker.status().code() == StatusCode::kUnavailable;
    return ExitWith(program, worker.status().message(), unreachable ? kExitUnreachable : 1);
  }
  const JobInfo& job = (*worker)->job();
  LOG(INFO) << "worker " << job.rank << " of " << job.workers << " of job '" << job.name
            << "', incarnation " << job.incarnation;
  Status status = TrainShare(**worker);
  if (status.ok()) status = (*worker)->Leave();
  if (status.ok()) return 0;
  // Whoever was told to stop has nothing to report, and leaves: nobody waits for its lease.
  if (status.code() == StatusCode::kCancelled) {
    (void)(*worker)->Leave(kStoppedLeave);
  } else {
    (void)(*worker)->Fail(status.message());
  }
  (*worker)->Close();
  return ExitWith(program, status.ToString(), 1);
}

}  // namespace

int CmdWorker(const std::string& program, const std::vector<std::string>& words) {
  FlagTable table;
  table.usage = program + " --coordinator=HOST:PORT [flags]";
  table.about = "Trains the model of a job's topology, as one of its workers.";
  table.flags = {"coordinator", "rank", "token_file", "spin_us"};
  absl::StatusOr<CommandLine> line = ParseCommandLine(table, words);
  if (!line.ok()) return ExitWith(program, line.status().message(), kExitUsage);
  if (line->help) {
    fputs(HelpText(table).c_str(), stdout);
    return 0;
  }
  FixEigenArithmetic();
  return Work(program);
}

}  // namespace weir
