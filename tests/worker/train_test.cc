// SPDX-License-Identifier: Apache-2.0
// The training loop in lockstep: the bits of a plain loop, what it reports, how it ends.
#include "weir/train.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "tests/worker/train_harness.h"

namespace weir {
namespace {

TEST(TrainTest, OneWorkerOnOneShardGivesTheBitsOfAPlainLoop) {
  for (const bool adamw : {false, true}) {
    RunSetup setup;
    if (adamw) setup.UseAdamW();
    LocalCluster cluster(setup.cluster);
    ExpectOk(TrainAll(&cluster, setup));
    EXPECT_TRUE(SameBits(cluster.Weights(), Plain(setup))) << (adamw ? "adamw" : "sgd");
  }
}

TEST(TrainTest, AnyShardsAndWorkersGiveTheBitsOfAPlainLoop) {
  for (const uint32_t parts : {4u, 5u, 7u}) {
    RunSetup setup;
    setup.UseAdamW();
    setup.cluster.gradient_shards = parts;
    const PlainLoop::Tensors plain = Plain(setup);
    for (setup.cluster.shards = 1; setup.cluster.shards <= 3; ++setup.cluster.shards) {
      for (setup.cluster.workers = 1; setup.cluster.workers <= 4; ++setup.cluster.workers) {
        LocalCluster cluster(setup.cluster);
        ExpectOk(TrainAll(&cluster, setup));
        EXPECT_TRUE(SameBits(cluster.Weights(), plain))
            << parts << " parts, " << setup.cluster.shards << " shards, " << setup.cluster.workers
            << " workers";
      }
    }
  }
}

// A push keeps its request until the step commits: all blocks of all slices must fit at once.
TEST(TrainTest, MoreTensorsThanOneFrameCanBindArePulledAndPushed) {
  std::vector<TensorSpec> tensors;
  std::vector<TensorPull> pulls;
  std::vector<TensorPush> pushes;
  std::vector<float> weights(60000);
  const std::vector<float> gradient(60000, 2);
  for (uint32_t i = 0; i < 60000; ++i) {
    tensors.push_back({"encoder.layers." + std::to_string(100000 + i) + ".weight",
                       {1},
                       {Initializer::Kind::kConstant, static_cast<double>(i % 1000), 0}});
    pulls.push_back({i, {&weights[i], ElementType::kFloat32, 1}});
    pushes.push_back({i, {&gradient[i], ElementType::kFloat32, 1}});
  }
  LocalCluster::Options options;
  options.shards = 2;
  options.optimizer.learning_rate = options.schedule.base_rate = 0.5;
  LocalCluster cluster(options);
  const std::unique_ptr<Worker> worker = cluster.Join(0);
  ASSERT_TRUE(worker->Declare(tensors, Deadline{0}).ok());
  Future<PullResult> pulled = worker->PullAsync(pulls, {});
  ASSERT_TRUE(pulled.Ready());
  ASSERT_TRUE(pulled.Get().ok());
  for (uint32_t i = 0; i < 60000; ++i) ASSERT_EQ(weights[i], static_cast<float>(i % 1000));
  PushOptions push;
  push.examples = 1;
  Future<PushResult> pushed = worker->PushAsync(pushes, push);
  ASSERT_TRUE(pushed.Ready());
  EXPECT_EQ(pushed.Get().value().tally.applied, 60000u);
  Future<PullResult> synced = worker->SyncAsync(pulls, {});
  ASSERT_TRUE(synced.Ready());
  ASSERT_TRUE(synced.Get().ok());
  for (uint32_t i = 0; i < 60000; ++i) ASSERT_EQ(weights[i], static_cast<float>(i % 1000) - 1);
}

TEST(TrainTest, MoreSlicesTimesBlocksThanTheDefaultRequestsDoNotStandStill) {
  const ModelOf make = [] {
    return std::make_unique<CountingModel>(
        std::vector<TensorSpec>{{"w", {4200 * 16}, {Initializer::Kind::kNormal, 0, 0.5}}});
  };
  RunSetup setup;
  setup.train.steps = 2;
  setup.cluster.slice_bytes = 64;
  setup.cluster.gradient_shards = 6;
  const PlainLoop::Tensors plain = Plain(setup, make);
  for (setup.cluster.workers = 1; setup.cluster.workers <= 2; ++setup.cluster.workers) {
    LocalCluster cluster(setup.cluster);
    ExpectOk(TrainAll(&cluster, setup, make));
    EXPECT_TRUE(SameBits(cluster.Weights(), plain)) << setup.cluster.workers << " workers";
  }
}

TEST(TrainTest, EmptyPartsAndEmptyStepsGiveTheBitsOfAPlainLoop) {
  const ModelOf make = [] {
    auto model = std::make_unique<CountingModel>();
    model->examples = [](const PartId& part) {
      return part.step == 3 ? 0 : (part.step * 5 + part.part * 3) % 4;
    };
    return model;
  };
  RunSetup setup;
  setup.cluster.gradient_shards = 5;
  const PlainLoop::Tensors plain = Plain(setup, make);
  for (setup.cluster.workers = 1; setup.cluster.workers <= 3; ++setup.cluster.workers) {
    LocalCluster cluster(setup.cluster);
    ExpectOk(TrainAll(&cluster, setup, make));
    EXPECT_TRUE(SameBits(cluster.Weights(), plain)) << setup.cluster.workers << " workers";
  }
}

TEST(TrainTest, WorkerWithoutPartsFollowsTheOthers) {
  RunSetup setup;
  setup.cluster.gradient_shards = 2;
  setup.cluster.workers = 3;
  LocalCluster cluster(setup.cluster);
  const std::vector<Result<TrainReport>> reports = TrainAll(&cluster, setup);
  ExpectOk(reports);
  RunSetup alone = setup;
  EXPECT_TRUE(SameBits(cluster.Weights(), Plain(alone)));
  for (const Result<TrainReport>& report : reports) {
    EXPECT_EQ(const_cast<Result<TrainReport>&>(report)->steps, kSteps);
  }
}

TEST(TrainTest, ReportAddsUp) {
  RunSetup setup;
  setup.cluster.gradient_shards = 3;
  LocalCluster cluster(setup.cluster);
  const std::unique_ptr<Worker> worker = cluster.Join(0);
  CountingModel model;
  model.examples = [](const PartId&) { return 2; };
  uint64_t last_step = 0;
  setup.train.progress = [&](const TrainProgress& progress) {
    EXPECT_EQ(progress.step, last_step + 1);
    EXPECT_EQ(progress.steps, kSteps);
    last_step = progress.step;
    return true;
  };
  Result<TrainReport> report = Train(*worker, model, setup.train);
  ASSERT_TRUE(report.ok()) << report.status().ToString();
  EXPECT_EQ(last_step, kSteps);
  EXPECT_EQ(report->steps, kSteps);
  EXPECT_EQ(report->examples, kSteps * 3 * 2);
  EXPECT_EQ(report->examples_recomputed, 0u);
  EXPECT_EQ(report->pushes.total(), report->pushes.applied);
  EXPECT_EQ(report->pushes.applied, cluster.totals().applied);
  EXPECT_GT(report->final_loss, 0);
  ASSERT_TRUE(report->evaluation.has_value());
  EXPECT_EQ(report->evaluation->correct, 7u);
}

TEST(TrainTest, ProgressCallbackEndsTheRunInOrder) {
  RunSetup setup;
  setup.train.progress = [](const TrainProgress& progress) { return progress.step < 2; };
  LocalCluster cluster(setup.cluster);
  const std::unique_ptr<Worker> worker = cluster.Join(0);
  CountingModel model;
  Result<TrainReport> report = Train(*worker, model, setup.train);
  ASSERT_TRUE(report.ok());
  EXPECT_EQ(report->steps, 2u);
}

TEST(TrainTest, GradientsAreSentFromWhereTheyLieAndAppliedFromTheFrame) {
  for (const Mode mode : {Mode::kBsp, Mode::kAsp}) {
    RunSetup setup;
    setup.cluster.mode = mode;
    setup.cluster.shards = 2;
    setup.cluster.gradient_shards = 3;
    LocalCluster cluster(setup.cluster);
    const std::unique_ptr<Worker> worker = cluster.Join(0);
    CountingModel model;
    ASSERT_TRUE(Train(*worker, model, setup.train).ok());
    EXPECT_GT(worker->Traffic().sent_bytes, 0u);
    EXPECT_EQ(worker->Traffic().sent_copied_bytes, 0u);
    EXPECT_GT(worker->Traffic().received_bytes, 0u);
    EXPECT_EQ(worker->Traffic().received_copied_bytes, 0u);
    EXPECT_EQ(cluster.totals().payload_bytes, worker->Traffic().sent_bytes);
    EXPECT_EQ(cluster.totals().payload_bytes_copied, 0u);
  }
}

TEST(TrainTest, GradientThatIsNotFiniteEndsTheRunAndNamesIt) {
  class BrokenModel : public CountingModel {
   public:
    Result<PartResult> Gradient(const PartId& part, const std::vector<TensorView>& weights,
                                const std::vector<MutableTensorView>& gradients) override {
      Result<PartResult> result = CountingModel::Gradient(part, weights, gradients);
      if (part.step == 2)
        static_cast<float*>(gradients[1].data)[3] = std::numeric_limits<float>::quiet_NaN();
      return result;
    }
  };
  for (const int variant : {0, 1, 2, 3}) {
    RunSetup setup;
    setup.cluster.mode = variant % 2 == 0 ? Mode::kBsp : Mode::kAsp;
    setup.train.clip_norm = variant / 2;
    LocalCluster cluster(setup.cluster);
    const std::unique_ptr<Worker> worker = cluster.Join(0);
    BrokenModel model;
    const Result<TrainReport> report = Train(*worker, model, setup.train);
    EXPECT_EQ(report.status().code(), StatusCode::kFailedPrecondition);
    for (const char* words : {"step 2", "non-finite", "try a lower learning rate"})
      EXPECT_NE(report.status().message().find(words), std::string::npos)
          << report.status().message();
    const PlainLoop::Tensors weights = cluster.Weights();
    for (const float w : weights[1]) EXPECT_TRUE(std::isfinite(w));
  }
}

TEST(TrainTest, ModelThatFailsEndsTheRunWithItsStatusThoughPushesAreUnderWay) {
  // kAborted, from the model, is no word of the job's that it has moved.
  for (const StatusCode code : {StatusCode::kDataLoss, StatusCode::kAborted}) {
    RunSetup setup;
    setup.cluster.workers = 2;  // the other one never comes, so the first block waits
    setup.cluster.gradient_shards = 6;
    LocalCluster cluster(setup.cluster);
    const std::unique_ptr<Worker> worker = cluster.Join(1);  // parts [3, 6): [3,4) and [4,6)
    CountingModel model;
    model.before = [code](const PartId& part) {
      return part.part == 5 ? Status(code, "row 17 is torn") : Status();
    };
    const Result<TrainReport> report = Train(*worker, model, setup.train);
    EXPECT_EQ(report.status().code(), code);
    EXPECT_EQ(report.status().message(), "row 17 is torn");
  }
}

}  // namespace
}  // namespace weir
