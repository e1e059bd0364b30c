// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <limits>
#include <memory>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/sim/gradient.h"
#include "tests/sim/tensors.h"
#include "tests/sim/worker_process.h"

namespace weir::sim {
namespace {

constexpr absl::Duration kThink = absl::Milliseconds(5);
constexpr uint64_t kAttempts = 3;  // to have slices applied that are found stale

// Asynchronous training as worker/train.cc does it, as a chain of events: pushes a gradient of some
// tensors, computes the slices that were stale again from the values that came back. Beside it, it
// reads with conditions, leaves state and cancels.
class AspTrainer : public Trainer {
 public:
  explicit AspTrainer(WorkerProcess* process)
      : process_(process),
        world_(process->world()),
        weights_(world_->scenario.layout),
        gradient_(world_->scenario.layout),
        beside_(world_->scenario.layout),
        base_(world_->reference.slices()) {}

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
    PullOptions options;
    options.deadline = CallDeadline();
    process_->Pull(weights_.Pulls(), options, world_->random.Chance(50),
                   [this](const Status& status, const PullResult& result) {
                     if (!GoOn(status)) return;
                     if (!status.ok()) return process_->After(kThink, [this] { Refresh(); });
                     size_t slice = 0;
                     for (const TensorVersions& tensor : result.tensors) {
                       for (const uint64_t version : tensor.slices) base_[slice++] = version;
                     }
                     Step();
                   });
  }

  // A new gradient, of one tensor or of all.
  void Step() {
    if (world_->finishing) return Finish();
    if (world_->random.Chance(20)) Beside();
    if (world_->random.Chance(4)) ForgetATicket();
    attempts_ = 0;
    const bool one = world_->random.Chance(40);
    const size_t tensor = world_->random.Below(weights_.size());
    std::vector<size_t> slices;
    for (size_t slice = 0; slice < base_.size(); ++slice) {
      if (!one || world_->reference.spec(slice).tensor_id == tensor + 1) slices.push_back(slice);
    }
    Compute(std::move(slices));
  }

  void Compute(std::vector<size_t> slices) {
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
    want_values_ = world_->random.Chance(85);
    if (world_->random.Chance(50)) return Send();
    process_->NewSequence([this](const Status& status, uint64_t sequence) {
      if (!GoOn(status)) return;
      if (status.code() == StatusCode::kAborted)
        return process_->After(kThink, [this] { Refresh(); });
      ticket_ = sequence;  // 0 when there is none
      Send();
    });
  }

  // Reserves a sequence and never comes back to it.
  void ForgetATicket() {
    process_->NewSequence([this](const Status& status, uint64_t) { GoOn(status); });
  }

  void Poison() {
    world_->poison_wanted = false;
    world_->Count(Fault::kPoison);
    const SliceSpec& spec = world_->reference.spec(slices_[world_->random.Below(slices_.size())]);
    const bool nan = world_->random.Chance(50);
    gradient_[spec.tensor_id - 1][spec.offset + world_->random.Below(spec.count)] =
        nan ? std::numeric_limits<float>::quiet_NaN() : std::numeric_limits<float>::infinity();
  }

  void Send() {
    PushOptions options;
    options.deadline = CallDeadline();
    options.examples = examples_;
    options.sequence = ticket_;
    options.learning_rate = pushes_made_ % 5 == 0 ? 0.02 : 0;
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
    // Ended early: with a ticket it is asked for again.
    if (ticket_ != 0 && world_->random.Chance(5))
      process_->After(kThink, [this, call] { Cancel(call); });
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
    if (ended_early && ticket_ != 0 && process_->epoch() == epoch_)
      return process_->After(kThink, [this] { Send(); });
    // A ticket may be forgotten.
    if (status.code() == StatusCode::kInvalidArgument && ticket_ != 0) {
      return process_->After(kThink, [this] { Refresh(); });
    }
    if (ended_early || GoOn(status)) process_->After(kThink, [this] { Refresh(); });
  }

  void Judged(const PushResult& result) {
    std::vector<size_t> stale;
    for (size_t i = 0; i < result.slices.size(); ++i) {
      const SliceOutcome& outcome = result.slices[i];
      if (want_values_ && outcome.ended() != PushOutcome::kInvalid)
        base_[slices_[i]] = outcome.values_version;
      if (outcome.ended() == PushOutcome::kStale) stale.push_back(slices_[i]);
    }
    const absl::Duration think = world_->random.Between(absl::ZeroDuration(), kThink);
    if (!want_values_) return process_->After(think, [this] { Refresh(); });
    if (stale.empty() || ++attempts_ >= kAttempts)
      return process_->After(think, [this] { Step(); });
    process_->After(think,
                    [this, stale = std::move(stale)]() mutable { Compute(std::move(stale)); });
  }

  // Calls beside the training: conditional reads, and the worker's state.
  void Beside() {
    if (beside_busy_) return;
    beside_busy_ = true;
    if (world_->random.Chance(30)) return LeaveState();
    PullOptions options;
    options.deadline = CallDeadline();
    beside_ = weights_;
    std::vector<TensorPull> pulls = beside_.Pulls();
    if (world_->random.Chance(50)) {
      options.expect = base_[0];
    } else {  // only what is newer than it has
      for (size_t slice = 0; slice < base_.size(); ++slice) {
        pulls[world_->reference.spec(slice).tensor_id - 1].have.push_back(base_[slice]);
      }
    }
    process_->Pull(pulls, options, /*sync=*/false, [this](const Status& status, const PullResult&) {
      beside_busy_ = false;
      GoOn(status);
    });
  }

  void LeaveState() {
    const std::string state = absl::StrCat("state of worker ", process_->rank());
    process_->PutState(++states_, state, [this, state](const Status& status) {
      if (!GoOn(status)) return;
      process_->GetState([this, state](const Status& got, const WorkerState& found) {
        beside_busy_ = false;
        if (!GoOn(got) || !got.ok()) return;
        world_->judge.Expect(Promise::kOutcome, found.sequence == 0 || found.state == state, [&] {
          return absl::StrCat("a worker gets back '", found.state, "' for its state");
        });
      });
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
  // The push under way.
  std::vector<size_t> slices_;
  uint64_t pushes_made_ = 0;
  uint64_t examples_ = 0;
  uint64_t ticket_ = 0;
  uint64_t epoch_ = 0;
  uint64_t attempts_ = 0;
  bool want_values_ = true;
  bool cancelling_ = false;
  bool beside_busy_ = false;
  uint64_t states_ = 0;
};

}  // namespace

std::unique_ptr<Trainer> MakeAspTrainer(WorkerProcess* process) {
  return std::make_unique<AspTrainer>(process);
}

}  // namespace weir::sim
