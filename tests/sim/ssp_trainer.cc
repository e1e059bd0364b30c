// SPDX-License-Identifier: Apache-2.0
#include <functional>
#include <limits>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/sim/gradient.h"
#include "tests/sim/tensors.h"
#include "tests/sim/worker_process.h"

namespace weir::sim {
namespace {

constexpr absl::Duration kThink = absl::Milliseconds(5);

// Training bounded by clocks as worker/trainer.cc does it, as a chain of events: pushes a gradient
// of every slice in each step, goes on when all of them have ended, computes those that were stale
// again, and finishes the step that a predecessor has begun. Some workers are slower than others.
// Beside it, it reads without a clock.
class SspTrainer : public Trainer {
 public:
  explicit SspTrainer(WorkerProcess* process)
      : process_(process),
        world_(process->world()),
        weights_(world_->scenario.layout),
        gradient_(world_->scenario.layout),
        beside_(world_->scenario.layout),
        base_(world_->reference.slices()),
        longest_think_(kThink * static_cast<double>(1 + process->rank() * process->rank())) {}

  void Start() override { Refresh(); }

 private:
  Deadline CallDeadline() const {
    return Deadline(absl::ToInt64Milliseconds(world_->scenario.call_deadline));
  }

  // True when the work can go on, after a pause.
  bool GoOn(const Status& status) {
    switch (status.code()) {
      case StatusCode::kOk:
      case StatusCode::kAborted:
      case StatusCode::kDeadlineExceeded:
      case StatusCode::kUnavailable:
      case StatusCode::kResourceExhausted:
        return true;
      default:
        break;
    }
    const bool told =
        status.code() == StatusCode::kFailedPrecondition || status.code() == StatusCode::kCancelled;
    world_->judge.Expect(Promise::kOutcome, told, [&] {
      return absl::StrCat("a call of the trainer: ", status.ToString());
    });
    process_->End();
    return false;
  }

  void Refresh() {
    if (world_->finishing) return Finish();
    Read(std::nullopt, /*sync=*/true, [this](const PullResult& result) {
      step_ = result.clock;
      Step();
    });
  }

  // Brings all weights; from the start when it cannot.
  void Read(std::optional<uint64_t> clock, bool sync, std::function<void(const PullResult&)> then) {
    PullOptions options;
    options.deadline = CallDeadline();
    options.step = clock;
    process_->Pull(weights_.Pulls(), options, sync,
                   [this, clock, sync, then](const Status& status, const PullResult& result) {
                     if (!GoOn(status)) return;
                     if (world_->finishing) return Finish();
                     if (status.code() == StatusCode::kDeadlineExceeded)
                       return process_->After(
                           kThink, [this, clock, sync, then] { Read(clock, sync, then); });
                     if (!status.ok()) return process_->After(kThink, [this] { Refresh(); });
                     size_t slice = 0;
                     for (const TensorVersions& tensor : result.tensors) {
                       for (const uint64_t version : tensor.slices) base_[slice++] = version;
                     }
                     then(result);
                   });
  }

  void Step() {
    if (world_->finishing) return Finish();
    if (world_->random.Chance(15)) Beside();
    std::vector<size_t> slices;
    for (size_t slice = 0; slice < base_.size(); ++slice) slices.push_back(slice);
    Compute(std::move(slices));
  }

  void Compute(std::vector<size_t> slices) {
    if (world_->finishing) return Finish();
    slices_ = std::move(slices);
    epoch_ = process_->epoch();
    examples_ = world_->random.Between(1, 4);
    ticket_ = 0;
    const uint64_t source = PushSource(world_->scenario.seed, process_->rank(),
                                       process_->incarnation(), ++pushes_made_);
    for (const size_t slice : slices_) {
      const SliceSpec& spec = world_->reference.spec(slice);
      const size_t tensor = spec.tensor_id - 1;
      FillGradient(source, examples_, spec.tensor_id, spec.offset, &weights_[tensor][spec.offset],
                   spec.count, &gradient_[tensor][spec.offset]);
    }
    if (world_->poison_wanted) Poison();
    want_values_ = world_->random.Chance(75);
    if (world_->random.Chance(50)) return Send();
    process_->NewSequence([this](const Status& status, uint64_t sequence) {
      if (!GoOn(status)) return;
      if (status.code() == StatusCode::kAborted)
        return process_->After(kThink, [this] { Refresh(); });
      ticket_ = sequence;  // 0 when there is none
      Send();
    });
  }

  void Poison() {
    world_->poison_wanted = false;
    world_->Count(Fault::kPoison);
    const SliceSpec& spec = world_->reference.spec(slices_[world_->random.Below(slices_.size())]);
    gradient_[spec.tensor_id - 1][spec.offset + world_->random.Below(spec.count)] =
        std::numeric_limits<float>::quiet_NaN();
  }

