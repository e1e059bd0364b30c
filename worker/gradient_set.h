// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_WORKER_GRADIENT_SET_H_
#define WEIR_WORKER_GRADIENT_SET_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "weir/memory.h"
#include "weir/tensor.h"
#include "weir/worker.h"

namespace weir {

// One array for each tensor of a model, f32, 64-byte aligned, in one block of memory: a gradient
// summed over some examples, or the weights. Not thread-safe. Reductions run in a fixed order, so
// the same gradients give the same bits.
class GradientSet {
 public:
  // Zero everywhere, in memory of the worker: pushed from where it lies. Fails as Worker::Allocate.
  static Result<std::unique_ptr<GradientSet>> Make(const std::vector<TensorSpec>& tensors,
                                                   Worker& worker);

  // What a set takes.
  static size_t Bytes(const std::vector<TensorSpec>& tensors);
  // The content is as found. REQUIRES: `memory` has at least Bytes(tensors) bytes.
  GradientSet(const std::vector<TensorSpec>& tensors, TensorMemory memory);

  const std::vector<MutableTensorView>& views() const { return views_; }
  std::vector<TensorView> const_views() const;

  // Multiplies the gradient by whatever takes the norm of its mean over `examples`, over all
  // tensors together, down to `clip_norm`; leaves a shorter one, and one that is not finite (the
  // servers refuse it and say so), as it is. REQUIRES: examples > 0, clip_norm > 0.
  void ClipMeanNorm(uint64_t examples, double clip_norm);

  // this = this + right, element by element: a node of the fixed tree whose left child is this.
  void AddRight(const GradientSet& right);

 private:
  TensorMemory memory_;
  std::vector<MutableTensorView> views_;
};

}  // namespace weir

#endif  // WEIR_WORKER_GRADIENT_SET_H_
