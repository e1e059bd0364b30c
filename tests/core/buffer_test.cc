// SPDX-License-Identifier: Apache-2.0
#include "core/buffer.h"

#include <gtest/gtest.h>

#include <cstring>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

namespace weir {
namespace {

TEST(BufferTest, BlocksAreAlignedAndHoldWhatWasAskedFor) {
  BufferPool pool;
  for (const size_t bytes :
       {0, 1, 255, 256, 257, 384, 385, 512, 513, 4096, 1 << 20, (1 << 20) + 1}) {
    Buffer buffer = pool.Allocate(bytes);
    ASSERT_TRUE(buffer);
    EXPECT_EQ(buffer.size(), bytes);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(buffer.data()) % 64, 0u);
    std::memset(buffer.data(), 1, bytes);
    EXPECT_GE(pool.statistics().bytes_in_use, bytes);
    EXPECT_LE(pool.statistics().bytes_in_use, bytes < 256 ? 256 : bytes + bytes / 2);
  }
  EXPECT_EQ(pool.statistics().bytes_in_use, 0u);
}

TEST(BufferTest, AFreedBlockServesTheNextRequestOfItsClass) {
  BufferPool pool;
  char* first = pool.Allocate(1000).data();
  EXPECT_EQ(pool.statistics().bytes_idle, 1024u);
  Buffer again = pool.Allocate(900);
  EXPECT_EQ(again.data(), first);
  Buffer other = pool.Allocate(2000);
  EXPECT_NE(other.data(), first);
  EXPECT_EQ(pool.statistics().allocated, 2u);
  EXPECT_EQ(pool.statistics().reused, 1u);
}

TEST(BufferTest, TheBlockGoesBackWhenTheLastReferenceIsDropped) {
  BufferPool pool;
  Buffer a = pool.Allocate(300);
  EXPECT_TRUE(a.unique());
  Buffer b = a;
  std::shared_ptr<const void> owner = b.owner();
  EXPECT_FALSE(a.unique());
  EXPECT_EQ(a.data(), b.data());
  a = Buffer();
  b = Buffer();
  EXPECT_EQ(pool.statistics().bytes_idle, 0u);
  owner.reset();
  EXPECT_EQ(pool.statistics().bytes_idle, 384u);
}

TEST(BufferTest, IdleBlocksBeyondTheLimitAreFreed) {
  BufferPool pool(1024);
  {
    std::vector<Buffer> buffers;
    for (int i = 0; i < 8; ++i) buffers.push_back(pool.Allocate(512));
  }
  EXPECT_EQ(pool.statistics().bytes_idle, 1024u);
  EXPECT_EQ(pool.statistics().bytes_in_use, 0u);
}

TEST(BufferTest, ABlockMayOutliveItsPool) {
  auto pool = std::make_unique<BufferPool>();
  Buffer buffer = pool->Allocate(100);
  pool.reset();
  std::memset(buffer.data(), 1, 100);
  EXPECT_EQ(buffer.data()[99], 1);
}

// Gives one block after another of a piece of memory; counts those that came back.
class PieceArena final : public Arena {
 public:
  char* Take(size_t bytes) override {
    if (used_ + bytes > sizeof(piece_)) return nullptr;
    return piece_ + std::exchange(used_, used_ + bytes);
  }
  bool Return(char* block, size_t bytes) override {
    if (!Owns(block)) return false;
    returned += bytes;
    return true;
  }
  bool Owns(const char* block) const { return block >= piece_ && block < piece_ + sizeof(piece_); }

  size_t returned = 0;

 private:
  alignas(64) char piece_[4096];
  size_t used_ = 0;
};

TEST(BufferTest, BlocksComeFromTheArenaUntilItGivesNoMoreAndThenFromTheHeap) {
  const auto arena = std::make_shared<PieceArena>();
  BufferPool pool(BufferPool::kNoLimit, arena);
  const Buffer first = pool.Allocate(2000);
  const Buffer second = pool.Allocate(2048);
  const Buffer third = pool.Allocate(100);
  EXPECT_TRUE(arena->Owns(first.data()));
  EXPECT_TRUE(arena->Owns(second.data()));
  ASSERT_TRUE(third);
  EXPECT_FALSE(arena->Owns(third.data()));
}

TEST(BufferTest, BlocksGoBackWhereTheyCameFrom) {
  const auto arena = std::make_shared<PieceArena>();
  {
    BufferPool keeping(BufferPool::kNoLimit, arena);
    keeping.Allocate(2048);
    EXPECT_EQ(arena->returned, 0u);  // idle
    EXPECT_TRUE(arena->Owns(keeping.Allocate(2048).data()));
  }
  EXPECT_EQ(arena->returned, 2048u);
  BufferPool freeing(0, arena);
  freeing.Allocate(1024);
  EXPECT_EQ(arena->returned, 3072u);
  freeing.Allocate(4096);  // from the heap, and back
  EXPECT_EQ(arena->returned, 3072u);
}

TEST(BufferTest, AnEmptyReferenceHasNoData) {
  const Buffer none;
  EXPECT_FALSE(none);
  EXPECT_EQ(none.data(), nullptr);
  EXPECT_EQ(none.size(), 0u);
}

TEST(BufferTest, ThreadsMayAllocateAndDropAtOnce) {
  BufferPool pool;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&pool, t] {
      for (int i = 0; i < 500; ++i) {
        Buffer buffer = pool.Allocate(static_cast<size_t>(100 + (i * 37 + t) % 3000));
        std::memset(buffer.data(), t, buffer.size());
        for (size_t j = 0; j < buffer.size(); ++j) ASSERT_EQ(buffer.data()[j], t);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(pool.statistics().bytes_in_use, 0u);
  EXPECT_EQ(pool.statistics().allocated + pool.statistics().reused, 2000u);
}

}  // namespace
}  // namespace weir
