// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <limits>
#include <memory>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/part_tree.h"
#include "tests/sim/gradient.h"
#include "tests/sim/tensors.h"
#include "tests/sim/worker_process.h"

namespace weir::sim {
namespace {

constexpr absl::Duration kPause = absl::Milliseconds(5);

// Bulk synchronous training as worker/train.cc does it, as a chain of events: find the step, read
// its weights, push the blocks of the own parts, go on with the values that come back.
class BspTrainer : public Trainer {
 public:
  explicit BspTrainer(WorkerProcess* process)
      : process_(process), world_(process->world()), weights_(world_->scenario.layout) {
    const uint32_t parts = world_->scenario.shard.gradient_shards;
    const uint32_t workers = world_->scenario.workers;
    const uint32_t first = process->rank() * parts / workers;
    const uint32_t end = (process->rank() + 1) * parts / workers;
    if (first < end) blocks_ = MaximalBlocks({first, end - first}, parts);
  }

  void Start() override { Resync(); }

 private:
  // One block of a step on its way.
  struct BlockPush {
    PartBlock block;
    uint64_t examples = 0;
    std::shared_ptr<Tensors> gradient;
    std::shared_ptr<Tensors> poisoned;
    uint64_t ticket = 0;
  };

  PullOptions Options() const {
    PullOptions options;
    options.deadline = Deadline(absl::ToInt64Milliseconds(world_->scenario.call_deadline));
    return options;
  }

  // What to do when a call did not bring what it should.
  void Recover(const Status& status, void (BspTrainer::*same)()) {
    switch (status.code()) {
      case StatusCode::kAborted:
        return process_->After(kPause, [this] { Resync(); });
      case StatusCode::kDeadlineExceeded:
      case StatusCode::kUnavailable:
        return process_->After(kPause, [this, same] { (this->*same)(); });
      default:
        Refused(status);
    }
  }

  void Refused(const Status& status) {
    const bool told =
        status.code() == StatusCode::kFailedPrecondition || status.code() == StatusCode::kCancelled;
    world_->judge.Expect(Promise::kOutcome, told, [&] {
      return absl::StrCat("a call of the trainer: ", status.ToString());
    });
    process_->End();
  }

  void Resync() {
    process_->Pull(weights_.Pulls(), Options(), world_->random.Chance(50),
                   [this](const Status& status, const PullResult& result) {
                     // All slices on one shard may be more than one sync may ask for: pulls bring
                     // them one by one.
                     if (status.code() == StatusCode::kResourceExhausted)
                       return Recover(Status(StatusCode::kUnavailable, ""), &BspTrainer::Resync);
                     if (!status.ok()) return Recover(status, &BspTrainer::Resync);
                     step_ = result.min_version;
                     epoch_ = process_->epoch();
                     PullStep();
                   });
  }

  // No worker begins this step any more.
  bool Finished() {
    if (!world_->finishing || epoch_ != world_->newest_epoch) return false;
    const uint64_t last =
        world_->last_step.try_emplace(epoch_, world_->furthest_step[epoch_] + 1).first->second;
    return step_ >= last;
  }

  void PullStep() {
    if (Finished()) return process_->Leave();
    PullOptions options = Options();
    options.step = step_;
    process_->Pull(weights_.Pulls(), options, /*sync=*/false,
                   [this](const Status& status, const PullResult&) {
                     if (!status.ok()) return Recover(status, &BspTrainer::PullStep);
                     PushStep();
                   });
  }

  // The weights of `step_` are in memory.
  void PushStep() {
    if (Finished()) return process_->Leave();
    uint64_t& furthest = world_->furthest_step[epoch_];
    furthest = std::max(furthest, step_);
    resync_ = false;
    has_values_ = false;
    open_ = blocks_.size();
    pushes_.clear();
    for (const PartBlock block : blocks_) pushes_.push_back(MakePush(block));
    if (blocks_.empty()) return NextStep();
    for (size_t i = 0; i < pushes_.size(); ++i) Ticket(i);
  }

  BlockPush MakePush(PartBlock block) {
    BlockPush push;
    push.block = block;
    push.gradient = std::make_shared<Tensors>(world_->scenario.layout);
    for (uint32_t tensor = 0; tensor < weights_.size(); ++tensor) {
      PartSum sum = SumParts(block, [&](uint32_t part) {
        PartSum one;
        const uint64_t source = PartSource(world_->scenario.seed, step_, part);
        one.examples = PartExamples(source);
        if (one.examples == 0) return one;
        const std::vector<float>& weights = weights_[tensor];
        one.gradient.resize(weights.size());
        FillGradient(source, one.examples, tensor + 1, 0, weights.data(), weights.size(),
                     one.gradient.data());
        return one;
      });
      push.examples = sum.examples;
      if (sum.examples != 0) (*push.gradient)[tensor] = std::move(sum.gradient);
    }
    if (world_->poison_wanted && push.examples != 0) Poison(&push);
    return push;
  }

