// SPDX-License-Identifier: Apache-2.0
#include "worker/trainer.h"

#include <algorithm>
#include <string>
#include <utility>

#include "worker/part_assignment.h"

namespace weir {

Trainer::Trainer(Worker& worker, Model& model, const TrainOptions& options,
                 std::unique_ptr<GradientSet> weights)
    : worker_(worker),
      model_(model),
      options_(options),
      tensors_(model.Tensors()),
      own_(AssignedParts(worker.job().rank, worker.job().workers, worker.job().gradient_shards)),
      blocks_(MaximalBlocks(own_, worker.job().gradient_shards)),
      steps_(options.steps != 0 ? options.steps : options.epochs * model.StepsPerEpoch()),
      weights_(std::move(weights)),
      weight_views_(weights_->const_views()),
      sums_(tensors_, worker.job().gradient_shards, worker) {}

std::vector<TensorPull> Trainer::AllWeights() const {
  std::vector<TensorPull> pulls(tensors_.size());
  for (size_t i = 0; i < pulls.size(); ++i) {
    pulls[i].tensor = static_cast<uint32_t>(i);
    pulls[i].into = weights_->views()[i];
  }
  return pulls;
}

// Without a gradient: of an empty part.
std::vector<TensorPush> Trainer::AllGradients(const GradientSet* gradient) const {
  std::vector<TensorPush> pushes(tensors_.size());
  for (size_t i = 0; i < pushes.size(); ++i) {
    pushes[i].tensor = static_cast<uint32_t>(i);
    pushes[i].into = weights_->views()[i];
    if (gradient == nullptr) continue;
    const MutableTensorView& view = gradient->views()[i];
    pushes[i].gradient = TensorView{view.data, view.type, view.count};
  }
  return pushes;
}

Result<TrainReport> Trainer::Run() {
  Status status = Refresh();
  if (worker_.job().mode == Mode::kAsp) step_ = next_batch_;
  report_.first_step = step_;
  worker_.Progress(step_, steps_);
  while (status.ok() && step_ < steps_) {
    StepLoss loss;
    status = bsp() ? BspStep(&loss) : AloneStep(&loss);
    if (status.code() == StatusCode::kAborted && !model_failed_) {
      // The job went on without us, or to another epoch: join it where it is.
      status = Refresh();
      continue;
    }
    if (!status.ok()) break;
    Tell(loss);
    if (options_.progress) {
      const TrainProgress progress{step_, steps_, report_.final_loss, computed_};
      if (!options_.progress(progress)) break;
    }
    if (options_.evaluate_every != 0 && step_ % options_.evaluate_every == 0 && step_ < steps_)
      status = EvaluateNow();
  }
  if (status.ok() && options_.evaluate_at_end) status = EvaluateNow();
  if (!status.ok()) return status;
  report_.steps = step_;
  return report_;
}

Status Trainer::Refresh() {
  while (true) {
    Result<PullResult> all = worker_.Sync(AllWeights());
    if (!all.ok()) {
      if (all.status().code() == StatusCode::kAborted || Waits(all.status()))
        continue;  // moved once more; ends with the worker
      return all.status();
    }
    if (ssp()) step_ = all->clock;
    if (!bsp()) {
      next_batch_ = all->next_batch;
      return Status();
    }
    step_ = all->min_version;
    if (all->min_version == all->max_version) return Status();
    // A step is being committed: some slices are one ahead. It may wait for this worker's own
    // parts, which whoever had this place before has pushed to some slices only; its weights are
    // still there. Without parts nobody waits for us: as far ahead as it goes.
    PullOptions options;
    options.step = own_.parts == 0 ? all->max_version : all->min_version;
    all = worker_.Sync(AllWeights(), options);
    if (!all.ok() && all.status().code() != StatusCode::kAborted) return all.status();
    if (!all.ok()) continue;
    step_ = all->min_version;
    return Status();
  }
}

Result<PartResult> Trainer::Compute(uint32_t part, GradientSet* gradient) {
  const PartId id{step_, part, worker_.job().gradient_shards};
  Result<PartResult> result = model_.Gradient(id, weight_views_, gradient->views());
  model_failed_ = !result.ok();
  if (!result.ok()) return result;
  computed_ += result->examples;
  if (result->examples != 0 && options_.clip_norm > 0)
    gradient->ClipMeanNorm(result->examples, options_.clip_norm);
  return result;
}

Trainer::~Trainer() { DropPending(); }

// Ends the pushes under way: they use memory that is about to go.
void Trainer::DropPending() {
  for (Pending& pending : pending_) {
    if (!pending.future.valid()) continue;
    pending.future.Cancel();
    (void)pending.future.Get();
  }
  pending_.clear();
}

Status Trainer::BspStep(StepLoss* loss) {
  DropPending();
  sums_.Clear();
  size_t next_block = 0;
  for (uint32_t part = own_.first; part < own_.first + own_.parts; ++part) {
    Result<std::unique_ptr<GradientSet>> gradient = sums_.Take();
    if (!gradient.ok()) return gradient.status();
    Result<PartResult> result = Compute(part, gradient->get());
    if (!result.ok()) return result.status();
    loss->examples += result->examples;
    loss->loss_sum += result->loss_sum;
    sums_.Add(part, result->examples, std::move(*gradient));
    BlockSums::Block block;
    if (!sums_.TakeBlock(blocks_[next_block], &block)) continue;
    ++next_block;
    PushBlock(std::move(block), next_block == blocks_.size());
  }
  return FinishStep();
}

void Trainer::PushBlock(BlockSums::Block block, bool last) {
  Pending pending;
  pending.block = std::move(block);
  pending.last = last;
  pending.future = Send(pending);
  pending_.push_back(std::move(pending));
}

Future<PushResult> Trainer::Send(const Pending& pending) {
  const BlockSums::Block& block = pending.block;
  PushOptions options;
  options.examples = block.examples;
  options.step = step_;
  options.first_part = block.parts.first;
  options.parts = block.parts.parts;
  options.batch = step_;
  std::vector<TensorPush> pushes = AllGradients(block.gradient.get());
  return pending.last ? worker_.PushPullAsync(std::move(pushes), options)
                      : worker_.PushAsync(std::move(pushes), options);
}

Status Trainer::FinishStep() {
  Status status;
  uint64_t newest = step_;
  for (Pending& pending : pending_) {
    Result<PushResult> result = pending.future.Get();
    // The others are slower than the deadline. A part counts once however often it is pushed, so it
    // is pushed until it is known to count, for as long as the worker belongs to the job: each try
    // is one call with a deadline.
    while (result.status().code() == StatusCode::kDeadlineExceeded) result = Send(pending).Get();
    if (!result.ok()) {  // a frame may still read the gradient: its memory is not used again
      if (status.ok()) status = result.status();
      continue;
    }
    Count(*result);
    if (status.ok()) status = Refused(*result);
    report_.examples += pending.block.examples;
    if (pending.last) newest = result->min_values_version;
    sums_.Return(std::move(pending.block.gradient));
  }
  if (!status.ok()) return status;
  if (newest != step_ + 1) return WaitForStep();
  ++step_;
  return Status();
}

// Waits for the weights of the next step, as long as FinishStep would. For a worker without parts.
Status Trainer::WaitForStep() {
  PullOptions options;
  options.step = step_ + 1;
  while (true) {
    Result<PullResult> result = worker_.Pull(AllWeights(), options);
    if (result.ok()) {
      ++step_;
      return Status();
    }
    if (result.status().code() != StatusCode::kDeadlineExceeded) return result.status();
  }
}

Result<PartResult> Trainer::ComputeAll(GradientSet* gradient) {
  PartResult total;
  Result<std::unique_ptr<GradientSet>> part_gradient = sums_.Take();
  if (!part_gradient.ok()) return part_gradient.status();
  for (uint32_t part = own_.first; part < own_.first + own_.parts; ++part) {
    const bool first = total.examples == 0;
    GradientSet* into = first ? gradient : part_gradient->get();
    Result<PartResult> result = Compute(part, into);
    if (!result.ok()) return result;
    if (result->examples == 0) continue;
    if (!first) gradient->AddRight(**part_gradient);
    total.examples += result->examples;
    total.loss_sum += result->loss_sum;
  }
  sums_.Return(std::move(*part_gradient));
  return total;
}

Status Trainer::AloneStep(StepLoss* loss) {
  Result<std::unique_ptr<GradientSet>> taken = sums_.Take();
  if (!taken.ok()) return taken.status();
  std::unique_ptr<GradientSet> gradient = std::move(*taken);  // of a failed push: not used again
  Result<PartResult> computed = ComputeAll(gradient.get());
  if (!computed.ok()) return computed.status();
  loss->examples = computed->examples;
  loss->loss_sum = computed->loss_sum;
  PushOptions options;
  options.examples = computed->examples;
  options.step = step_;
  options.batch = step_;
  std::vector<TensorPush> pushes = AllGradients(gradient.get());
  // Without examples there is nothing to push; but in ssp the others wait to hear of the step's
  // end.
  while (options.examples != 0 || ssp()) {
    Result<PushResult> result = PushUntilEnded(pushes, options);
    if (!result.ok()) return result.status();
    Count(*result);
    const Status refused = Refused(*result);
    if (!refused.ok()) return refused;
    if (!result->ended(PushOutcome::kStale)) break;
    // The fresh values have come back: the stale slices, and only they, are pushed again as of now.
    computed = ComputeAll(gradient.get());
    if (!computed.ok()) return computed.status();
    report_.examples_recomputed += computed->examples;
    const std::vector<TensorPush> all = AllGradients(gradient.get());
    pushes.clear();
    for (const SliceOutcome& slice : result->slices) {
      if (slice.ended() != PushOutcome::kStale) continue;
      pushes.push_back(all[slice.tensor]);
      pushes.back().offset = slice.offset;
      pushes.back().count = slice.count;
    }
  }
  sums_.Return(std::move(gradient));
  report_.examples += loss->examples;
  ++step_;
  return Status();
}

// Asks again, under one sequence, until it is known how the push ended.
Result<PushResult> Trainer::PushUntilEnded(std::vector<TensorPush> pushes,
                                           const PushOptions& options) {
  PushOptions ticket = options;
  Result<uint64_t> sequence = worker_.NewSequence();
  if (!sequence.ok()) return sequence.status();
  ticket.sequence = *sequence;
  while (true) {
    Result<PushResult> result = worker_.PushPull(pushes, ticket);
    if (result.ok() || result.status().code() != StatusCode::kDeadlineExceeded) return result;
  }
}

bool Trainer::Waits(const Status& status) const {
  return ssp() && status.code() == StatusCode::kDeadlineExceeded;
}

Status Trainer::Refused(const PushResult& result) const {
  if (!result.ended(PushOutcome::kInvalid)) return Status();
  std::string reason =
      "the servers refused the gradient of step " + std::to_string(step_) + ": " + result.reason;
  if (result.reason.find("non-finite") != std::string::npos)
    reason += "; the training diverges: try a lower learning rate";
  return Status(StatusCode::kFailedPrecondition, std::move(reason));
}

void Trainer::Count(const PushResult& result) {
  report_.pushes.applied += result.tally.applied;
  report_.pushes.stale += result.tally.stale;
  report_.pushes.duplicate += result.tally.duplicate;
  report_.pushes.invalid += result.tally.invalid;
  if (bsp()) return;
  for (const SliceOutcome& slice : result.slices) {
    if (slice.outcome != PushOutcome::kApplied) continue;
    ++applied_slices_;
    staleness_sum_ += ssp() ? slice.clocks_ahead : slice.version - 1 - slice.base_version;
  }
}

void Trainer::Tell(const StepLoss& loss) {
  if (loss.examples != 0) report_.final_loss = loss.loss_sum / static_cast<double>(loss.examples);
  worker_.Progress(step_, steps_);
  // At most 64 values: these are the first.
  (void)worker_.Report("loss", report_.final_loss);
  (void)worker_.Report("examples", static_cast<double>(report_.examples));
  (void)worker_.Report("examples_recomputed", static_cast<double>(report_.examples_recomputed));
  if (applied_slices_ == 0) return;
  (void)worker_.Report(ssp() ? "clocks_ahead" : "staleness",
                       static_cast<double>(staleness_sum_) / static_cast<double>(applied_slices_));
  applied_slices_ = staleness_sum_ = 0;
}

Status Trainer::EvaluateNow() {
  if (worker_.job().rank != 0) return Status();
  if (!bsp()) {  // the others go on pushing: what is there now
    Result<PullResult> pulled = worker_.Pull(AllWeights());
    while (Waits(pulled.status())) pulled = worker_.Pull(AllWeights());
    if (!pulled.ok()) return pulled.status();
  }
  Result<Evaluation> evaluation = model_.Evaluate(weight_views_);
  if (!evaluation.ok()) return evaluation.status();
  if (evaluation->examples == 0) return Status();
  report_.evaluation = *evaluation;
  const double examples = static_cast<double>(evaluation->examples);
  (void)worker_.Report("test_accuracy", static_cast<double>(evaluation->correct) / examples);
  (void)worker_.Report("test_loss", evaluation->loss_sum / examples);
  return Status();
}

Result<TrainReport> Train(Worker& worker, Model& model, const TrainOptions& options) {
  if (options.clip_norm < 0)
    return Status(StatusCode::kInvalidArgument, "TrainOptions::clip_norm is negative");
  Status status = worker.Declare(model.Tensors());
  if (!status.ok()) return status;
  Result<std::unique_ptr<GradientSet>> weights = GradientSet::Make(model.Tensors(), worker);
  if (!weights.ok()) return weights.status();
  return Trainer(worker, model, options, std::move(*weights)).Run();
}

}  // namespace weir
