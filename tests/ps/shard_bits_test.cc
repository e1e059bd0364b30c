// SPDX-License-Identifier: Apache-2.0
// Same bits: whatever the shards, the slices, the order of arrival and of jobs; and no
// payload-sized allocation after warm-up.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <random>

#include "core/initializer.h"
#include "core/part_tree.h"
#include "tests/ps/shard_harness.h"

namespace weir {
namespace {

constexpr uint64_t kSeed = 42;
constexpr uint64_t kSteps = 4;

std::vector<TensorShape> Model() {
  return {{"hidden/w", {37, 29}, {InitializerSpec::Kind::kXavierUniform, 0, 0}},
          {"hidden/b", {29}, {}},
          {"scale", {}, {InitializerSpec::Kind::kConstant, 0.5, 0}}};
}

ShardOptions BspOptions(OptimizerType type, uint32_t gradient_shards) {
  ShardOptions options;
  options.gradient_shards = gradient_shards;
  options.optimizer.type = type;
  options.optimizer.weight_decay = 0.01;
  options.optimizer.clip_value = 1.5;
  options.schedule.base_rate = 0.05;
  options.schedule.warmup_steps = 2;
  options.seed = kSeed;
  return options;
}

// The gradient that `part` of `step` has for `tensor`, whole; a pure function.
std::vector<float> Gradient(const TensorShape& tensor, uint64_t step, uint32_t part) {
  std::mt19937 random(static_cast<unsigned>(step * 1000 + part * 10 + tensor.name.size()));
  std::normal_distribution<float> normal(0, 3);
  std::vector<float> values(static_cast<size_t>(tensor.count()));
  for (float& value : values) value = normal(random);
  return values;
}

uint64_t Examples(uint32_t part) { return 3 + part % 3; }

std::vector<float> Plus(const std::vector<float>& a, const std::vector<float>& b) {
  std::vector<float> sum(a.size());
  for (size_t i = 0; i < a.size(); ++i) sum[i] = a[i] + b[i];
  return sum;
}

// The sum of a block of the tree, as its definition says.
std::vector<float> BlockSum(const TensorShape& tensor, uint64_t step, PartBlock block,
                            uint32_t parts) {
  if (block.parts == 1) return Gradient(tensor, step, block.first);
  uint32_t half = 1;
  while (half * 2 < block.parts) half *= 2;
  return Plus(BlockSum(tensor, step, {block.first, half}, parts),
              BlockSum(tensor, step, {block.first + half, block.parts - half}, parts));
}

// Plain training with the optimizer's kernel, whole tensors at once.
std::vector<std::vector<float>> PlainLoop(const ShardOptions& options) {
  std::vector<std::vector<float>> result;
  uint64_t examples = 0;
  for (uint32_t part = 0; part < options.gradient_shards; ++part) examples += Examples(part);
  for (const TensorShape& tensor : Model()) {
    const size_t count = static_cast<size_t>(tensor.count());
    std::vector<float> weights(count);
    std::vector<float> state[2] = {std::vector<float>(count), std::vector<float>(count)};
    Initialize(tensor, kSeed, 0, count, weights.data());
    for (uint64_t step = 0; step < kSteps; ++step) {
      const std::vector<float> sum =
          BlockSum(tensor, step, {0, options.gradient_shards}, options.gradient_shards);
      ApplyCall call;
      call.gradient = sum.data();
      call.scale = 1.0f / static_cast<float>(examples);
      call.learning_rate = LearningRate(options.schedule, step);
      call.update = step + 1;
      call.weights = weights.data();
      call.weights_out = weights.data();
      for (int i = 0; i < 2; ++i) {
        call.state[i] = state[i].data();
        call.state_out[i] = state[i].data();
      }
      call.count = count;
      EXPECT_FALSE(Apply(options.optimizer, call).nonfinite_result);
    }
    result.push_back(std::move(weights));
  }
  return result;
}

// The same by shards: blocks of parts pushed in an order drawn from `seed`, jobs run in another.
class Cluster {
 public:
  Cluster(const ShardOptions& options, uint64_t slice_bytes, uint32_t shards, uint64_t seed)
      : parts_(options.gradient_shards), random_(seed) {
    for (uint32_t shard = 0; shard < shards; ++shard) {
      ShardHarness::Options each;
      each.shard = options;
      each.shard.shard = shard;
      each.tensors = Model();
      each.slice_bytes = slice_bytes;
      each.shards = shards;
      shards_.push_back(std::make_unique<ShardHarness>(each));
      shards_.back()->random.seed(seed + shard);
      shards_.back()->jobs_run_at_once = seed % 2 == 0;
      sessions_.push_back(shards_.back()->Connect(0));
    }
  }

