// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_CORE_PART_TREE_H_
#define WEIR_CORE_PART_TREE_H_

#include <cstdint>
#include <vector>

// The fixed binary tree in which the gradients of a step's G parts are summed, so that the sum has
// the same bits whoever computed which part and in whatever order they arrive.
//
// A node of level k is the aligned range of parts [j * 2^k, min((j + 1) * 2^k, G)), called a block.
// The value of a block of one part is that part's gradient; of a larger block: value(left half) +
// value(right half), one float addition an element. A block whose right half would be empty *is*
// its left half (no addition), so a block is named by its range alone. With G = 5:
//
//   [0,5) = [0,4) + [4,5)     [0,4) = [0,2) + [2,4)     [0,2) = [0,1) + [1,2)     [2,4) = [2,3) +
//   [3,4)
//
// Deterministic; no threads, no data: who keeps a tree also keeps the arrays and runs the
// additions.
namespace weir {

// The most parts that a step may have.
inline constexpr uint32_t kMaxParts = 1u << 16;

// Parts [first, first + parts).
struct PartBlock {
  uint32_t first = 0;
  uint32_t parts = 0;

  friend bool operator==(const PartBlock& a, const PartBlock& b) {
    return a.first == b.first && a.parts == b.parts;
  }
  friend bool operator!=(const PartBlock& a, const PartBlock& b) { return !(a == b); }
};

// Whether the range is a block of the tree over `total` parts. False for anything outside of [0,
// total), for 0 parts and for a total of 0 or above kMaxParts: the arguments may come from the
// network.
bool IsBlock(PartBlock block, uint32_t total);

// The maximal blocks of a contiguous range, ascending: what a worker that computed these parts
// pushes. At most 2 log2(parts) + 1 of them. Empty if the range is empty or not inside [0, total).
std::vector<PartBlock> MaximalBlocks(PartBlock range, uint32_t total);

// The smallest block larger than `block` that contains it. REQUIRES: IsBlock(block, total); block
// is not the whole.
PartBlock ParentBlock(PartBlock block, uint32_t total);

// The other half of the parent. REQUIRES: as ParentBlock.
PartBlock SiblingBlock(PartBlock block, uint32_t total);

// One addition: value(parent) = value(left) + value(right).
struct PartMerge {
  PartBlock left;
  PartBlock right;
  PartBlock parent;
};

// Which blocks of one step are in, and which additions they make possible. Memory: one entry per
// block held, at most `total`.
class PartTree {
 public:
  enum class Verdict {
    kNew,      // a block, none of whose parts is held: Add it
    kHeld,     // every part is held already
    kPartly,   // some parts are held, some not: cannot be added without counting those twice
    kInvalid,  // not a block of this tree
  };

  // Holds nothing. REQUIRES: 1 <= total <= kMaxParts.
  explicit PartTree(uint32_t total);

  // Says what `block` is. Changes nothing.
  Verdict Look(PartBlock block) const;

  // Holds `block` and appends to `merges` the additions that it makes possible, in the order in
  // which they must run. From here on each of them counts as done: left and right are no longer
  // held, their parent is. REQUIRES: Look(block) == kNew.
  void Add(PartBlock block, std::vector<PartMerge>* merges);

  // Whether every part is in: the one block held is then [0, total), the step's gradient.
  bool complete() const { return held_parts_ == total_; }

  // The ranges of parts that are not in, maximal and ascending: whom the step waits for.
  std::vector<PartBlock> Missing() const;

  // The blocks held, ascending and disjoint.
  const std::vector<PartBlock>& held() const { return held_; }
  uint32_t held_parts() const { return held_parts_; }
  uint32_t total() const { return total_; }

  // Holds nothing again, for the next step. Keeps its memory.
  void Clear();

 private:
  // The number of parts of [first, first + parts) that are held.
  uint32_t CountHeld(PartBlock block) const;

  uint32_t total_;
  uint32_t held_parts_ = 0;
  std::vector<PartBlock> held_;
};

}  // namespace weir

#endif  // WEIR_CORE_PART_TREE_H_