  void Send() {
    PushOptions options;
    options.deadline = CallDeadline();
    options.examples = examples_;
    options.sequence = ticket_;
    options.step = step_;
    std::vector<TensorPush> tensors;
    for (const size_t slice : slices_) {
      const SliceSpec& spec = world_->reference.spec(slice);
      TensorPush push;
      push.tensor = spec.tensor_id - 1;
      push.gradient = gradient_.View(push.tensor);
      push.offset = spec.offset;
      push.count = spec.count;
      push.base = {base_[slice]};
      push.into = weights_.Into(push.tensor);
      tensors.push_back(push);
    }
    const uint64_t call = process_->Push(
        tensors, /*owner=*/nullptr, options, want_values_,
        [this](const Status& status, const PushResult& result) { Sent(status, result); });
    // Ended early: it is asked for again, or pushed again under another sequence.
    if (world_->random.Chance(5)) process_->After(kThink, [this, call] { Cancel(call); });
  }

  void Cancel(uint64_t call) {
    cancelling_ = true;
    process_->Cancel(call);
    cancelling_ = false;
  }

  void Sent(const Status& status, const PushResult& result) {
    if (status.ok()) return Judged(result);
    const bool ended_early = status.code() == StatusCode::kDeadlineExceeded ||
                             (status.code() == StatusCode::kCancelled && cancelling_);
    if (ended_early && world_->finishing) return Finish();
    if (ended_early && process_->epoch() == epoch_) {
      // A step counts once however often it is pushed.
      return process_->After(kThink, [this] {
        if (process_->epoch() != epoch_) return Refresh();
        ticket_ != 0 ? Send() : Compute(std::move(slices_));
      });
    }
    // A ticket may be forgotten.
    if (status.code() == StatusCode::kInvalidArgument && ticket_ != 0)
      return process_->After(kThink, [this] { Compute(std::move(slices_)); });
    if (ended_early || GoOn(status)) process_->After(kThink, [this] { Refresh(); });
  }

  void Judged(const PushResult& result) {
    std::vector<size_t> again;
    for (size_t i = 0; i < result.slices.size(); ++i) {
      const SliceOutcome& outcome = result.slices[i];
      const PushOutcome ended = outcome.ended();
      if (want_values_ && ended != PushOutcome::kInvalid)
        base_[slices_[i]] = outcome.values_version;
      if (ended == PushOutcome::kStale || ended == PushOutcome::kInvalid)
        again.push_back(slices_[i]);
    }
    const absl::Duration think = world_->random.Between(absl::ZeroDuration(), longest_think_);
    if (!again.empty()) {
      if (want_values_) {
        return process_->After(
            think, [this, again = std::move(again)]() mutable { Compute(std::move(again)); });
      }
      return Read(step_, /*sync=*/false, [this, again](const PullResult&) { Compute(again); });
    }
    ++step_;
    if (want_values_) return process_->After(think, [this] { Step(); });
    process_->After(think, [this] {
      Read(step_, world_->random.Chance(50), [this](const PullResult&) { Step(); });
    });
  }

  // Reads beside the training, at no clock: only what is newer than it has.
  void Beside() {
    if (beside_busy_) return;
    beside_busy_ = true;
    PullOptions options;
    options.deadline = CallDeadline();
    beside_ = weights_;
    std::vector<TensorPull> pulls = beside_.Pulls();
    for (size_t slice = 0; slice < base_.size(); ++slice)
      pulls[world_->reference.spec(slice).tensor_id - 1].have.push_back(base_[slice]);
    process_->Pull(pulls, options, /*sync=*/false, [this](const Status& status, const PullResult&) {
      beside_busy_ = false;
      GoOn(status);
    });
  }

  void Finish() {
    if (beside_busy_) return process_->After(kThink, [this] { Finish(); });
    process_->Leave();
  }

  WorkerProcess* const process_;
  World* const world_;
  Tensors weights_;
  Tensors gradient_;
  Tensors beside_;
  std::vector<uint64_t> base_;  // versions in `weights_`, by slice
  const absl::Duration longest_think_;
  uint64_t step_ = 0;
  // The push under way.
  std::vector<size_t> slices_;
  uint64_t pushes_made_ = 0;
  uint64_t examples_ = 0;
  uint64_t ticket_ = 0;
  uint64_t epoch_ = 0;
  bool want_values_ = true;
  bool cancelling_ = false;
  bool beside_busy_ = false;
};

}  // namespace

std::unique_ptr<Trainer> MakeSspTrainer(WorkerProcess* process) {
  return std::make_unique<SspTrainer>(process);
}

}  // namespace weir::sim
