// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_TOOLS_LOAD_MEMORY_H_
#define WEIR_TOOLS_LOAD_MEMORY_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "weir/memory.h"
#include "weir/tensor.h"
#include "weir/worker.h"

namespace weir {

// How much memory a worker's gradients take at most where two sets of them would do.
inline constexpr uint64_t kMostGradientBytes = uint64_t{256} << 20;

// The bytes of this processor's last cache, as the system tells it; 0: it does not.
uint64_t LastCacheBytes();

// How many sets of gradients a worker uses in turn: so many that together they are larger than the
// last cache, and at least two; two where that would take more than `most_bytes`.
size_t GradientSets(uint64_t model_bytes, uint64_t cache_bytes, uint64_t most_bytes);

// One worker's memory: `gradient_sets` sets of the pattern's gradients, used in turn, and
// `weight_sets` places for values that come back. Every tensor starts at a multiple of 64 bytes.
class LoadMemory {
 public:
  // Gradients lie in memory of `worker`, which sends from where it lies. RESOURCE_EXHAUSTED: there
  // is not so much.
  static absl::StatusOr<std::unique_ptr<LoadMemory>> Make(Worker& worker,
                                                          const std::vector<TensorSpec>& tensors,
                                                          size_t gradient_sets, size_t weight_sets);

  size_t tensors() const { return counts_.size(); }
  uint64_t count(size_t tensor) const { return counts_[tensor]; }
  uint64_t gradient_bytes() const { return gradients_.size() * floats_ * sizeof(float); }

  TensorView gradient(size_t set, size_t tensor) const;  // sets count on: modulo
  float* weights(size_t set, size_t tensor) { return weights_[set].data() + offsets_[tensor]; }
  MutableTensorView weights_view(size_t set, size_t tensor);

 private:
  explicit LoadMemory(const std::vector<TensorSpec>& tensors);

  std::vector<size_t> offsets_;  // floats
  std::vector<uint64_t> counts_;
  size_t floats_ = 0;  // of a set
  std::vector<TensorMemory> gradients_;
  std::vector<std::vector<float>> weights_;
};

}  // namespace weir

#endif  // WEIR_TOOLS_LOAD_MEMORY_H_
