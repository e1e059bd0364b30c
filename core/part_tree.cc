// SPDX-License-Identifier: Apache-2.0
#include "core/part_tree.h"

#include <algorithm>

namespace weir {
namespace {

// Whether [first, first + parts) lies in [0, total), without overflow.
bool Inside(PartBlock range, uint32_t total) {
  return total <= kMaxParts && range.parts >= 1 && range.first < total &&
         range.parts <= total - range.first;
}

// The node of size 2^k parts that holds part `first`, cut at the end of the tree.
PartBlock Node(uint32_t first, uint32_t size, uint32_t total) {
  const uint32_t aligned = first / size * size;
  return {aligned, std::min(size, total - aligned)};
}

}  // namespace

bool IsBlock(PartBlock block, uint32_t total) {
  if (!Inside(block, total)) return false;
  uint32_t size = 1;
  while (size < block.parts) size *= 2;
  return Node(block.first, size, total) == block;
}

std::vector<PartBlock> MaximalBlocks(PartBlock range, uint32_t total) {
  std::vector<PartBlock> blocks;
  if (!Inside(range, total)) return blocks;
  const uint32_t end = range.first + range.parts;
  for (uint32_t first = range.first; first < end;) {
    PartBlock largest{first, 1};
    for (uint32_t size = 2; first % size == 0 && largest.parts < total - first; size *= 2) {
      const PartBlock node = Node(first, size, total);
      if (node.first + node.parts > end) break;
      largest = node;
    }
    blocks.push_back(largest);
    first += largest.parts;
  }
  return blocks;
}

PartBlock ParentBlock(PartBlock block, uint32_t total) {
  PartBlock node = block;
  for (uint32_t size = 2; node.parts == block.parts && node.parts < total; size *= 2) {
    const PartBlock candidate = Node(block.first, size, total);
    if (candidate.parts > block.parts) node = candidate;
  }
  return node;
}

PartBlock SiblingBlock(PartBlock block, uint32_t total) {
  const PartBlock parent = ParentBlock(block, total);
  if (parent.first == block.first) {
    return {block.first + block.parts, parent.parts - block.parts};
  }
  return {parent.first, parent.parts - block.parts};
}

PartTree::PartTree(uint32_t total) : total_(total) {}

uint32_t PartTree::CountHeld(PartBlock block) const {
  const uint32_t end = block.first + block.parts;
  auto it = std::lower_bound(
      held_.begin(), held_.end(), block.first,
      [](const PartBlock& held, uint32_t first) { return held.first + held.parts <= first; });
  uint32_t count = 0;
  for (; it != held_.end() && it->first < end; ++it) {
    count += std::min(end, it->first + it->parts) - std::max(block.first, it->first);
  }
  return count;
}

PartTree::Verdict PartTree::Look(PartBlock block) const {
  if (!IsBlock(block, total_)) return Verdict::kInvalid;
  const uint32_t held = CountHeld(block);
  if (held == 0) return Verdict::kNew;
  return held == block.parts ? Verdict::kHeld : Verdict::kPartly;
}

void PartTree::Add(PartBlock block, std::vector<PartMerge>* merges) {
  auto at =
      std::lower_bound(held_.begin(), held_.end(), block.first,
                       [](const PartBlock& held, uint32_t first) { return held.first < first; });
  at = held_.insert(at, block);
  held_parts_ += block.parts;
  while (at->parts < total_) {
    const PartBlock sibling = SiblingBlock(*at, total_);
    const bool is_left = at->first < sibling.first;
    const auto other = is_left ? at + 1 : at - 1;
    if (is_left ? other == held_.end() : at == held_.begin()) return;
    if (*other != sibling) return;
    const PartBlock left = is_left ? *at : sibling;
    const PartBlock right = is_left ? sibling : *at;
    merges->push_back({left, right, {left.first, left.parts + right.parts}});
    at = held_.erase(is_left ? other : at) - 1;
    *at = merges->back().parent;
  }
}

std::vector<PartBlock> PartTree::Missing() const {
  std::vector<PartBlock> missing;
  uint32_t next = 0;
  for (const PartBlock& held : held_) {
    if (held.first > next) missing.push_back({next, held.first - next});
    next = held.first + held.parts;
  }
  if (next < total_) missing.push_back({next, total_ - next});
  return missing;
}

void PartTree::Clear() {
  held_.clear();
  held_parts_ = 0;
}

}  // namespace weir
