// SPDX-License-Identifier: Apache-2.0
// Counts what the training loop, the client and the shards ask of the allocator after warm-up.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdlib>
#include <new>

#include "tests/worker/counting_model.h"
#include "tests/worker/local_cluster.h"
#include "weir/train.h"

namespace {

// Half of a slice's payload.
constexpr size_t kLarge = 32 << 10;
std::atomic<bool> counting{false};
std::atomic<uint64_t> large_blocks{0};

void* Allocate(size_t size, size_t alignment) {
  if (counting && size >= kLarge) ++large_blocks;
  void* block = nullptr;
  if (posix_memalign(&block, std::max(alignment, alignof(std::max_align_t)), size) != 0)
    return nullptr;
  return block;
}

void* AllocateOrThrow(size_t size, size_t alignment) {
  void* block = Allocate(size, alignment);
  if (block == nullptr) throw std::bad_alloc();
  return block;
}

}  // namespace

// What BufferPool uses.
extern "C" void* aligned_alloc(size_t alignment, size_t size) { return Allocate(size, alignment); }
void* operator new(size_t size) { return AllocateOrThrow(size, 0); }
void* operator new[](size_t size) { return AllocateOrThrow(size, 0); }
void* operator new(size_t size, std::align_val_t alignment) {
  return AllocateOrThrow(size, static_cast<size_t>(alignment));
}
void* operator new[](size_t size, std::align_val_t alignment) {
  return AllocateOrThrow(size, static_cast<size_t>(alignment));
}
// Whoever asks with nothrow is counted too; and a block is freed by what belongs to its allocator.
void* operator new(size_t size, const std::nothrow_t&) noexcept { return Allocate(size, 0); }
void* operator new[](size_t size, const std::nothrow_t&) noexcept { return Allocate(size, 0); }
void operator delete(void* block) noexcept { std::free(block); }
void operator delete[](void* block) noexcept { std::free(block); }
void operator delete(void* block, size_t) noexcept { std::free(block); }
void operator delete[](void* block, size_t) noexcept { std::free(block); }
void operator delete(void* block, std::align_val_t) noexcept { std::free(block); }
void operator delete[](void* block, std::align_val_t) noexcept { std::free(block); }
void operator delete(void* block, size_t, std::align_val_t) noexcept { std::free(block); }
void operator delete[](void* block, size_t, std::align_val_t) noexcept { std::free(block); }

namespace weir {
namespace {

class TrainAllocationTest : public ::testing::TestWithParam<Mode> {};

TEST_P(TrainAllocationTest, SteadyStateAsksForNoBlockOfASlicesSize) {
  LocalCluster::Options options;
  options.mode = GetParam();
  options.shards = 2;
  options.gradient_shards = 3;
  options.slice_bytes = 64 << 10;
  options.optimizer.type = OptimizerType::kAdam;
  LocalCluster cluster(options);
  CountingModel model({{"a", {512, 256}, {}}, {"b", {100000}, {}}});
  TrainOptions train;
  train.steps = 12;
  train.clip_norm = 1;
  uint64_t blocks = 0;
  train.progress = [&](const TrainProgress& progress) {
    if (progress.step == 3) {
      blocks = cluster.allocated_blocks();
      counting = true;
    }
    return true;
  };
  train.evaluate_at_end = false;
  large_blocks = 0;
  const std::unique_ptr<Worker> worker = cluster.Join(0);
  const Result<TrainReport> report = Train(*worker, model, train);
  counting = false;
  ASSERT_TRUE(report.ok()) << report.status().ToString();
  EXPECT_EQ(large_blocks, 0u);
  EXPECT_EQ(cluster.allocated_blocks(), blocks);
}

INSTANTIATE_TEST_SUITE_P(Modes, TrainAllocationTest, ::testing::Values(Mode::kBsp, Mode::kAsp),
                         [](const auto& info) { return info.param == Mode::kBsp ? "Bsp" : "Asp"; });

TEST(AllocationCounterTest, CounterSeesALargeBlock) {
  counting = true;
  large_blocks = 0;
  std::vector<char> block(kLarge);
  counting = false;
  EXPECT_EQ(large_blocks, 1u) << block.size();
  counting = true;
  BufferPool().Allocate(kLarge);
  counting = false;
  EXPECT_EQ(large_blocks, 2u);
}

}  // namespace
}  // namespace weir
