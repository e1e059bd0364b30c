// SPDX-License-Identifier: Apache-2.0
#include "tools/load_worker.h"

#include <chrono>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tools/load_memory_use.h"
#include "tools/load_step.h"

namespace weir {
namespace {

absl::Status Failed(const char* what, const Status& status) {
  return absl::InternalError(absl::StrCat("load worker: ", what, ": ", status.ToString()));
}

uint64_t Nanoseconds(double seconds) { return static_cast<uint64_t>(seconds * 1e9); }

// The phases of one worker, in order.
class LoadPhases {
 public:
  LoadPhases(LoadModel* model, const LoadMarks& marks)
      : model_(*model), options_(model->options()), marks_(marks) {}

  absl::Status Run() {
    if (absl::Status status = ReadFirstWeights(); !status.ok()) return status;
    if (options_.conflicts > 0) return Conflicts();
    for (const auto phase : {&LoadPhases::Steps, &LoadPhases::Pulls, &LoadPhases::EachPulls,
                             &LoadPhases::LoadedPulls, &LoadPhases::ModelPulls}) {
      if (absl::Status status = (this->*phase)(); !status.ok()) return status;
      if (absl::Status status = model_.Barrier(); !status.ok()) return status;
    }
    return absl::OkStatus();
  }

 private:
  LoadReport& report() { return model_.report(); }

  // What the first gradients are based on. Not a sync: its one cut has a limit of bytes, which the
  // largest profile exceeds on one shard, and each slice here has a formula of its own.
  absl::Status ReadFirstWeights() {
    std::vector<TensorPull> pulls(model_.tensors() + 1);
    for (size_t t = 0; t < pulls.size(); ++t) {
      pulls[t].tensor = static_cast<uint32_t>(t);
      pulls[t].into = model_.memory().weights_view(0, t);
    }
    const Result<PullResult> pulled = model_.worker().Pull(std::move(pulls));
    return pulled.ok() ? absl::OkStatus() : Failed("first pull", pulled.status());
  }

  absl::Status Steps() {
    if (absl::Status status = LoadSteps(&model_, options_.warmup_steps, nullptr).Run();
        !status.ok()) {
      return status;
    }
    if (absl::Status status = model_.Barrier(); !status.ok()) return status;
    marks_.begins();
    const double cpu = CpuSeconds();
    const double start = LoadNow();
    if (options_.memory_mark_steps > 0) {
      LoadSteps first(&model_, options_.memory_mark_steps, &report().steps);
      if (absl::Status status = first.Run(); !status.ok()) return status;
      marks_.memory();
    }
    LoadSteps steps(&model_, options_.steps - options_.memory_mark_steps, &report().steps);
    if (absl::Status status = steps.Run(); !status.ok()) return status;
    report().seconds = LoadNow() - start;
    report().cpu_seconds = CpuSeconds() - cpu;
    report().peak_rss_bytes = PeakRssBytes(0);
    marks_.ends();
    report().moved_bytes = 2 * options_.steps * model_.bytes();
    report().wire_bytes = 2 * options_.steps * model_.wire_bytes();
    report().bytes_per_second = static_cast<double>(report().moved_bytes) / report().seconds;
    model_.worker().Progress(options_.steps, options_.steps);
    return absl::OkStatus();
  }

  absl::Status PullsOf(uint64_t count, bool smallest, Histogram* latency) {
    const double start = LoadNow();
    for (uint64_t i = 0; i < count; ++i) {
      double due = LoadNow();
      if (options_.pull_rate_hz > 0) {
        due = start + static_cast<double>(i) / options_.pull_rate_hz;
        std::this_thread::sleep_for(std::chrono::duration<double>(due - LoadNow()));
      }
      const size_t tensor = smallest ? model_.smallest() : i % model_.tensors();
      if (absl::Status status = model_.PullOne(tensor); !status.ok()) return status;
      latency->Record(Nanoseconds(LoadNow() - due));
    }
    return absl::OkStatus();
  }

  absl::Status Pulls() { return PullsOf(options_.pulls, true, &report().pulls); }
  absl::Status EachPulls() { return PullsOf(options_.each_pulls, false, &report().each_pulls); }

