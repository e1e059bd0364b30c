// SPDX-License-Identifier: Apache-2.0
#include "core/part_tree.h"

#include <algorithm>
#include <map>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/core/random_floats.h"

namespace weir {

void PrintTo(const PartBlock& block, std::ostream* os) {
  *os << "[" << block.first << ", +" << block.parts << ")";
}

namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using Verdict = PartTree::Verdict;

// All blocks of the tree, by recursion from the root: the definition, written another way.
void CollectBlocks(uint32_t first, uint32_t size, uint32_t total, std::vector<PartBlock>* blocks) {
  if (first >= total) return;
  const PartBlock block{first, std::min(size, total - first)};
  if (std::find(blocks->begin(), blocks->end(), block) == blocks->end()) blocks->push_back(block);
  if (size == 1) return;
  CollectBlocks(first, size / 2, total, blocks);
  CollectBlocks(first + size / 2, size / 2, total, blocks);
}

std::vector<PartBlock> AllBlocks(uint32_t total) {
  uint32_t size = 1;
  while (size < total) size *= 2;
  std::vector<PartBlock> blocks;
  CollectBlocks(0, size, total, &blocks);
  return blocks;
}

bool Contains(PartBlock outer, PartBlock inner) {
  return outer.first <= inner.first && inner.first + inner.parts <= outer.first + outer.parts;
}

TEST(PartBlockTest, BlocksAreExactlyTheNodesOfTheRecursiveTree) {
  for (uint32_t total = 1; total <= 33; ++total) {
    const std::vector<PartBlock> blocks = AllBlocks(total);
    for (uint32_t first = 0; first <= total + 1; ++first) {
      for (uint32_t parts = 0; parts <= total + 1; ++parts) {
        const PartBlock block{first, parts};
        EXPECT_EQ(IsBlock(block, total),
                  std::find(blocks.begin(), blocks.end(), block) != blocks.end())
            << first << " +" << parts << " of " << total;
      }
    }
  }
}

TEST(PartBlockTest, NumbersFromOutsideAreNoBlocks) {
  EXPECT_FALSE(IsBlock({0, 1}, 0));
  EXPECT_FALSE(IsBlock({0, 0}, 4));
  EXPECT_FALSE(IsBlock({4, 1}, 4));
  EXPECT_FALSE(IsBlock({0, 0xFFFFFFFFu}, 4));
  EXPECT_FALSE(IsBlock({0xFFFFFFFFu, 1}, 4));
  EXPECT_FALSE(IsBlock({2, 0xFFFFFFFEu}, 4));
  EXPECT_FALSE(IsBlock({0, kMaxParts + 1}, kMaxParts + 1));
  EXPECT_FALSE(IsBlock({0, 0xFFFFFFFFu}, 0xFFFFFFFFu));
  EXPECT_TRUE(IsBlock({0, kMaxParts}, kMaxParts));
  EXPECT_THAT(MaximalBlocks({3, 0xFFFFFFFFu}, 4), IsEmpty());
  EXPECT_THAT(MaximalBlocks({0, 5}, 4), IsEmpty());
  EXPECT_THAT(MaximalBlocks({0, 0}, 4), IsEmpty());
}

TEST(PartBlockTest, MaximalBlocksOfSomeRanges) {
  EXPECT_THAT(MaximalBlocks({0, 5}, 5), ElementsAre(PartBlock{0, 5}));
  EXPECT_THAT(MaximalBlocks({1, 4}, 5),
              ElementsAre(PartBlock{1, 1}, PartBlock{2, 2}, PartBlock{4, 1}));
  EXPECT_THAT(MaximalBlocks({3, 8}, 16),
              ElementsAre(PartBlock{3, 1}, PartBlock{4, 4}, PartBlock{8, 2}, PartBlock{10, 1}));
  EXPECT_THAT(MaximalBlocks({4, 3}, 7), ElementsAre(PartBlock{4, 3}));
}

TEST(PartBlockTest, MaximalBlocksCoverTheRangeAndNoLargerBlockFits) {
  for (uint32_t total = 1; total <= 33; ++total) {
    const std::vector<PartBlock> all = AllBlocks(total);
    for (uint32_t first = 0; first < total; ++first) {
      for (uint32_t parts = 1; parts <= total - first; ++parts) {
        const PartBlock range{first, parts};
        uint32_t next = first;
        for (const PartBlock& block : MaximalBlocks(range, total)) {
          ASSERT_EQ(block.first, next);
          ASSERT_TRUE(IsBlock(block, total));
          for (const PartBlock& larger : all) {
            ASSERT_FALSE(larger.parts > block.parts && Contains(larger, block) &&
                         Contains(range, larger));
          }
          next += block.parts;
        }
        ASSERT_EQ(next, first + parts);
      }
    }
  }
}

TEST(PartBlockTest, ParentIsTheSmallestLargerBlockAndSiblingItsOtherHalf) {
  for (uint32_t total = 2; total <= 33; ++total) {
    const std::vector<PartBlock> all = AllBlocks(total);
    for (const PartBlock& block : all) {
      if (block.parts == total) continue;
      PartBlock smallest{0, total};
      for (const PartBlock& larger : all) {
        if (larger != block && Contains(larger, block) && larger.parts < smallest.parts) {
          smallest = larger;
        }
      }
      const PartBlock sibling = SiblingBlock(block, total);
      ASSERT_EQ(ParentBlock(block, total), smallest);
      ASSERT_TRUE(IsBlock(sibling, total));
      ASSERT_EQ(SiblingBlock(sibling, total), block);
      ASSERT_EQ(sibling.parts + block.parts, smallest.parts);
      ASSERT_TRUE(Contains(smallest, sibling));
    }
  }
}

// The sum by recursion, straight from the definition.
float RecursiveSum(const std::vector<float>& parts, uint32_t first, uint32_t size) {
  if (size == 1) return parts[first];
  const float left = RecursiveSum(parts, first, size / 2);
  if (first + size / 2 >= parts.size()) return left;
  return left + RecursiveSum(parts, first + size / 2, size / 2);
}

float ReferenceSum(const std::vector<float>& parts) {
  uint32_t size = 1;
  while (size < parts.size()) size *= 2;
  return RecursiveSum(parts, 0, size);
}

// What a shard does with a tree: keeps one value a block and runs the merges.
class Summer {
 public:
  explicit Summer(uint32_t total) : tree_(total) {}

