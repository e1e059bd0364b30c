// SPDX-License-Identifier: Apache-2.0
#include "tools/load_worker.h"

#include <sys/resource.h>

#include <chrono>
#include <cstring>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"

namespace weir {
namespace {

double Now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

double CpuSeconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + 1e-6 * static_cast<double>(t.tv_usec);
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

uint64_t PeakRssBytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<uint64_t>(usage.ru_maxrss) * 1024;
}

absl::Status Failed(const char* what, const Status& status) {
  return absl::InternalError(absl::StrCat("load worker: ", what, ": ", status.ToString()));
}

// How many of `n` values differ from factor * gradient. Exact products: a difference is an error.
uint64_t CountWrong(const float* values, const float* gradient, size_t n, float factor) {
  uint64_t wrong = 0;
  for (size_t i = 0; i < n; ++i) wrong += values[i] != factor * gradient[i] ? 1 : 0;
  return wrong;
}

// The memory of one worker: two sets of gradients, used in turn, and the weights.
class LoadMemory {
 public:
  explicit LoadMemory(const std::vector<TensorSpec>& tensors) {
    for (const TensorSpec& tensor : tensors) {
      offsets_.push_back(size_);
      counts_.push_back(static_cast<size_t>(ElementCount(tensor.shape)));
      size_ += (counts_.back() + 15) / 16 * 16;
    }
    for (std::vector<float>& gradient : gradients_) {
      gradient.resize(size_);
      for (size_t i = 0; i < size_; ++i) gradient[i] = static_cast<float>(1 + i % 7);
    }
    weights_.assign(size_, 0.0f);
  }

  size_t tensors() const { return counts_.size(); }
  size_t count(size_t tensor) const { return counts_[tensor]; }
  const float* gradient(size_t set, size_t tensor) const {
    return gradients_[set % 2].data() + offsets_[tensor];
  }
  float* weights(size_t tensor) { return weights_.data() + offsets_[tensor]; }

  MutableTensorView weights_view(size_t tensor) {
    MutableTensorView view;
    view.data = weights(tensor);
    view.count = static_cast<int64_t>(count(tensor));
    return view;
  }
  TensorView gradient_view(size_t set, size_t tensor) const {
    TensorView view;
    view.data = gradient(set, tensor);
    view.count = static_cast<int64_t>(count(tensor));
    return view;
  }

 private:
  std::vector<size_t> offsets_;
  std::vector<size_t> counts_;
  std::vector<float> gradients_[2];
  std::vector<float> weights_;
  size_t size_ = 0;
};

// The phases of one worker, in order.
class LoadRun {
 public:
  LoadRun(Worker& worker, const LoadProfile& profile, const LoadOptions& options)
      : worker_(worker),
        options_(options),
        tensors_(profile.tensors),
        smallest_(profile.smallest()) {
    tensors_.push_back(TensorSpec{"weir.load.barrier", {1}, Initializer{}});
    memory_ = std::make_unique<LoadMemory>(tensors_);
    report_.model_bytes = static_cast<uint64_t>(profile.parameters()) * sizeof(float);
  }

  absl::Status Run() {
    if (const Status status = worker_.Declare(tensors_); !status.ok())
      return Failed("declare", status);
    if (absl::Status status = ReadFirstWeights(); !status.ok()) return status;
    for (uint64_t i = 0; i < options_.warmup_steps; ++i) {
      if (absl::Status status = Step(); !status.ok()) return status;
    }
    if (absl::Status status = Barrier(); !status.ok()) return status;
    if (absl::Status status = Steps(); !status.ok()) return status;
    if (absl::Status status = Barrier(); !status.ok()) return status;
    if (absl::Status status = Pulls(options_.pulls, &report_.pulls); !status.ok()) return status;
    if (absl::Status status = Barrier(); !status.ok()) return status;
    return LoadedPulls();
  }

  LoadReport TakeReport() { return std::move(report_); }

 private:
  size_t barrier_tensor() const { return tensors_.size() - 1; }

  std::vector<TensorPush> Pushes() {
    std::vector<TensorPush> pushes(tensors_.size() - 1);
    for (size_t t = 0; t < pushes.size(); ++t) {
      pushes[t].tensor = static_cast<uint32_t>(t);
      pushes[t].gradient = memory_->gradient_view(set_, t);
      pushes[t].into = memory_->weights_view(t);
    }
    ++set_;
    return pushes;
  }

  void Check(size_t tensor, uint64_t offset, uint64_t count, uint64_t version) {
    const float factor = -static_cast<float>(static_cast<double>(version) * kLoadLearningRate);
    report_.wrong += CountWrong(memory_->weights(tensor) + offset,
                                memory_->gradient(0, tensor) + offset, count, factor);
    report_.checked += count;
  }

