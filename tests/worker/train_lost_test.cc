// SPDX-License-Identifier: Apache-2.0
// What is lost on the way, a connection, an answer or a worker, changes no bit and counts once.
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tests/worker/train_harness.h"
#include "weir/train.h"

namespace weir {
namespace {

TEST(TrainLostTest, ConnectionsLostBetweenStepsChangeNoBit) {
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

TEST(TrainLostTest, ConnectionsLostWhileABlockIsHeldChangeNoBit) {
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
TEST(TrainLostTest, InEveryCodecShardsAndLostConnectionsChangeNoBit) {
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
TEST(TrainLostTest, StepThatIsCommittedInSomeSlicesOnlyIsFinishedByTheSuccessor) {
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
// made, and to as many reads as it is told. Keeps all memory given out, so that no address comes
// twice.
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
    if (late_reads > 0) return LateRead();
    return worker_->PullAsync(std::move(tensors), options);
  }
  Future<PullResult> SyncAsync(std::vector<TensorPull> tensors,
                               const PullOptions& options) override {
    if (late_reads > 0) return LateRead();
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
    if (++pushes % 2 == 0 || !loses_pushes) return future;
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
  bool loses_pushes = true;
  int late_reads = 0;  // still to come
  std::vector<uint64_t> sequences;
  std::vector<const void*> gradients;  // of each push, where the first lies
  StatusCode code = StatusCode::kDeadlineExceeded;

 private:
  Future<PullResult> LateRead() {
    --late_reads;
    auto late = std::make_shared<FutureState<PullResult>>();
    late->Set(Status(StatusCode::kDeadlineExceeded, "worker 1 is at clock 0, this reader at 4"));
    return Future<PullResult>(late);
  }

  std::unique_ptr<Worker> worker_;
  std::vector<TensorMemory> memory_;
};

TEST(TrainLostTest, MemoryOfAPushOfUnknownEndIsNotWrittenAgain) {
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

TEST(TrainLostTest, PushThatWasTooSlowIsAskedForAgainAndCountsOnce) {
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

TEST(TrainLostTest, AsynchronousPushThatWasTooSlowIsAskedForUnderItsSequence) {
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

TEST(TrainLostTest, InSspAReadThatWaitedForTheSlowestTooLongIsMadeAgain) {
  RunSetup setup;
  setup.cluster.mode = Mode::kSsp;
  setup.cluster.max_staleness = 1;
  LocalCluster cluster(setup.cluster);
  LosingWorker worker(cluster.Join(0));
  worker.loses_pushes = false;
  worker.late_reads = 3;
  CountingModel model;
  setup.train.progress = [&](const TrainProgress& progress) {
    if (progress.step == kSteps) worker.late_reads = 3;  // of the evaluation at the end
    return true;
  };
  const Result<TrainReport> report = Train(worker, model, setup.train);
  ASSERT_TRUE(report.ok()) << report.status().ToString();
  EXPECT_EQ(worker.late_reads, 0);
  EXPECT_TRUE(report->evaluation.has_value());
  EXPECT_TRUE(SameBits(cluster.Weights(), Plain(setup)));
}

}  // namespace
}  // namespace weir
