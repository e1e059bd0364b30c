// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_MODEL_H_
#define WEIR_MODEL_H_

#include <cstdint>
#include <vector>

#include "weir/status.h"
#include "weir/tensor.h"

namespace weir {

// Names the examples of one gradient: part `part` of `parts` of the global batch of `step`. Which
// examples these are must be a pure function of (the job's seed, step, part, parts): whoever
// computes the part, and however often, sees the same.
struct PartId {
  uint64_t step = 0;   // 0-based
  uint32_t part = 0;   // 0-based, < parts
  uint32_t parts = 1;  // the job's `train.gradient_shards`
};

// What one gradient computation saw.
struct PartResult {
  uint64_t examples = 0;  // 0: nothing in this part; the gradients are then ignored (skip)
  double loss_sum = 0;    // summed over the examples
};

// Quality on held-out data.
struct Evaluation {
  uint64_t examples = 0;
  double loss_sum = 0;
  uint64_t correct = 0;  // examples whose most likely class is the labelled one
};

// A model with its data, as the training loop sees it. A trainer author implements this.
//
// The loop owns the memory of weights and gradients; views are in the order of Tensors(), f32 on
// the CPU, 64-byte aligned, and valid for the call only. Calls come from one thread at a time.
class Model {
 public:
  virtual ~Model() = default;

  // The tensors, first layers first: they are pulled in this order. The same in every worker of the
  // job.
  virtual std::vector<TensorSpec> Tensors() const = 0;

  // Steps in one epoch, for a global batch of the size that the model was built for.
  virtual uint64_t StepsPerEpoch() const = 0;

  // Writes to `gradients` the gradient of the loss SUMMED over the examples of `part` (the servers
  // divide by the number of examples of the whole step). Must overwrite every element, and give the
  // same bits for the same arguments. Allocates nothing after its first calls.
  virtual Result<PartResult> Gradient(const PartId& part, const std::vector<TensorView>& weights,
                                      const std::vector<MutableTensorView>& gradients) = 0;

  // Evaluates `weights` on the test set; examples == 0 when there is none.
  virtual Result<Evaluation> Evaluate(const std::vector<TensorView>& weights) = 0;
};

}  // namespace weir

#endif  // WEIR_MODEL_H_
