// SPDX-License-Identifier: Apache-2.0
// The training loop over real clients and shards in one process, against a plain loop.
#include "weir/train.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <memory>
#include <thread>
#include <vector>

#include "tests/worker/counting_model.h"
#include "tests/worker/local_cluster.h"
#include "tests/worker/plain_loop.h"

namespace weir {
namespace {

constexpr uint64_t kSteps = 7;

struct RunSetup {
  LocalCluster::Options cluster;
  TrainOptions train;

  RunSetup() {
    cluster.seed = 42;
    cluster.slice_bytes = 256;
    train.steps = kSteps;
    cluster.optimizer.learning_rate = 0.25;
    cluster.schedule.base_rate = 0.25;
  }
  void UseAdamW() {
    cluster.optimizer.type = OptimizerType::kAdamW;
    cluster.optimizer.weight_decay = 0.01;
    cluster.schedule.warmup_steps = 3;
    cluster.schedule.base_rate = cluster.optimizer.learning_rate = 0.03125;
    train.clip_norm = 5;
  }
};

using ModelOf = std::function<std::unique_ptr<CountingModel>()>;

std::unique_ptr<CountingModel> MakeModel() { return std::make_unique<CountingModel>(); }

// Every rank in a thread of its own.
std::vector<Result<TrainReport>> TrainAll(LocalCluster* cluster, const RunSetup& setup,
                                          const ModelOf& make = MakeModel) {
  std::vector<Result<TrainReport>> reports(setup.cluster.workers,
                                           Status(StatusCode::kInternal, "did not run"));
  std::vector<std::thread> threads;
  for (uint32_t rank = 0; rank < setup.cluster.workers; ++rank) {
    threads.emplace_back([&, rank] {
      const std::unique_ptr<Worker> worker = cluster->Join(rank);
      const std::unique_ptr<CountingModel> model = make();
      reports[rank] = Train(*worker, *model, setup.train);
    });
  }
  for (std::thread& thread : threads) thread.join();
  return reports;
}

PlainLoop::Tensors Plain(const RunSetup& setup, const ModelOf& make = MakeModel) {
  PlainLoop::Options options;
  options.gradient_shards = setup.cluster.gradient_shards;
  options.seed = setup.cluster.seed;
  options.optimizer = setup.cluster.optimizer;
  options.schedule = setup.cluster.schedule;
  options.clip_norm = setup.train.clip_norm;
  const std::unique_ptr<CountingModel> model = make();
  PlainLoop loop(*model, options);
  loop.Run(setup.train.steps);
  return loop.weights();
}

bool SameBits(const PlainLoop::Tensors& a, const PlainLoop::Tensors& b) {
  if (a.size() != b.size()) return false;
  for (size_t i = 0; i < a.size(); ++i) {
    if (a[i].size() != b[i].size() ||
        std::memcmp(a[i].data(), b[i].data(), a[i].size() * sizeof(float)) != 0)
      return false;
  }
  return true;
}

void ExpectOk(const std::vector<Result<TrainReport>>& reports) {
  for (const Result<TrainReport>& report : reports)
    ASSERT_TRUE(report.ok()) << report.status().ToString();
}

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

TEST(TrainTest, ConnectionsLostBetweenStepsChangeNoBit) {
  RunSetup setup;
  setup.cluster.shards = 2;
  LocalCluster cluster(setup.cluster);
  setup.train.progress = [&](const TrainProgress&) {
    cluster.CutConnections();
    return true;
  };
  const std::unique_ptr<Worker> worker = cluster.Join(0);
  CountingModel model;
  ASSERT_TRUE(Train(*worker, model, setup.train).ok());
  EXPECT_TRUE(SameBits(cluster.Weights(), Plain(setup)));
}

TEST(TrainTest, ConnectionsLostWhileABlockIsHeldChangeNoBit) {
  RunSetup setup;
  setup.cluster.shards = 2;
  setup.cluster.workers = 2;
  setup.cluster.gradient_shards = 6;
  LocalCluster cluster(setup.cluster);
  const ModelOf make = [&cluster] {
    auto model = std::make_unique<CountingModel>();
    model->before =
        [&cluster](const PartId& part) {  // rank 1 has pushed [3,4) and goes on to [4,6)
          if (part.part == 5) cluster.CutConnections();
          return Status();
        };
    return model;
  };
  ExpectOk(TrainAll(&cluster, setup, make));
  EXPECT_TRUE(SameBits(cluster.Weights(), Plain(setup)));
}

// With feedback too: a push that is sent again is the same bytes, and what it lost is kept once.
TEST(TrainTest, InEveryCodecShardsAndLostConnectionsChangeNoBit) {
  std::vector<PlainLoop::Tensors> ends;
  for (const TensorCodec& codec : {TensorCodec{Codec::kF16, Codec::kF16, false},
                                   TensorCodec{Codec::kBf16, Codec::kBf16, false},
                                   TensorCodec{Codec::kInt8, Codec::kInt8, false},
                                   TensorCodec{Codec::kInt8, Codec::kInt8, true}}) {
    RunSetup setup;
    setup.UseAdamW();
    setup.cluster.workers = 2;
    setup.cluster.gradient_shards = 6;
    setup.cluster.codec = codec;
    LocalCluster quiet(setup.cluster);
    ExpectOk(TrainAll(&quiet, setup));
    ends.push_back(quiet.Weights());
    EXPECT_FALSE(SameBits(ends.back(), Plain(setup))) << "the codec changes nothing";
    for (setup.cluster.shards = 1; setup.cluster.shards <= 3; ++setup.cluster.shards) {
      LocalCluster cluster(setup.cluster);
      const ModelOf make = [&cluster] {
        auto model = std::make_unique<CountingModel>();
        model->before = [&cluster](const PartId& part) {
          if (part.part == 5) cluster.CutConnections();
          return Status();
        };
        return model;
      };
      ExpectOk(TrainAll(&cluster, setup, make));
      EXPECT_TRUE(SameBits(cluster.Weights(), ends.back()))
          << CodecName(codec.push) << (codec.error_feedback ? " with feedback on " : " on ")
          << setup.cluster.shards;
    }
  }
  EXPECT_FALSE(SameBits(ends[2], ends[3])) << "feedback changes nothing";
}

// Whoever had the place before has pushed its part to some slices, which have committed the step,
// and is gone: the step waits for its successor, which must not wait for the step.
TEST(TrainTest, StepThatIsCommittedInSomeSlicesOnlyIsFinishedByTheSuccessor) {
  RunSetup setup;
  setup.cluster.shards = 2;
  LocalCluster cluster(setup.cluster);
  const std::unique_ptr<Worker> worker = cluster.Join(0);
  CountingModel model;
  const std::vector<TensorSpec> tensors = model.Tensors();
  ASSERT_TRUE(worker->Declare(tensors).ok());
  std::vector<TensorPull> pulls;
  std::vector<std::vector<float>> weights, gradients;
  std::vector<TensorView> weight_views;
  std::vector<MutableTensorView> gradient_views;
  for (const TensorSpec& spec : tensors) {
    const int64_t count = ElementCount(spec.shape);
    weights.emplace_back(count);
    gradients.emplace_back(count);
    pulls.push_back({static_cast<uint32_t>(pulls.size()),
                     {weights.back().data(), ElementType::kFloat32, count}});
    weight_views.push_back({weights.back().data(), ElementType::kFloat32, count});
    gradient_views.push_back({gradients.back().data(), ElementType::kFloat32, count});
  }
  ASSERT_TRUE(worker->Sync(pulls).ok());
  PushOptions options;
  options.examples = model.Gradient({0, 0, 1}, weight_views, gradient_views)->examples;
  const TensorView gradient{gradients[1].data(), ElementType::kFloat32,
                            static_cast<int64_t>(gradients[1].size())};
  Result<PushResult> pushed = worker->Push({{1, gradient}}, options);
  ASSERT_TRUE(pushed.ok() && pushed->ended(PushOutcome::kApplied));

  Result<TrainReport> report = Train(*worker, model, setup.train);
  ASSERT_TRUE(report.ok()) << report.status().ToString();
  EXPECT_GT(report->pushes.duplicate, 0u);
  EXPECT_TRUE(SameBits(cluster.Weights(), Plain(setup)));
}

// Hands calls on, but says kDeadlineExceeded, or what it is told, to every other push though it was
// made. Keeps all memory given out, so that no address comes twice.
class LosingWorker : public Worker {
 public:
  explicit LosingWorker(std::unique_ptr<Worker> worker) : worker_(std::move(worker)) {}

