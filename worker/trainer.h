// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_WORKER_TRAINER_H_
#define WEIR_WORKER_TRAINER_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "core/part_tree.h"
#include "weir/train.h"
#include "worker/block_sums.h"
#include "worker/gradient_set.h"

namespace weir {

// One run of Train (worker/include/weir/train.h): this worker's weights, its gradients and where it
// stands. Not thread-safe.
class Trainer {
 public:
  // Both outlive it. `weights` is where the model's tensors go.
  Trainer(Worker& worker, Model& model, const TrainOptions& options,
          std::unique_ptr<GradientSet> weights);
  ~Trainer();
  Trainer(const Trainer&) = delete;
  Trainer& operator=(const Trainer&) = delete;

  Result<TrainReport> Run();

 private:
  // What a step of this worker's parts came to.
  struct StepLoss {
    uint64_t examples = 0;
    double loss_sum = 0;
  };

  // A block that was pushed and has not ended.
  struct Pending {
    BlockSums::Block block;
    bool last = false;  // brings the new weights
    Future<PushResult> future;
  };

  // Brings the weights anew. Sets step_ to the step that they are for, in bulk synchronous
  // training; to this worker's clock, in ssp.
  Status Refresh();
  Status BspStep(StepLoss* loss);
  // Of asp and ssp.
  Status AloneStep(StepLoss* loss);
  // One part's gradient, clipped.
  Result<PartResult> Compute(uint32_t part, GradientSet* gradient);
  // Starts the push of a block; the last one brings the new weights.
  void PushBlock(BlockSums::Block block, bool last);
  Future<PushResult> Send(const Pending& pending);
  void DropPending();
  // Waits for the blocks and, if they did not bring them, for the new weights.
  Status FinishStep();
  Status WaitForStep();
  // The gradient of all own parts together, for asp and ssp.
  Result<PartResult> ComputeAll(GradientSet* gradient);
  Result<PushResult> PushUntilEnded(std::vector<TensorPush> pushes, const PushOptions& options);
  Status Refused(const PushResult& result) const;
  void Count(const PushResult& result);
  void Tell(const StepLoss& loss);
  Status EvaluateNow();
  // True: a call that waits for the slowest of ssp has come to its deadline. It is made again, for
  // as long as the worker belongs to the job.
  bool Waits(const Status& status) const;

  bool bsp() const { return worker_.job().mode == Mode::kBsp; }
  bool ssp() const { return worker_.job().mode == Mode::kSsp; }
  std::vector<TensorPull> AllWeights() const;
  std::vector<TensorPush> AllGradients(const GradientSet* gradient) const;

  Worker& worker_;
  Model& model_;
  const TrainOptions options_;
  const std::vector<TensorSpec> tensors_;
  const PartBlock own_;                  // parts
  const std::vector<PartBlock> blocks_;  // maximal, of own_
  const uint64_t steps_;
  const std::unique_ptr<GradientSet> weights_;
  const std::vector<TensorView> weight_views_;
  BlockSums sums_;
  std::vector<Pending> pending_;
  uint64_t step_ = 0;
  uint64_t next_batch_ = 0;    // asp: as the last sync said
  uint64_t computed_ = 0;      // examples, recomputed ones included
  bool model_failed_ = false;  // the status is the model's, whatever its code
  // Of the slices applied since it was last reported: how many, and how stale: in versions; in ssp,
  // by how many clocks this worker was ahead.
  uint64_t applied_slices_ = 0;
  uint64_t staleness_sum_ = 0;
  TrainReport report_;
};

}  // namespace weir

#endif  // WEIR_WORKER_TRAINER_H_