  // Steps are always under way while the smallest tensor is pulled.
  absl::Status LoadedPulls() {
    if (options_.loaded_pulls == 0) return absl::OkStatus();
    Histogram& latency = report().loaded_pulls;
    while (latency.count() < options_.loaded_pulls) {
      LoadSteps steps(&model_, 1, nullptr);
      steps.Begin();
      while (!steps.done() && latency.count() < options_.loaded_pulls) {
        const double start = LoadNow();
        if (absl::Status status = model_.PullOne(model_.smallest()); !status.ok()) return status;
        latency.Record(Nanoseconds(LoadNow() - start));
        if (absl::Status status = steps.SettleReady(); !status.ok()) return status;
      }
      if (absl::Status status = steps.Run(); !status.ok()) return status;
    }
    return absl::OkStatus();
  }

  // All calls of a pull of the whole model in flight at once; `versions` are those held, of each
  // slice of each range, and become those that came.
  absl::Status PullModel(std::vector<std::vector<TensorVersions>>* versions, uint64_t* unchanged) {
    std::vector<Future<PullResult>> calls;
    const std::vector<LoadPiece>& pieces = model_.pieces();
    for (size_t p = 0; p < pieces.size(); ++p) {
      std::vector<TensorPull> pulls(pieces[p].size());
      for (size_t i = 0; i < pulls.size(); ++i) {
        pulls[i].tensor = pieces[p][i].tensor;
        pulls[i].offset = pieces[p][i].offset;
        pulls[i].count = pieces[p][i].count;
        pulls[i].into = model_.memory().weights_view(0, pieces[p][i].tensor);
        if (!versions->empty()) pulls[i].have = (*versions)[p][i].slices;
      }
      calls.push_back(model_.worker().PullAsync(std::move(pulls)));
    }
    std::vector<std::vector<TensorVersions>> came;
    absl::Status status = absl::OkStatus();
    for (size_t p = 0; p < calls.size(); ++p) {
      Result<PullResult> pulled = calls[p].Get();  // every one: its memory is in use until then
      if (!pulled.ok()) {
        if (status.ok()) status = Failed("pull of the model", pulled.status());
        continue;
      }
      *unchanged += pulled->not_modified;
      report().exchanges += pulled->tensors.size();
      if (pulled->not_modified == 0) {
        for (size_t i = 0; i < pieces[p].size(); ++i)
          model_.CheckPulled(0, pieces[p][i], pulled->tensors[i]);
      }
      came.push_back(std::move(pulled->tensors));
    }
    if (status.ok()) *versions = std::move(came);
    return status;
  }

  absl::Status ModelPulls() {
    std::vector<std::vector<TensorVersions>> versions;
    for (uint64_t i = 0; i < options_.model_pulls; ++i) {
      if (absl::Status status = LoadSteps(&model_, 1, nullptr).Run(); !status.ok()) return status;
      if (absl::Status status = model_.Barrier(); !status.ok()) return status;
      for (Histogram* latency : {&report().changed, &report().unchanged}) {
        uint64_t unchanged = 0;
        const double start = LoadNow();
        if (absl::Status status = PullModel(&versions, &unchanged); !status.ok()) return status;
        latency->Record(Nanoseconds(LoadNow() - start));
        const uint64_t wanted = latency == &report().changed ? 0 : model_.slices();
        if (unchanged != wanted) ++report().wrong;
      }
      if (absl::Status status = model_.Barrier(); !status.ok()) return status;
    }
    return absl::OkStatus();
  }

  // Everybody pushes the whole model, based on what came back last.
  absl::Status Conflicts() {
    if (absl::Status status = model_.Barrier(); !status.ok()) return status;
    marks_.begins();
    const double cpu = CpuSeconds();
    const double start = LoadNow();
    LoadSteps steps(&model_, static_cast<uint64_t>(options_.conflicts), &report().steps);
    if (absl::Status status = steps.Run(); !status.ok()) return status;
    report().conflict_seconds = LoadNow() - start;
    report().cpu_seconds = CpuSeconds() - cpu;
    report().peak_rss_bytes = PeakRssBytes(0);
    marks_.ends();
    return absl::OkStatus();
  }

  LoadModel& model_;
  const LoadOptions& options_;
  const LoadMarks& marks_;
};

}  // namespace

absl::StatusOr<LoadReport> RunLoadWorker(Worker& worker, const LoadOptions& options,
                                         const LoadMarks& marks) {
  auto model = LoadModel::Declare(worker, options);
  if (!model.ok()) return model.status();
  if (absl::Status status = LoadPhases(model->get(), marks).Run(); !status.ok()) return status;
  const PayloadTraffic traffic = worker.Traffic();
  LoadReport& report = (*model)->report();
  report.payload_bytes = traffic.sent_bytes + traffic.received_bytes;
  report.copied_bytes = traffic.sent_copied_bytes + traffic.received_copied_bytes;
  return std::move(report);
}

}  // namespace weir
