// SPDX-License-Identifier: Apache-2.0
#include "tools/load_step.h"

#include <algorithm>
#include <chrono>
#include <limits>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "tools/load_profile.h"

namespace weir {
namespace {

constexpr char kBarrierName[] = "weir.load.barrier";

absl::Status Failed(const char* what, const Status& status) {
  return absl::InternalError(absl::StrCat("load worker: ", what, ": ", status.ToString()));
}

void SleepSeconds(double seconds) {
  if (seconds > 0) std::this_thread::sleep_for(std::chrono::duration<double>(seconds));
}

PushOptions OneExample() {
  PushOptions options;
  options.examples = 1;
  return options;
}

}  // namespace

double LoadNow() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

absl::StatusOr<std::unique_ptr<LoadModel>> LoadModel::Declare(Worker& worker,
                                                              const LoadOptions& options) {
  auto profile = MakeLoadProfile(options.profile);
  if (!profile.ok()) return profile.status();
  const auto codec = ParseCodec(options.codec);
  if (!codec) return absl::InvalidArgumentError(absl::StrCat("codec '", options.codec, "'"));
  auto model = std::unique_ptr<LoadModel>(new LoadModel(worker, options));
  model->tensors_ = profile->tensors.size();
  model->smallest_ = profile->smallest();
  model->bytes_ = static_cast<uint64_t>(profile->parameters()) * sizeof(float);
  std::vector<TensorSpec> tensors = std::move(profile->tensors);
  tensors.push_back(TensorSpec{kBarrierName, {1}, Initializer{}});
  if (const Status status = worker.Declare(tensors); !status.ok()) return Failed("declare", status);
  const uint64_t cache = LastCacheBytes();
  auto memory =
      LoadMemory::Make(worker, tensors, GradientSets(model->bytes_, cache, kMostGradientBytes),
                       options.outstanding + 1);
  if (!memory.ok()) return memory.status();
  model->memory_ = *std::move(memory);
  model->check_ = std::make_unique<PatternCheck>(options.learning_rate, *codec);
  model->report_.gradient_bytes = model->memory_->gradient_bytes();
  model->report_.last_cache_bytes = cache;
  if (absl::Status status = model->ReadSlices(); !status.ok()) return status;
  return model;
}

absl::Status LoadModel::ReadSlices() {
  const Codec codec = *ParseCodec(options_.codec);
  std::vector<SliceRange> all;
  for (size_t t = 0; t <= tensors_; ++t) {
    auto slices = worker_.Slices(static_cast<uint32_t>(t));
    if (!slices.ok()) return Failed("slices", slices.status());
    slice_elements_.push_back(slices->front().count);
    if (t == tensors_) break;
    for (const SliceRange& slice : *slices) {
      if (codec == Codec::kInt8 && slice.offset % kInt8BlockElements != 0) {
        return absl::InvalidArgumentError(
            absl::StrCat("load worker: a slice begins at element ", slice.offset,
                         ", within a block of int8: slice_bytes must be a multiple of 512"));
      }
      wire_bytes_ += EncodedBytes(codec, slice.count);
    }
    slices_ += slices->size();
    all.insert(all.end(), slices->begin(), slices->end());
  }
  pieces_ = CutIntoPieces(all, PieceBytes(bytes_, options_.outstanding));
  return absl::OkStatus();
}

void LoadModel::Check(size_t weights_set, size_t tensor, uint64_t offset, uint64_t count,
                      uint64_t version) {
  report_.wrong +=
      check_->CountWrong(memory_->weights(weights_set, tensor) + offset, offset, count, version);
  report_.checked += count;
}

void LoadModel::CheckLent(PushResult& pushed) {
  if (pushed.lent.size() != pushed.slices.size()) ++report_.wrong;
  for (LentSlice& slice : pushed.lent) {
    report_.wrong += check_->CountWrong(slice.values, slice.offset, slice.count, slice.version);
    report_.checked += slice.count;
    slice.owner.reset();
  }
}

void LoadModel::CheckPulled(size_t weights_set, const LoadRange& range,
                            const TensorVersions& versions) {
  uint64_t offset = range.offset;
  const uint64_t end = range.offset + range.count;
  for (uint64_t version : versions.slices) {
    const uint64_t count = std::min(slice_elements_[range.tensor], end - offset);
    Check(weights_set, range.tensor, offset, count, version);
    offset += count;
  }
  if (offset != end) ++report_.wrong;
}

absl::Status LoadModel::PullOne(size_t tensor) {
  std::vector<TensorPull> pull(1);
  pull[0].tensor = static_cast<uint32_t>(tensor);
  pull[0].into = memory_->weights_view(spare_weights(), tensor);
  Result<PullResult> pulled = worker_.Pull(std::move(pull));
  if (!pulled.ok()) return Failed("pull", pulled.status());
  ++report_.exchanges;
  CheckPulled(spare_weights(), {static_cast<uint32_t>(tensor), 0, memory_->count(tensor), 0},
              pulled->tensors[0]);
  return absl::OkStatus();
}

// Each worker pushes once and reads until the version counts everybody. No worker pushes for the
// next barrier before all have pushed for this one: so the version that this worker's push made
// lies within this barrier's, and the next multiple of the workers' count ends it. A push that is
// stale, where staleness has a bound, has brought what the next one is based on.
absl::Status LoadModel::Barrier() {
  const size_t barrier = tensors_;
  const double give_up = LoadNow() + options_.limit_s;
  uint64_t version = 0;
  for (bool applied = false; !applied && LoadNow() < give_up;) {
    std::vector<TensorPush> push(1);
    push[0].tensor = static_cast<uint32_t>(barrier);
    push[0].gradient = memory_->gradient(0, barrier);
    push[0].into = memory_->weights_view(spare_weights(), barrier);
    Result<PushResult> pushed = worker_.PushPull(std::move(push), OneExample());
    if (!pushed.ok()) return Failed("barrier", pushed.status());
    applied = pushed->slices[0].ended() == PushOutcome::kApplied;
    version = pushed->slices[0].version;
  }
  const uint64_t workers = worker_.job().workers;
  const uint64_t wanted = (version + workers - 1) / workers * workers;
  while (version < wanted) {
    if (LoadNow() > give_up) {
      return absl::DeadlineExceededError(absl::StrCat(
          "load worker: the other workers did not come within ", options_.limit_s, " s"));
    }
    SleepSeconds(1e-3);  // the workers that are still busy have the cores
    std::vector<TensorPull> pull(1);
    pull[0].tensor = static_cast<uint32_t>(barrier);
    pull[0].into = memory_->weights_view(spare_weights(), barrier);
    Result<PullResult> pulled = worker_.Pull(std::move(pull));
    if (!pulled.ok()) return Failed("barrier", pulled.status());
    version = pulled->min_version;
  }
  return absl::OkStatus();
}

LoadSteps::LoadSteps(LoadModel* model, uint64_t count, Histogram* latency)
    : model_(*model), count_(count), latency_(latency), began_(LoadNow()) {}

// A step's memory is in use until its calls have ended.
LoadSteps::~LoadSteps() {
  for (Step& step : steps_) {
    for (size_t i = step.settled; i < step.calls.size(); ++i) (void)step.calls[i].Get();
  }
}

double LoadSteps::Due(uint64_t step) const {
  const double rate = model_.options().rate_hz;
  return rate > 0 ? began_ + static_cast<double>(step) / rate : 0;
}

void LoadSteps::Begin() {
  while (begun_ < count_ && begun_ - finished_ < model_.options().outstanding) {
    const double due = Due(begun_);
    if (due > LoadNow()) return;
    SleepSeconds(model_.options().compute_ms / 1e3);
    BeginOne(due > 0 ? due : LoadNow());
    ++begun_;
  }
}

void LoadSteps::BeginOne(double due) {
  Step step;
  step.due = due;
  step.weights_set = begun_ % model_.options().outstanding;
  for (const LoadPiece& piece : model_.pieces()) {
    std::vector<TensorPush> pushes(piece.size());
    for (size_t i = 0; i < piece.size(); ++i) {
      pushes[i].tensor = piece[i].tensor;
      pushes[i].offset = piece[i].offset;
      pushes[i].count = piece[i].count;
      pushes[i].gradient = model_.memory().gradient(begun_, piece[i].tensor);
      if (model_.options().values == "copied")
        pushes[i].into = model_.memory().weights_view(step.weights_set, piece[i].tensor);
    }
    step.calls.push_back(model_.worker().PushPullAsync(std::move(pushes), OneExample()));
  }
  steps_.push_back(std::move(step));
}

absl::Status LoadSteps::Settle() {
  if (steps_.empty()) {  // the next one is not due yet
    if (begun_ < count_) SleepSeconds(Due(begun_) - LoadNow());
    return absl::OkStatus();
  }
  const bool room = begun_ < count_ && begun_ - finished_ < model_.options().outstanding;
  if (room && Due(begun_) > 0) {
    const Future<PushResult>& oldest = steps_.front().calls[steps_.front().settled];
    const double wait = std::max(0.0, Due(begun_) - LoadNow());
    if (!oldest.Wait(std::chrono::nanoseconds(static_cast<int64_t>(wait * 1e9))))
      return absl::OkStatus();
  }
  return SettleCall();
}

absl::Status LoadSteps::SettleReady() {
  if (steps_.empty() || !steps_.front().calls[steps_.front().settled].Ready())
    return absl::OkStatus();
  return SettleCall();
}

absl::Status LoadSteps::SettleCall() {
  Step& step = steps_.front();
  Result<PushResult> pushed = step.calls[step.settled++].Get();
  if (!pushed.ok()) return Failed("push-pull", pushed.status());
  LoadReport& report = model_.report();
  report.exchanges += pushed->tensors.size();
  for (const SliceOutcome& slice : pushed->slices) {
    if (slice.values_version > kLastExactVersion) {
      return absl::ResourceExhaustedError(
          absl::StrCat("load worker: after ", kLastExactVersion,
                       " pushes the values have no exact formula any more: ask for fewer steps"));
    }
    const bool applied = slice.ended() == PushOutcome::kApplied;
    const bool stale = slice.ended() == PushOutcome::kStale;
    if (applied) ++report.applied;
    if (stale) {
      ++report.stale;
      report.resync_bytes += EncodedBytes(*ParseCodec(model_.options().codec), slice.count);
    }
    if (!applied && !(stale && model_.options().conflicts > 0)) ++report.wrong;
    if (model_.options().values == "copied")
      model_.Check(step.weights_set, slice.tensor, slice.offset, slice.count, slice.values_version);
  }
  if (model_.options().values == "lent") model_.CheckLent(*pushed);
  if (step.settled < step.calls.size()) return absl::OkStatus();
  if (latency_ != nullptr)
    latency_->Record(static_cast<uint64_t>(std::max(0.0, LoadNow() - step.due) * 1e9));
  steps_.pop_front();
  ++finished_;
  return absl::OkStatus();
}

absl::Status LoadSteps::Run() {
  while (!done()) {
    Begin();
    if (absl::Status status = Settle(); !status.ok()) return status;
  }
  return absl::OkStatus();
}

}  // namespace weir