  void Train() {
    for (uint64_t step = 0; step < kSteps; ++step) {
      for (size_t shard = 0; shard < shards_.size(); ++shard) TrainStep(shard, step);
    }
  }

  std::vector<std::vector<float>> Weights() {
    std::vector<std::vector<float>> all;
    for (const TensorShape& tensor : Model()) all.emplace_back(static_cast<size_t>(tensor.count()));
    for (const auto& harness : shards_) {
      for (uint32_t slice = 0; slice < harness->shard.slice_count(); ++slice) {
        const SliceSnapshot snapshot = harness->shard.snapshot(slice);
        EXPECT_EQ(snapshot.version, kSteps);
        const std::vector<float> values = harness->Weights(slice);
        std::copy(
            values.begin(), values.end(),
            all[snapshot.spec.tensor_id - 1].begin() + static_cast<long>(snapshot.spec.offset));
      }
    }
    return all;
  }

 private:
  // Pushes every part of a step to one shard, in random blocks and a random order.
  void TrainStep(size_t shard, uint64_t step) {
    ShardHarness& harness = *shards_[shard];
    const std::vector<TensorShape> model = Model();
    std::vector<PushFrame> pushes;
    for (uint32_t slice = 0; slice < harness.shard.slice_count(); ++slice) {
      const SliceSpec spec = harness.shard.snapshot(slice).spec;
      for (const PartBlock& block : RandomBlocks()) {
        const std::vector<float> sum = BlockSum(model[spec.tensor_id - 1], step, block, parts_);
        const auto begin = sum.begin() + static_cast<long>(spec.offset);
        PushFrame push =
            harness.PushOf(0, ++sequence_, slice,
                           std::vector<float>(begin, begin + static_cast<long>(spec.count)));
        push.lowest_pending = sequence_ > 2000 ? sequence_ - 2000 : 0;
        push.first_part = block.first;
        push.parts = block.parts;
        push.examples = 0;
        for (uint32_t part = block.first; part < block.first + block.parts; ++part)
          push.examples += Examples(part);
        pushes.push_back(std::move(push));
      }
    }
    std::shuffle(pushes.begin(), pushes.end(), random_);
    for (PushFrame& push : pushes) {
      harness.Send(sessions_[shard], std::move(push));
      if (random_() % 2 == 0) harness.RunOneJob();
    }
    harness.RunJobs();
  }

  std::vector<PartBlock> RandomBlocks() {
    std::vector<PartBlock> blocks;
    for (uint32_t first = 0; first < parts_;) {
      const uint32_t parts = 1 + static_cast<uint32_t>(random_() % (parts_ - first));
      for (const PartBlock& block : MaximalBlocks({first, parts}, parts_)) blocks.push_back(block);
      first += parts;
    }
    return blocks;
  }