  void Add(PartBlock block, float value) {
    ASSERT_EQ(tree_.Look(block), Verdict::kNew);
    values_[block.first] = value;
    std::vector<PartMerge> merges;
    tree_.Add(block, &merges);
    for (const PartMerge& merge : merges) {
      ASSERT_EQ(merge.left.first + merge.left.parts, merge.right.first);
      ASSERT_EQ(merge.parent, (PartBlock{merge.left.first, merge.left.parts + merge.right.parts}));
      ASSERT_EQ(values_.count(merge.left.first) + values_.count(merge.right.first), 2u);
      values_[merge.left.first] += values_[merge.right.first];
      values_.erase(merge.right.first);
    }
    ASSERT_EQ(tree_.Look(block), Verdict::kHeld);
  }

  bool complete() const { return tree_.complete(); }
  float sum() const { return values_.at(0); }
  size_t values() const { return values_.size(); }
  size_t held() const { return tree_.held().size(); }

 private:
  PartTree tree_;
  std::map<uint32_t, float> values_;
};

// A worker's own sum of a block, computed by a tree of its own from its parts.
float WorkerSum(const std::vector<float>& parts, PartBlock block) {
  std::vector<float> own(parts.begin() + block.first, parts.begin() + block.first + block.parts);
  return ReferenceSum(own);
}

// Cuts the parts into ranges after each part whose bit is set, pushes each range's maximal blocks
// in a random order.
void ExpectSameBits(const std::vector<float>& parts, uint64_t cuts, TestRandom* random) {
  const uint32_t total = static_cast<uint32_t>(parts.size());
  std::vector<PartBlock> blocks;
  uint32_t first = 0;
  for (uint32_t i = 0; i < total; ++i) {
    if (i + 1 < total && !((cuts >> i) & 1)) continue;
    const std::vector<PartBlock> of_worker = MaximalBlocks({first, i + 1 - first}, total);
    blocks.insert(blocks.end(), of_worker.begin(), of_worker.end());
    first = i + 1;
  }
  for (size_t i = blocks.size(); i > 1; --i) std::swap(blocks[i - 1], blocks[random->Below(i)]);
  Summer summer(total);
  for (size_t i = 0; i < blocks.size(); ++i) {
    ASSERT_FALSE(summer.complete());
    summer.Add(blocks[i], WorkerSum(parts, blocks[i]));
    ASSERT_EQ(summer.values(), summer.held());
  }
  ASSERT_TRUE(summer.complete());
  ASSERT_EQ(summer.values(), 1u);
  ASSERT_EQ(summer.sum(), ReferenceSum(parts)) << total << " parts, cuts " << cuts;
}

TEST(PartTreeTest, EverySplitOverWorkersGivesTheSameBits) {
  TestRandom random(1);
  for (uint32_t total = 1; total <= 11; ++total) {
    for (uint64_t cuts = 0; cuts < (1u << (total - 1)); ++cuts) {
      ExpectSameBits(random.Floats(total, -1, 1), cuts, &random);
    }
  }
}

TEST(PartTreeTest, RandomSplitsOfManyPartsInRandomOrdersGiveTheSameBits) {
  TestRandom random(2);
  for (int round = 0; round < 2000; ++round) {
    const uint32_t total = 1 + static_cast<uint32_t>(random.Below(64));
    const uint64_t cuts = random.Next() & random.Next();
    ExpectSameBits(random.Floats(total, -1000, 1001), cuts, &random);
  }
}

TEST(PartTreeTest, OrderOfAdditionsMattersSoThatTheseTestsMeanSomething) {
  TestRandom random(3);
  const std::vector<float> parts = random.Floats(13, -1, 1);
  float forward = 0;
  for (float part : parts) forward += part;
  EXPECT_NE(forward, ReferenceSum(parts));
}

TEST(PartTreeTest, OverlapsAreTold) {
  PartTree tree(8);
  std::vector<PartMerge> merges;
  tree.Add({2, 2}, &merges);
  EXPECT_THAT(merges, IsEmpty());
  EXPECT_EQ(tree.Look({2, 2}), Verdict::kHeld);
  EXPECT_EQ(tree.Look({3, 1}), Verdict::kHeld);
  EXPECT_EQ(tree.Look({0, 4}), Verdict::kPartly);
  EXPECT_EQ(tree.Look({0, 8}), Verdict::kPartly);
  EXPECT_EQ(tree.Look({0, 2}), Verdict::kNew);
  EXPECT_EQ(tree.Look({4, 4}), Verdict::kNew);
  EXPECT_EQ(tree.Look({1, 2}), Verdict::kInvalid);
  EXPECT_EQ(tree.Look({8, 1}), Verdict::kInvalid);
  tree.Add({0, 2}, &merges);
  ASSERT_EQ(merges.size(), 1u);
  EXPECT_EQ(merges[0].parent, (PartBlock{0, 4}));
  EXPECT_EQ(tree.Look({0, 1}), Verdict::kHeld);
}

TEST(PartTreeTest, OneArrivalMayCauseSeveralMergesFromTheLeavesUp) {
  PartTree tree(6);
  std::vector<PartMerge> merges;
  tree.Add({4, 2}, &merges);
  tree.Add({0, 2}, &merges);
  tree.Add({2, 1}, &merges);
  EXPECT_THAT(merges, IsEmpty());
  tree.Add({3, 1}, &merges);
  ASSERT_EQ(merges.size(), 3u);
  EXPECT_EQ(merges[0].parent, (PartBlock{2, 2}));
  EXPECT_EQ(merges[1].parent, (PartBlock{0, 4}));
  EXPECT_EQ(merges[2].parent, (PartBlock{0, 6}));
  EXPECT_TRUE(tree.complete());
}

TEST(PartTreeTest, MissingNamesTheRangesWaitedFor) {
  PartTree tree(8);
  EXPECT_THAT(tree.Missing(), ElementsAre(PartBlock{0, 8}));
  std::vector<PartMerge> merges;
  tree.Add({2, 2}, &merges);
  tree.Add({5, 1}, &merges);
  EXPECT_EQ(tree.held_parts(), 3u);
  EXPECT_THAT(tree.Missing(), ElementsAre(PartBlock{0, 2}, PartBlock{4, 1}, PartBlock{6, 2}));
  tree.Clear();
  EXPECT_EQ(tree.Look({5, 1}), Verdict::kNew);
  EXPECT_EQ(tree.held_parts(), 0u);
}

TEST(PartTreeTest, OnePartIsCompleteByItself) {
  PartTree tree(1);
  EXPECT_FALSE(tree.complete());
  std::vector<PartMerge> merges;
  tree.Add({0, 1}, &merges);
  EXPECT_THAT(merges, IsEmpty());
  EXPECT_TRUE(tree.complete());
  EXPECT_THAT(tree.Missing(), IsEmpty());
}

}  // namespace
}  // namespace weir
