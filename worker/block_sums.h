// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_WORKER_BLOCK_SUMS_H_
#define WEIR_WORKER_BLOCK_SUMS_H_

#include <cstdint>
#include <map>
#include <memory>
#include <vector>

#include "core/part_tree.h"
#include "weir/tensor.h"
#include "worker/gradient_set.h"

namespace weir {

// Sums the gradients of one step's parts along the fixed tree (core/part_tree.h), as far as this
// worker's parts allow.
//
// A part without examples is left out of every sum, as the shards do: adding zeros could change the
// bits of a negative zero. Keeps the memory of finished steps for the next ones. Deterministic; not
// thread-safe.
class BlockSums {
 public:
  // A block and its gradient, summed over `examples`; without examples the gradient is not set.
  struct Block {
    PartBlock parts;
    uint64_t examples = 0;
    std::unique_ptr<GradientSet> gradient;
  };

  // `total` is the job's gradient_shards. Gradients lie in memory of `worker`, which outlives it.
  BlockSums(std::vector<TensorSpec> tensors, uint32_t total, Worker& worker);

  // Memory for the gradient of one part. Fails as Worker::Allocate.
  Result<std::unique_ptr<GradientSet>> Take();
  // Gives memory back. REQUIRES: no frame reads it any more, or may yet (weir/memory.h).
  void Return(std::unique_ptr<GradientSet> set);

  // Adds one part and what it makes possible. REQUIRES: the part is not in yet.
  void Add(uint32_t part, uint64_t examples, std::unique_ptr<GradientSet> gradient);

  // Takes the block out, when exactly it is in; null parts otherwise.
  bool TakeBlock(PartBlock parts, Block* block);

  // Begins another step. REQUIRES: every block was taken.
  void Clear() { tree_.Clear(); }

 private:
  const std::vector<TensorSpec> tensors_;
  Worker& worker_;
  PartTree tree_;
  std::map<uint32_t, Block> held_;  // by first part
  std::vector<std::unique_ptr<GradientSet>> free_;
  std::vector<PartMerge> merges_;
};

}  // namespace weir

#endif  // WEIR_WORKER_BLOCK_SUMS_H_