  void Poison(BlockPush* push) {
    world_->poison_wanted = false;
    world_->Count(Fault::kPoison);
    push->poisoned = std::make_shared<Tensors>(*push->gradient);
    std::vector<float>& tensor = (*push->poisoned)[world_->random.Below(weights_.size())];
    tensor[world_->random.Below(tensor.size())] = std::numeric_limits<float>::quiet_NaN();
  }

  // Half of the pushes can be asked for again under their sequence.
  void Ticket(size_t i) {
    if (world_->random.Chance(50)) return Send(i);
    process_->NewSequence([this, i](const Status& status, uint64_t sequence) {
      if (status.ok()) pushes_[i].ticket = sequence;
      if (status.ok() || status.code() == StatusCode::kDeadlineExceeded) return Send(i);
      if (status.code() != StatusCode::kAborted) return Refused(status);
      resync_ = true;
      BlockDone();
    });
  }

  void Send(size_t i) {
    BlockPush& push = pushes_[i];
    const bool last = i + 1 == pushes_.size();
    PushOptions options;
    options.deadline = Options().deadline;
    options.step = step_;
    options.first_part = push.block.first;
    options.parts = push.block.parts;
    options.examples = push.examples;
    options.batch = step_;
    options.sequence = push.ticket;
    if (push.block.first == 0)
      options.learning_rate = StepLearningRate(world_->scenario.seed, step_);
    const std::shared_ptr<Tensors>& gradient =
        push.poisoned != nullptr ? push.poisoned : push.gradient;
    std::vector<TensorPush> tensors(weights_.size());
    for (size_t tensor = 0; tensor < tensors.size(); ++tensor) {
      tensors[tensor].tensor = static_cast<uint32_t>(tensor);
      if (push.examples != 0) tensors[tensor].gradient = gradient->View(tensor);
      tensors[tensor].into = weights_.Into(tensor);
    }
    process_->Push(tensors, /*owner=*/gradient, options, /*want_values=*/last,
                   [this, i, last](const Status& status, const PushResult& result) {
                     Sent(i, last, status, result);
                   });
  }

  void Sent(size_t i, bool last, const Status& status, const PushResult& result) {
    BlockPush& push = pushes_[i];
    if (status.ok() &&
        result.ended(PushOutcome::kInvalid)) {  // the poisoned slice; the others stand
      push.poisoned = nullptr;
      push.ticket = 0;
      return Ticket(i);
    }
    if (status.ok()) {
      resync_ = resync_ || result.ended(PushOutcome::kStale);
      if (last)
        has_values_ =
            result.min_values_version == step_ + 1 && result.max_values_version == step_ + 1;
      return BlockDone();
    }
    switch (status.code()) {
      case StatusCode::kDeadlineExceeded:
      case StatusCode::kUnavailable:
        if (push.poisoned != nullptr)
          push.ticket = 0;  // the others may be waiting for the right one
        push.poisoned = nullptr;
        return process_->After(kPause, [this, i] { Send(i); });
      case StatusCode::kInvalidArgument:  // a ticket may be forgotten
        if (push.ticket == 0) return Refused(status);
        push.ticket = 0;
        return process_->After(kPause, [this, i] { Send(i); });
      case StatusCode::kAborted:
        break;
      default:
        return Refused(status);
    }
    resync_ = true;
    BlockDone();
  }

  void BlockDone() {
    if (--open_ > 0) return;
    if (resync_) return process_->After(kPause, [this] { Resync(); });
    NextStep();
  }

  void NextStep() {
    ++step_;
    process_->After(world_->random.Between(absl::ZeroDuration(), kPause),
                    [this] { has_values_ ? PushStep() : PullStep(); });
  }

  WorkerProcess* const process_;
  World* const world_;
  Tensors weights_;
  std::vector<PartBlock> blocks_;
  uint64_t step_ = 0;
  uint64_t epoch_ = 0;  // in which that step counts
  // Of the step.
  std::vector<BlockPush> pushes_;
  size_t open_ = 0;
  bool resync_ = false;
  bool has_values_ = false;
};

}  // namespace

std::unique_ptr<Trainer> MakeBspTrainer(WorkerProcess* process) {
  return std::make_unique<BspTrainer>(process);
}

}  // namespace weir::sim