  const JobInfo& job() const override { return worker_->job(); }
  Status Declare(const std::vector<TensorSpec>& tensors, Deadline deadline) override {
    return worker_->Declare(tensors, deadline);
  }
  Result<std::vector<SliceRange>> Slices(uint32_t tensor) const override {
    return worker_->Slices(tensor);
  }
  Result<TensorMemory> Allocate(size_t bytes) override {
    memory_.push_back(worker_->Allocate(bytes).value());
    return memory_.back();
  }
  PayloadTraffic Traffic() const override { return worker_->Traffic(); }
  Future<PullResult> PullAsync(std::vector<TensorPull> tensors,
                               const PullOptions& options) override {
    return worker_->PullAsync(std::move(tensors), options);
  }
  Future<PullResult> SyncAsync(std::vector<TensorPull> tensors,
                               const PullOptions& options) override {
    return worker_->SyncAsync(std::move(tensors), options);
  }
  Future<PushResult> PushAsync(std::vector<TensorPush> tensors,
                               const PushOptions& options) override {
    return worker_->PushAsync(std::move(tensors), options);
  }
  Future<PushResult> PushPullAsync(std::vector<TensorPush> tensors,
                                   const PushOptions& options) override {
    gradients.push_back(tensors[0].gradient.data);
    Future<PushResult> future = worker_->PushPullAsync(std::move(tensors), options);
    sequences.push_back(options.sequence);
    if (++pushes % 2 == 0) return future;
    future.Cancel();  // does nothing where the push has ended
    auto late = std::make_shared<FutureState<PushResult>>();
    (void)future.Get();
    late->Set(Status(code, "late"));
    return Future<PushResult>(late);
  }
  Result<PushResult> Skip(uint64_t step, uint32_t part, Deadline deadline) override {
    return worker_->Skip(step, part, deadline);
  }
  Result<uint64_t> NewSequence() override { return worker_->NewSequence(); }
  Status PutState(uint64_t, const std::string&, Deadline) override { return Status(); }
  Result<WorkerState> GetState(Deadline) override { return WorkerState(); }
  Status Report(const std::string&, double) override { return Status(); }
  void Progress(uint64_t, uint64_t) override {}
  Status Fail(const std::string&) override { return Status(); }
  Status Leave(Deadline) override { return Status(); }
  void Close() override {}

