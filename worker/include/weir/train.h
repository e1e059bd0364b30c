// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_TRAIN_H_
#define WEIR_TRAIN_H_

#include <cstdint>
#include <functional>
#include <optional>

#include "weir/model.h"
#include "weir/status.h"
#include "weir/worker.h"

namespace weir {

// What the progress callback sees after each step.
struct TrainProgress {
  uint64_t step = 0;   // finished steps
  uint64_t steps = 0;  // planned
  double loss = 0;     // mean over the examples that this worker saw in the step
  uint64_t examples =
      0;  // that this worker has computed gradients of so far, recomputed ones included
};

struct TrainOptions {
  uint64_t epochs = 1;
  uint64_t steps = 0;    // not 0: this many instead of epochs
  double clip_norm = 0;  // each part's mean gradient is scaled down to this norm; 0: off
  // Called after each step, from the calling thread. Returns false to end early, in order.
  std::function<bool(const TrainProgress&)> progress;
  uint64_t evaluate_every = 0;  // steps between evaluations on rank 0; 0: at the end only
  bool evaluate_at_end = true;  // on rank 0
};

struct TrainReport {
  uint64_t steps = 0;                // finished, by this worker and those that had its place before
  uint64_t first_step = 0;           // with which this worker began
  double final_loss = 0;             // mean per example, of this worker's parts, in the last step
  uint64_t examples = 0;             // whose gradients counted
  uint64_t examples_recomputed = 0;  // computed again after `stale`
  PushTally pushes;                  // slices
  std::optional<Evaluation> evaluation;  // rank 0, when the model has a test set
};

// Trains `model` as this worker's share of the job: declares its tensors, takes the parts
// [rank*G/workers, (rank+1)*G/workers) of each step, and pushes their gradients. Blocks until done.
// Reports loss, examples and step to the job. Does not Leave.
//
// Bulk synchronous: one pull at the start; then a step is: gradients of the own parts, summed along
// the fixed tree, pushed block by block, the new weights coming back with the last. Asynchronous:
// each step's gradient is pushed at once; slices found stale are computed again from the fresh
// weights and pushed under a new sequence until they are applied. A worker that takes a lost one's
// place goes on where that ended: in lockstep with the step that is open, which ends with the same
// bits; asynchronously behind the last step of which a push was applied, whose slices that were
// still under way are not pushed again.
//
// In the steady state it allocates no memory of a tensor's size. Fails with the status of the call
// that failed, or of the model; kFailedPrecondition if a push was refused as invalid (say, a
// gradient that is not finite: the training diverges).
Result<TrainReport> Train(Worker& worker, Model& model, const TrainOptions& options);

}  // namespace weir

#endif  // WEIR_TRAIN_H_
