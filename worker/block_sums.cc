// SPDX-License-Identifier: Apache-2.0
#include "worker/block_sums.h"

#include <utility>

namespace weir {

BlockSums::BlockSums(std::vector<TensorSpec> tensors, uint32_t total, Worker& worker)
    : tensors_(std::move(tensors)), worker_(worker), tree_(total) {}

Result<std::unique_ptr<GradientSet>> BlockSums::Take() {
  if (free_.empty()) return GradientSet::Make(tensors_, worker_);
  std::unique_ptr<GradientSet> set = std::move(free_.back());
  free_.pop_back();
  return set;
}

void BlockSums::Return(std::unique_ptr<GradientSet> set) {
  if (set != nullptr) free_.push_back(std::move(set));
}

void BlockSums::Add(uint32_t part, uint64_t examples, std::unique_ptr<GradientSet> gradient) {
  if (examples == 0) Return(std::move(gradient));
  held_[part] = Block{{part, 1}, examples, std::move(gradient)};
  merges_.clear();
  tree_.Add({part, 1}, &merges_);
  for (const PartMerge& merge : merges_) {
    Block& left = held_.at(merge.left.first);
    Block right = std::move(held_.at(merge.right.first));
    held_.erase(merge.right.first);
    left.parts = merge.parent;
    if (right.examples == 0) continue;
    if (left.examples == 0) {
      left.gradient = std::move(right.gradient);
    } else {
      left.gradient->AddRight(*right.gradient);
      Return(std::move(right.gradient));
    }
    left.examples += right.examples;
  }
}

bool BlockSums::TakeBlock(PartBlock parts, Block* block) {
  const auto at = held_.find(parts.first);
  if (at == held_.end() || at->second.parts != parts) return false;
  *block = std::move(at->second);
  held_.erase(at);
  return true;
}

}  // namespace weir