  const uint32_t parts_;
  std::mt19937_64 random_;
  std::vector<std::unique_ptr<ShardHarness>> shards_;
  std::vector<uint64_t> sessions_;
  uint64_t sequence_ = 0;
};

bool SameBits(const std::vector<std::vector<float>>& a, const std::vector<std::vector<float>>& b) {
  if (a.size() != b.size()) return false;
  for (size_t i = 0; i < a.size(); ++i) {
    if (a[i].size() != b[i].size() ||
        std::memcmp(a[i].data(), b[i].data(), a[i].size() * sizeof(float)) != 0)
      return false;
  }
  return true;
}

TEST(ShardBitsTest, AnyShardsSlicesAndOrderGiveTheBitsOfThePlainLoop) {
  for (const OptimizerType type : {OptimizerType::kSgd, OptimizerType::kAdamW}) {
    for (const uint32_t parts : {1, 2, 5, 8}) {
      const ShardOptions options = BspOptions(type, parts);
      const std::vector<std::vector<float>> expected = PlainLoop(options);
      uint64_t seed = 1;
      for (const uint64_t slice_bytes : {64, 260, 1 << 20}) {
        for (const uint32_t shards : {1, 2, 3, 5}) {
          Cluster cluster(options, slice_bytes, shards, ++seed);
          cluster.Train();
          EXPECT_TRUE(SameBits(cluster.Weights(), expected))
              << OptimizerName(type) << ", G = " << parts << ", slices of " << slice_bytes
              << ", shards " << shards;
        }
      }
    }
  }
}

TEST(ShardBitsTest, TheOrderOfArrivalDoesNotShow) {
  const ShardOptions options = BspOptions(OptimizerType::kMomentum, 7);
  const std::vector<std::vector<float>> expected = PlainLoop(options);
  for (uint64_t seed = 100; seed < 120; ++seed) {
    Cluster cluster(options, 1 << 20, 1, seed);
    cluster.Train();
    EXPECT_TRUE(SameBits(cluster.Weights(), expected)) << "seed " << seed;
  }
}

TEST(ShardMemoryTest, AfterWarmUpNoBlockIsAskedOfTheAllocator) {
  for (const ConsistencyMode mode : {ConsistencyMode::kBsp, ConsistencyMode::kAsp}) {
    ShardHarness::Options options;
    options.shard = BspOptions(OptimizerType::kAdam, 4);
    options.shard.mode = mode;
    options.tensors = Model();
    options.slice_bytes = 1024;
    ShardHarness harness(options);
    const uint64_t session = harness.Connect(0);
    uint64_t sequence = 0;
    uint64_t warm = 0;
    for (int step = 0; step < 30; ++step) {
      if (step == 4) warm = harness.pool.statistics().allocated;
      for (uint32_t slice = 0; slice < harness.shard.slice_count(); ++slice) {
        for (const uint32_t part : {2, 0, 3, 1}) {
          PushFrame push = harness.PushOf(0, ++sequence, slice, 1.0f);
          push.first_part = part;
          push.is_push_pull = true;
          push.lowest_pending = sequence;
          const uint64_t request = harness.Send(session, std::move(push));
          harness.Answers(session, request);
          harness.Answers(session, harness.Send(session, harness.PullOf(slice)));
        }
      }
      harness.ForgetAnswers();
    }
    EXPECT_EQ(harness.pool.statistics().allocated, warm) << "mode " << static_cast<int>(mode);
    EXPECT_GT(harness.pool.statistics().reused, 0u);
  }
}

TEST(ShardMemoryTest, ReceivedPayloadsAreNotHeldAcrossAWait) {
  ShardHarness::Options options;
  options.shard.gradient_shards = 2;
  ShardHarness harness(options);
  const uint64_t session = harness.Connect(0);
  PushFrame push = harness.PushOf(0, 1, 0, 1.0f);
  const std::weak_ptr<const void> owner = push.gradient.chunks()[0].owner;
  harness.Send(session, std::move(push));
  EXPECT_TRUE(owner.expired());
  EXPECT_EQ(harness.Version(0), 0u);  // it waits for the other part
}

}  // namespace
}  // namespace weir