  int pushes = 0;
  std::vector<uint64_t> sequences;
  std::vector<const void*> gradients;  // of each push, where the first lies
  StatusCode code = StatusCode::kDeadlineExceeded;

 private:
  std::unique_ptr<Worker> worker_;
  std::vector<TensorMemory> memory_;
};

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

TEST(TrainTest, MemoryOfAPushOfUnknownEndIsNotWrittenAgain) {
  RunSetup setup;
  LocalCluster cluster(setup.cluster);
  LosingWorker worker(cluster.Join(0));
  worker.code = StatusCode::kAborted;
  CountingModel model;
  const Result<TrainReport> report = Train(worker, model, setup.train);
  ASSERT_TRUE(report.ok()) << report.status().ToString();
  ASSERT_GE(worker.gradients.size(), 3u);
  for (size_t lost = 0; lost < worker.gradients.size(); lost += 2) {
    for (size_t later = lost + 1; later < worker.gradients.size(); ++later)
      EXPECT_NE(worker.gradients[lost], worker.gradients[later]) << lost << ", " << later;
  }
}

TEST(TrainTest, PushThatWasTooSlowIsAskedForAgainAndCountsOnce) {
  RunSetup setup;
  setup.cluster.shards = 2;
  LocalCluster cluster(setup.cluster);
  LosingWorker worker(cluster.Join(0));
  CountingModel model;
  const Result<TrainReport> report = Train(worker, model, setup.train);
  ASSERT_TRUE(report.ok()) << report.status().ToString();
  EXPECT_EQ(worker.pushes, static_cast<int>(2 * kSteps));
  EXPECT_TRUE(SameBits(cluster.Weights(), Plain(setup)));
}

TEST(TrainTest, AsynchronousPushThatWasTooSlowIsAskedForUnderItsSequence) {
  RunSetup setup;
  setup.cluster.mode = Mode::kAsp;
  LocalCluster cluster(setup.cluster);
  LosingWorker worker(cluster.Join(0));
  CountingModel model;
  // In this cluster a push has ended when it returns, so its ticket is closed and asking again is
  // refused: what matters here is that the same sequence is named.
  const Result<TrainReport> report = Train(worker, model, setup.train);
  EXPECT_EQ(report.status().code(), StatusCode::kInvalidArgument);
  ASSERT_EQ(worker.sequences.size(), 2u);
  EXPECT_NE(worker.sequences[0], 0u);
  EXPECT_EQ(worker.sequences[0], worker.sequences[1]);
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

TEST(TrainTest, AsynchronousRunOfOneWorkerGivesTheBitsOfAPlainLoop) {
  RunSetup setup;
  setup.UseAdamW();
  setup.cluster.mode = Mode::kAsp;
  setup.cluster.max_staleness = 0;
  setup.cluster.shards = 2;
  LocalCluster cluster(setup.cluster);
  ExpectOk(TrainAll(&cluster, setup));
  EXPECT_TRUE(SameBits(cluster.Weights(), Plain(setup)));
}

TEST(TrainTest, TheMeanStalenessOfTheAppliedSlicesIsReported) {
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

TEST(TrainTest, StaleSlicesAloneAreComputedAgainFromTheFreshWeights) {
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

TEST(TrainTest, ContendedAsynchronousRunAppliesEverySliceOfEveryWorkerOnce) {
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
