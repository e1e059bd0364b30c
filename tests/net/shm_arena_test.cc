// SPDX-License-Identifier: Apache-2.0
#include "net/shm_arena.h"

#include <gtest/gtest.h>

#include <cstring>
#include <memory>
#include <set>
#include <thread>
#include <vector>

#include "core/buffer.h"

namespace weir {
namespace {

ShmArena::Options Small() {
  ShmArena::Options options;
  options.segment_bytes = 65536;
  options.max_bytes = 4 * 65536;
  options.available_bytes = [] { return uint64_t{1} << 40; };
  return options;
}

TEST(ShmArenaTest, BlocksAreAlignedLieInSegmentsAndDoNotOverlap) {
  ShmArena arena(Small());
  std::vector<char*> blocks;
  for (int i = 0; i < 20; ++i) {
    char* block = arena.Take(5000);
    ASSERT_NE(block, nullptr);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(block) % 64, 0u);
    std::memset(block, i, 5000);
    blocks.push_back(block);
  }
  for (int i = 0; i < 20; ++i) {
    const auto place = arena.Find(blocks[i], 5000);
    ASSERT_TRUE(place);
    EXPECT_EQ(arena.segment(place->segment)->data() + place->offset, blocks[i]);
    for (int j = 0; j < 5000; ++j) ASSERT_EQ(blocks[i][j], i);
  }
  EXPECT_EQ(arena.segments(), 2u);
}

TEST(ShmArenaTest, OnlyWhatLiesInOneSegmentIsFound) {
  ShmArena arena(Small());
  char* block = arena.Take(65536);
  EXPECT_TRUE(arena.Find(block, 65536));
  EXPECT_TRUE(arena.Find(block + 65535, 1));
  EXPECT_FALSE(arena.Find(block, 65537));
  EXPECT_FALSE(arena.Find(block + 65535, 2));
  EXPECT_FALSE(arena.Find(block - 1, 1));
  EXPECT_FALSE(arena.Find(block, ~size_t{0}));
  char other = 0;
  EXPECT_FALSE(arena.Find(&other, 1));
}

TEST(ShmArenaTest, ABlockGivenBackServesTheNextRequestOfItsSize) {
  ShmArena arena(Small());
  char* block = arena.Take(8192);
  EXPECT_TRUE(arena.Return(block, 8192));
  EXPECT_NE(arena.Take(4096), block);
  EXPECT_EQ(arena.Take(8192), block);
  char other[8192];
  EXPECT_FALSE(arena.Return(other, sizeof(other)));
}

TEST(ShmArenaTest, ALargeBlockGetsASegmentOfItsOwn) {
  ShmArena arena(Small());
  ASSERT_NE(arena.Take(4096), nullptr);
  char* large = arena.Take(100000);
  ASSERT_NE(large, nullptr);
  EXPECT_EQ(arena.Find(large, 100000)->segment, 1u);
  EXPECT_EQ(arena.segment(1)->size(), 102400u);
}

TEST(ShmArenaTest, SmallBlocksAreLeftToTheHeap) {
  ShmArena arena(Small());
  EXPECT_EQ(arena.Take(4095), nullptr);
  EXPECT_TRUE(arena.status().ok());
  EXPECT_EQ(arena.segments(), 0u);
}

TEST(ShmArenaTest, AtItsLimitTheArenaGivesNoMoreAndSaysWhy) {
  ShmArena arena(Small());
  std::vector<char*> blocks;
  while (char* block = arena.Take(65536)) blocks.push_back(block);
  EXPECT_EQ(blocks.size(), 4u);
  EXPECT_TRUE(absl::IsResourceExhausted(arena.status())) << arena.status();
  EXPECT_TRUE(arena.Return(blocks[0], 65536));
  EXPECT_EQ(arena.Take(65536), blocks[0]);
}

TEST(ShmArenaTest, WithoutMemoryThePoolGoesOnWithTheHeapAndNobodyAsksAgain) {
  ShmArena::Options options = Small();
  int asked = 0;
  options.available_bytes = [&asked] {
    ++asked;
    return uint64_t{65536};  // of which half may be taken
  };
  const auto arena = std::make_shared<ShmArena>(options);
  BufferPool pool(BufferPool::kNoLimit, arena);
  for (int i = 0; i < 3; ++i) {
    const Buffer buffer = pool.Allocate(5000 << i);
    ASSERT_TRUE(buffer);
    EXPECT_FALSE(arena->Find(buffer.data(), 1));
  }
  EXPECT_TRUE(absl::IsResourceExhausted(arena->status())) << arena->status();
  EXPECT_EQ(asked, 1);
}

TEST(ShmArenaTest, ThreadsMayTakeFindAndReturnAtOnce) {
  ShmArena::Options options = Small();
  options.max_bytes = 64 * 65536;
  ShmArena arena(options);
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&arena, t] {
      for (int i = 0; i < 300; ++i) {
        const size_t bytes = 4096u * static_cast<size_t>(1 + (i + t) % 4);
        char* block = arena.Take(bytes);
        if (block == nullptr) continue;
        std::memset(block, t, bytes);
        ASSERT_TRUE(arena.Find(block, bytes));
        for (size_t j = 0; j < bytes; j += 64) ASSERT_EQ(block[j], t);
        ASSERT_TRUE(arena.Return(block, bytes));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

}  // namespace
}  // namespace weir