  // Version 0 of everything: what the first gradients are based on.
  absl::Status ReadFirstWeights() {
    std::vector<TensorPull> pulls(tensors_.size());
    for (size_t t = 0; t < pulls.size(); ++t) {
      pulls[t].tensor = static_cast<uint32_t>(t);
      pulls[t].into = memory_->weights_view(t);
    }
    const Result<PullResult> pulled = worker_.Sync(std::move(pulls));
    return pulled.ok() ? absl::OkStatus() : Failed("sync", pulled.status());
  }

  absl::Status Settle(Result<PushResult> pushed) {
    if (!pushed.ok()) return Failed("push-pull", pushed.status());
    for (const SliceOutcome& slice : pushed->slices) {
      if (slice.outcome != PushOutcome::kApplied) ++report_.wrong;
      Check(slice.tensor, slice.offset, slice.count, slice.values_version);
    }
    return absl::OkStatus();
  }

  static PushOptions OneExample() {
    PushOptions options;
    options.examples = 1;
    return options;
  }

  absl::Status Step() { return Settle(worker_.PushPull(Pushes(), OneExample())); }

  absl::Status Steps() {
    const double cpu = CpuSeconds();
    const double start = Now();
    for (uint64_t i = 0; i < options_.steps; ++i) {
      const double step_start = Now();
      if (absl::Status status = Step(); !status.ok()) return status;
      report_.steps.push_back(Now() - step_start);
      worker_.Progress(i + 1, options_.steps);
    }
    report_.seconds = Now() - start;
    report_.cpu_seconds = CpuSeconds() - cpu;
    report_.peak_rss_bytes = PeakRssBytes();
    return absl::OkStatus();
  }

  absl::Status PullOne(size_t tensor, uint64_t* version) {
    std::vector<TensorPull> pull(1);
    pull[0].tensor = static_cast<uint32_t>(tensor);
    pull[0].into = memory_->weights_view(tensor);
    Result<PullResult> pulled = worker_.Pull(std::move(pull));
    if (!pulled.ok()) return Failed("pull", pulled.status());
    *version = pulled->min_version;
    return absl::OkStatus();
  }

  absl::Status Pulls(uint64_t count, std::vector<double>* times) {
    for (uint64_t i = 0; i < count; ++i) {
      const double start = Now();
      uint64_t version = 0;
      if (absl::Status status = PullOne(smallest_, &version); !status.ok()) return status;
      Check(smallest_, 0, memory_->count(smallest_), version);
      times->push_back(Now() - start);
    }
    return absl::OkStatus();
  }

  // One push-pull is always under way while the smallest tensor is pulled. Its values go elsewhere
  // meanwhile.
  absl::Status LoadedPulls() {
    while (report_.loaded_pulls.size() < options_.loaded_pulls) {
      std::vector<TensorPush> pushes = Pushes();
      pushes.erase(pushes.begin() + static_cast<std::ptrdiff_t>(smallest_));
      Future<PushResult> step = worker_.PushPullAsync(std::move(pushes), OneExample());
      do {
        if (absl::Status status = Pulls(1, &report_.loaded_pulls); !status.ok()) return status;
      } while (!step.Ready() && report_.loaded_pulls.size() < options_.loaded_pulls);
      if (absl::Status status = Settle(step.Get()); !status.ok()) return status;
    }
    return absl::OkStatus();
  }

  // Returns when every worker of the job has called it as often as this one.
  absl::Status Barrier() {
    std::vector<TensorPush> push(1);
    push[0].tensor = static_cast<uint32_t>(barrier_tensor());
    push[0].gradient = memory_->gradient_view(0, barrier_tensor());
    Result<PushResult> pushed = worker_.Push(std::move(push), OneExample());
    if (!pushed.ok()) return Failed("barrier", pushed.status());
    ++barriers_;
    const double give_up = Now() + 120;
    uint64_t version = 0;
    while (version < barriers_ * worker_.job().workers) {
      if (Now() > give_up)
        return absl::DeadlineExceededError(
            "load worker: the other workers did not come within 120 s");
      if (absl::Status status = PullOne(barrier_tensor(), &version); !status.ok()) return status;
    }
    return absl::OkStatus();
  }

  Worker& worker_;
  const LoadOptions options_;
  std::vector<TensorSpec> tensors_;
  const size_t smallest_;
  std::unique_ptr<LoadMemory> memory_;
  LoadReport report_;
  size_t set_ = 0;
  uint64_t barriers_ = 0;
};

}  // namespace

absl::StatusOr<LoadReport> RunLoadWorker(Worker& worker, const LoadProfile& profile,
                                         const LoadOptions& options) {
  LoadRun run(worker, profile, options);
  if (absl::Status status = run.Run(); !status.ok()) return status;
  return run.TakeReport();
}

}  // namespace weir
