// SPDX-License-Identifier: Apache-2.0
// The training loop bounded by clocks: nobody runs away, every step of every worker counts once.
#include <gtest/gtest.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <thread>
#include <vector>

#include "tests/worker/train_harness.h"
#include "weir/train.h"

namespace weir {
namespace {

RunSetup Ssp(uint64_t max_staleness, uint32_t workers) {
  RunSetup setup;
  setup.cluster.mode = Mode::kSsp;
  setup.cluster.max_staleness = max_staleness;
  setup.cluster.shards = 2;
  setup.cluster.workers = workers;
  setup.cluster.gradient_shards = workers;
  setup.train.steps = 20;
  return setup;
}

uint64_t SlicesOf(const Worker& worker) {
  uint64_t slices = 0;
  for (uint32_t tensor = 0; tensor < 3; ++tensor) slices += worker.Slices(tensor).value().size();
  return slices;
}

TEST(TrainSspTest, ARunOfOneWorkerGivesTheBitsOfAPlainLoop) {
  RunSetup setup = Ssp(0, 1);
  setup.UseAdamW();
  LocalCluster cluster(setup.cluster);
  ExpectOk(TrainAll(&cluster, setup));
  EXPECT_TRUE(SameBits(cluster.Weights(), Plain(setup)));
}

TEST(TrainSspTest, EverySliceOfEveryStepOfEveryWorkerIsAppliedOnceAndNoneIsStale) {
  for (const uint64_t bound : {0, 1, 3}) {
    const RunSetup setup = Ssp(bound, 3);
    LocalCluster cluster(setup.cluster);
    ExpectOk(TrainAll(&cluster, setup));
    EXPECT_EQ(cluster.totals().applied, SlicesOf(*cluster.Join(0)) * 3 * setup.train.steps);
    EXPECT_EQ(cluster.totals().stale, 0u);
    EXPECT_EQ(cluster.totals().duplicate, 0u);
  }
}

TEST(TrainSspTest, NoWorkerBeginsAStepThatIsFurtherAheadThanTheBound) {
  constexpr uint64_t kBound = 2;
  constexpr uint32_t kWorkers = 3;
  const RunSetup setup = Ssp(kBound, kWorkers);
  LocalCluster cluster(setup.cluster);
  std::vector<std::atomic<uint64_t>> begun(kWorkers);  // steps
  std::atomic<uint64_t> furthest{0};
  ExpectOk(TrainAll(&cluster, setup, [&] {
    auto model = MakeModel();
    model->before = [&](const PartId& part) {
      begun[part.part] = part.step + 1;
      for (const std::atomic<uint64_t>& other : begun) {
        // Whoever has finished t steps has begun as many.
        EXPECT_GE(other + kBound, part.step) << "part " << part.part;
        furthest = std::max<uint64_t>(furthest, part.step);
      }
      return Status();
    };
    return model;
  }));
  EXPECT_EQ(furthest, setup.train.steps - 1);
}

TEST(TrainSspTest, AStepWithoutExamplesHoldsNobodyUp) {
  RunSetup setup = Ssp(0, 2);
  LocalCluster cluster(setup.cluster);
  const std::vector<Result<TrainReport>> reports = TrainAll(&cluster, setup, [] {
    auto model = MakeModel();
    model->examples = [](const PartId& part) { return part.part == 0 ? 0 : 2; };
    return model;
  });
  ExpectOk(reports);
  EXPECT_EQ(reports[0]->examples, 0u);
  EXPECT_EQ(reports[1]->examples, 2 * setup.train.steps);
}

TEST(TrainSspTest, HowFarAheadOfTheSlowestAWorkerIsIsReportedUnderANameOfItsOwn) {
  RunSetup setup = Ssp(3, 2);
  setup.train.steps = 3;
  LocalCluster cluster(setup.cluster);
  const std::unique_ptr<Worker> worker = cluster.Join(0);
  CountingModel model;
  ASSERT_TRUE(Train(*worker, model, setup.train).ok()) << "the other has not begun: three ahead";
  EXPECT_EQ(cluster.reported("clocks_ahead"), 2.0) << "of the last step";
  EXPECT_EQ(cluster.reported("staleness"), 0.0);
}

}  // namespace
}  // namespace weir
