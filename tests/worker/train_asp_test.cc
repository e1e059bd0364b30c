// SPDX-License-Identifier: Apache-2.0
// The training loop without lockstep: stale slices are computed again, each slice counts once.
#include <gtest/gtest.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "tests/worker/train_harness.h"
#include "weir/train.h"

namespace weir {
namespace {

// Two workers in asp, one step: what the other worker does to the bias, one slice, while rank 0
// computes.
RunSetup TwoAsynchronousWorkers() {
  RunSetup setup;
  setup.cluster.mode = Mode::kAsp;
  setup.cluster.workers = 2;
  setup.cluster.gradient_shards = 2;
  setup.train.steps = 1;
  return setup;
}

void CommitToBias(Worker* other) {
  std::vector<float> bias(17);
  PushOptions options;
  options.examples = 1;
  EXPECT_TRUE(other->Pull({{1, {bias.data(), ElementType::kFloat32, 17}}}).ok());
  Result<PushResult> pushed = other->Push({{1, {bias.data(), ElementType::kFloat32, 17}}}, options);
  EXPECT_TRUE(pushed.ok() && pushed->tally.applied == 1) << pushed.status().ToString();
}

uint64_t SlicesOf(const Worker& worker) {
  uint64_t slices = 0;
  for (uint32_t tensor = 0; tensor < 3; ++tensor) slices += worker.Slices(tensor).value().size();
  return slices;
}

TEST(TrainAspTest, AsynchronousRunOfOneWorkerGivesTheBitsOfAPlainLoop) {
  RunSetup setup;
  setup.UseAdamW();
  setup.cluster.mode = Mode::kAsp;
  setup.cluster.max_staleness = 0;
  setup.cluster.shards = 2;
  LocalCluster cluster(setup.cluster);
  ExpectOk(TrainAll(&cluster, setup));
  EXPECT_TRUE(SameBits(cluster.Weights(), Plain(setup)));
}

TEST(TrainAspTest, TheMeanStalenessOfTheAppliedSlicesIsReported) {
  const RunSetup setup = TwoAsynchronousWorkers();
  LocalCluster cluster(setup.cluster);
  const std::unique_ptr<Worker> other = cluster.Join(1);
  const std::unique_ptr<Worker> worker = cluster.Join(0);
  CountingModel model;
  ASSERT_TRUE(other->Declare(model.Tensors()).ok());
  model.before = [&](const PartId&) {
    for (int i = 0; i < 3; ++i) CommitToBias(other.get());
    return Status();
  };
  model.examples = [](const PartId&) { return 2; };
  ASSERT_TRUE(Train(*worker, model, setup.train).ok());
  EXPECT_EQ(cluster.reported("staleness"), 3.0 / static_cast<double>(SlicesOf(*worker)));
}

TEST(TrainAspTest, StaleSlicesAloneAreComputedAgainFromTheFreshWeights) {
  RunSetup setup = TwoAsynchronousWorkers();
  setup.cluster.max_staleness = 0;
  setup.cluster.shards = 2;
  LocalCluster cluster(setup.cluster);
  const std::unique_ptr<Worker> other = cluster.Join(1);
  const std::unique_ptr<Worker> worker = cluster.Join(0);
  CountingModel model;
  ASSERT_TRUE(other->Declare(model.Tensors()).ok());
  model.before = [&](const PartId&) {
    if (model.gradients() == 1) CommitToBias(other.get());  // while the first gradient is computed
    return Status();
  };
  model.examples = [](const PartId&) { return 2; };
  Result<TrainReport> report = Train(*worker, model, setup.train);
  ASSERT_TRUE(report.ok()) << report.status().ToString();
  EXPECT_EQ(report->pushes.stale, 1u);
  EXPECT_EQ(report->examples, 2u);
  EXPECT_EQ(report->examples_recomputed, 2u);
  EXPECT_EQ(model.gradients(), 2u);
  const ShardTotals totals = cluster.totals();
  EXPECT_EQ(totals.stale, 1u);
  EXPECT_EQ(totals.applied, report->pushes.applied + 1);
  EXPECT_EQ(report->pushes.applied, SlicesOf(*worker)) << "each slice counts once";
}

TEST(TrainAspTest, ContendedAsynchronousRunAppliesEverySliceOfEveryWorkerOnce) {
  RunSetup setup;
  setup.cluster.mode = Mode::kAsp;
  setup.cluster.max_staleness = 0;
  setup.cluster.shards = 2;
  setup.cluster.workers = 3;
  setup.cluster.gradient_shards = 3;
  setup.train.steps = 20;
  LocalCluster cluster(setup.cluster);
  const std::vector<Result<TrainReport>> reports = TrainAll(&cluster, setup);
  ExpectOk(reports);
  EXPECT_EQ(cluster.totals().applied, SlicesOf(*cluster.Join(0)) * 3 * 20);
}

}  // namespace
}  // namespace weir
