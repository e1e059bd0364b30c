// SPDX-License-Identifier: Apache-2.0
// A Worker over sockets: joining, training, and every way in which it ends.
#include "weir/worker.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <thread>

#include "tests/worker/counting_model.h"
#include "tests/worker/plain_loop.h"
#include "tests/worker/wire_cluster.h"
#include "weir/train.h"
#include "worker/options.h"

namespace weir {
namespace {

std::unique_ptr<Worker> Join(const WireCluster& cluster,
                             std::optional<uint32_t> rank = std::nullopt) {
  Options options = cluster.WorkerOptions();
  options.rank = rank;
  Result<std::unique_ptr<Worker>> worker = Worker::Connect(options);
  EXPECT_TRUE(worker.ok()) << worker.status().ToString();
  return worker.ok() ? std::move(*worker) : nullptr;
}

std::vector<TensorSpec> OneTensor() { return {{"w", {6}, {Initializer::Kind::kConstant, 2, 0}}}; }

// A gradient of ones for OneTensor, and where its weights go.
struct Memory {
  std::vector<float> weights = std::vector<float>(6);
  std::vector<float> gradient = std::vector<float>(6, 1.0f);
  std::vector<TensorPull> pull() { return {{0, {weights.data(), ElementType::kFloat32, 6}}}; }
  std::vector<TensorPush> push() {
    return {{0,
             {gradient.data(), ElementType::kFloat32, 6},
             0,
             0,
             {},
             {weights.data(), ElementType::kFloat32, 6}}};
  }
};

PushOptions Part(uint64_t step, uint32_t part) {
  PushOptions options;
  options.step = step;
  options.first_part = part;
  options.examples = 1;
  return options;
}

TEST(WorkerTest, TrainingOverSocketsGivesTheBitsOfAPlainLoop) {
  WireCluster::Options options;
  options.servers = 2;
  options.workers = 2;
  options.gradient_shards = 3;
  options.slice_bytes = 256;
  options.seed = 5;
  options.optimizer.type = OptimizerType::kAdamW;
  options.schedule.base_rate = options.optimizer.learning_rate = 0.0625;
  WireCluster cluster(options);
  TrainOptions train;
  train.steps = 5;
  train.clip_norm = 4;
  std::vector<std::thread> threads;
  for (uint32_t rank = 0; rank < 2; ++rank) {
    threads.emplace_back([&, rank] {
      const std::unique_ptr<Worker> worker = Join(cluster, rank);
      CountingModel model;
      const Result<TrainReport> report = Train(*worker, model, train);
      EXPECT_TRUE(report.ok()) << report.status().ToString();
      EXPECT_TRUE(worker->Leave().ok());
    });
  }
  for (std::thread& thread : threads) thread.join();
  CountingModel model;
  PlainLoop::Options plain;
  plain.gradient_shards = 3;
  plain.seed = 5;
  plain.optimizer = options.optimizer;
  plain.schedule = options.schedule;
  plain.clip_norm = 4;
  PlainLoop loop(model, plain);
  loop.Run(5);
  EXPECT_EQ(cluster.Weights(model.Tensors()), loop.weights());
  const JobStatus status = cluster.coordinator().Status();
  EXPECT_TRUE(status.finished);
  for (const MemberStatus& member : status.members) {
    if (member.role != MemberRole::kWorker) continue;
    EXPECT_EQ(member.state, MemberState::kLeft);
    EXPECT_EQ(member.step, 5u);
  }
}

TEST(WorkerTest, JobIsToldToWhoeverJoinsIt) {
  WireCluster::Options options;
  options.servers = 2;
  options.workers = 3;
  options.gradient_shards = 6;
  options.seed = 99;
  WireCluster cluster(options);
  const std::unique_ptr<Worker> worker = Join(cluster, 2);
  const JobInfo& job = worker->job();
  EXPECT_EQ(job.name, "wire");
  EXPECT_EQ(job.rank, 2u);
  EXPECT_EQ(job.workers, 3u);
  EXPECT_EQ(job.servers, 2u);
  EXPECT_EQ(job.shards, 2u);
  EXPECT_EQ(job.gradient_shards, 6u);
  EXPECT_EQ(job.mode, Mode::kBsp);
  EXPECT_EQ(job.seed, 99u);
  EXPECT_EQ(job.topology, "name: wire\n");
  EXPECT_GE(job.incarnation, 1u);
}

TEST(WorkerTest, WrongTokenIsRefused) {
  WireCluster cluster({});
  Options options = cluster.WorkerOptions();
  options.token = "wrong";
  EXPECT_EQ(Worker::Connect(options).status().code(), StatusCode::kFailedPrecondition);
}

TEST(WorkerTest, PlaceThatIsTakenIsRefused) {
  WireCluster cluster({});
  const std::unique_ptr<Worker> first = Join(cluster);
  Options options = cluster.WorkerOptions();
  EXPECT_EQ(Worker::Connect(options).status().code(), StatusCode::kResourceExhausted);
}

TEST(WorkerTest, NobodyThereIsUnavailableWhenTheTimeToConnectIsOver) {
  std::string address;
  {
    WireCluster gone({});
    address = gone.WorkerOptions().coordinator;
  }
  Options options;
  options.coordinator = address;
  options.connect_timeout = std::chrono::milliseconds(100);
  const Status status = Worker::Connect(options).status();
  EXPECT_EQ(status.code(), StatusCode::kUnavailable);
  EXPECT_NE(status.message().find(address), std::string::npos) << status.message();
}

TEST(WorkerTest, CallsBeforeDeclareAreRefused) {
  WireCluster cluster({});
  const std::unique_ptr<Worker> worker = Join(cluster);
  Memory memory;
  EXPECT_EQ(worker->Pull(memory.pull()).status().code(), StatusCode::kFailedPrecondition);
  EXPECT_EQ(worker->Slices(0).status().code(), StatusCode::kFailedPrecondition);
  EXPECT_TRUE(worker->Leave().ok());
}

TEST(WorkerTest, BadOrDifferingDeclarationIsRefused) {
  WireCluster::Options options;
  options.workers = 2;
  WireCluster cluster(options);
  const std::unique_ptr<Worker> first = Join(cluster);
  const std::unique_ptr<Worker> second = Join(cluster);
  EXPECT_EQ(first->Declare({{"a b", {1}, {}}}).code(), StatusCode::kInvalidArgument);
  EXPECT_TRUE(first->Declare(OneTensor()).ok());
  const Status differs = second->Declare({{"w", {7}, {Initializer::Kind::kConstant, 2, 0}}});
  EXPECT_EQ(differs.code(), StatusCode::kFailedPrecondition);
  EXPECT_NE(differs.message().find("w"), std::string::npos) << differs.message();
  EXPECT_TRUE(second->Declare(OneTensor()).ok());
}

TEST(WorkerTest, ValuesAndOutcomesComeBackTyped) {
  WireCluster::Options options;
  options.schedule.base_rate = options.optimizer.learning_rate = 0.5;
  WireCluster cluster(options);
  const std::unique_ptr<Worker> worker = Join(cluster);
  ASSERT_TRUE(worker->Declare(OneTensor()).ok());
  EXPECT_EQ(worker->Slices(0).value().size(), 1u);
  Memory memory;
  ASSERT_TRUE(worker->Sync(memory.pull()).ok());
  EXPECT_EQ(memory.weights, std::vector<float>(6, 2.0f));
  Result<PushResult> pushed = worker->PushPull(memory.push(), Part(0, 0));
  ASSERT_TRUE(pushed.ok()) << pushed.status().ToString();
  EXPECT_EQ(pushed->tally.applied, 1u);
  EXPECT_EQ(pushed->min_values_version, 1u);
  EXPECT_EQ(memory.weights, std::vector<float>(6, 1.5f));
  // The same part again, under another sequence, counts once.
  pushed = worker->PushPull(memory.push(), Part(0, 0));
  ASSERT_TRUE(pushed.ok()) << pushed.status().ToString();
  EXPECT_EQ(pushed->tally.duplicate, 1u);
  EXPECT_EQ(memory.weights, std::vector<float>(6, 1.5f));
  pushed = worker->Push(memory.push(), Part(9, 0));
  ASSERT_TRUE(pushed.ok());
  EXPECT_EQ(pushed->tally.invalid, 1u);
  EXPECT_FALSE(pushed->reason.empty());
  // A skipped step commits with the same weights.
  ASSERT_TRUE(worker->Skip(1, 0).ok());
  Result<PullResult> pulled = worker->Pull(memory.pull());
  ASSERT_TRUE(pulled.ok());
  EXPECT_EQ(pulled->max_version, 2u);
  EXPECT_EQ(memory.weights, std::vector<float>(6, 1.5f));
  EXPECT_TRUE(worker->PutState(3, "sampler").ok());
  EXPECT_EQ(worker->GetState().value().state, "sampler");
}

TEST(WorkerTest, DeadlineEndsACallAndItsTicketTellsHowItEndedLater) {
  WireCluster::Options options;
  options.workers = 2;
  options.gradient_shards = 2;
  WireCluster cluster(options);
  const std::unique_ptr<Worker> first = Join(cluster, 0);
  const std::unique_ptr<Worker> second = Join(cluster, 1);
  ASSERT_TRUE(first->Declare(OneTensor()).ok());
  ASSERT_TRUE(second->Declare(OneTensor()).ok());
  Memory memory;
  PushOptions part = Part(0, 0);
  part.sequence = first->NewSequence().value();
  part.deadline = Deadline{50};
  const Result<PushResult> late = first->PushPull(memory.push(), part);
  EXPECT_EQ(late.status().code(), StatusCode::kDeadlineExceeded);
  Memory other;
  Future<PushResult> rest = second->PushPullAsync(other.push(), Part(0, 1));
  part.deadline = Deadline{0};
  Result<PushResult> again = first->PushPull(memory.push(), part);
  ASSERT_TRUE(again.ok()) << again.status().ToString();
  EXPECT_TRUE(again->counted());
  EXPECT_EQ(again->sequence, part.sequence);
  ASSERT_TRUE(rest.Get().ok());
  EXPECT_EQ(memory.weights, other.weights);
}

TEST(WorkerTest, StreamsCutWhileAPushWaitsLoseAndRepeatNothing) {
  WireCluster::Options options;
  options.servers = 2;
  options.workers = 2;
  options.gradient_shards = 2;
  options.slice_bytes = 64;
  options.schedule.base_rate = options.optimizer.learning_rate = 0.5;
  WireCluster cluster(options);
  const std::unique_ptr<Worker> first = Join(cluster, 0);
  const std::unique_ptr<Worker> second = Join(cluster, 1);
  const std::vector<TensorSpec> tensors = {{"w", {64}, {}}};
  ASSERT_TRUE(first->Declare(tensors).ok());
  ASSERT_TRUE(second->Declare(tensors).ok());
  std::vector<float> ones(64, 1.0f), weights(64), other(64);
  auto push = [&](std::vector<float>& into) {
    return std::vector<TensorPush>{{0,
                                    {ones.data(), ElementType::kFloat32, 64},
                                    0,
                                    0,
                                    {},
                                    {into.data(), ElementType::kFloat32, 64}}};
  };
  for (uint64_t step = 0; step < 3; ++step) {
    Future<PushResult> waiting = first->PushPullAsync(push(weights), Part(step, 0));
    cluster.CutStreams();
    Result<PushResult> rest = second->PushPull(push(other), Part(step, 1));
    ASSERT_TRUE(rest.ok()) << rest.status().ToString();
    Result<PushResult> result = waiting.Get();
    ASSERT_TRUE(result.ok()) << result.status().ToString();
    EXPECT_TRUE(result->counted());
    EXPECT_EQ(weights, std::vector<float>(64, -0.5f * static_cast<float>(step + 1)));
  }
}

TEST(WorkerTest, StoppedJobEndsTheCallsWithItsReason) {
  WireCluster::Options options;
  options.workers = 2;
  options.gradient_shards = 2;
  options.lease = absl::Milliseconds(600);
  WireCluster cluster(options);
  const std::unique_ptr<Worker> worker = Join(cluster, 0);
  ASSERT_TRUE(worker->Declare(OneTensor()).ok());
  Memory memory;
  Future<PushResult> waiting = worker->PushAsync(memory.push(), Part(0, 0));
  cluster.coordinator().Stop("the operator said so");
  const Result<PushResult> result = waiting.Get();
  EXPECT_EQ(result.status().code(), StatusCode::kCancelled);
  EXPECT_NE(result.status().message().find("the operator said so"), std::string::npos)
      << result.status().message();
  EXPECT_EQ(worker->Pull(memory.pull()).status().code(), StatusCode::kCancelled);
}

TEST(WorkerTest, LostCoordinatorEndsTheCallsWhenTheLeaseIsOver) {
  WireCluster::Options options;
  options.workers = 2;
  options.gradient_shards = 2;
  options.lease = absl::Milliseconds(600);
  WireCluster cluster(options);
  const std::unique_ptr<Worker> worker = Join(cluster, 0);
  ASSERT_TRUE(worker->Declare(OneTensor()).ok());
  Memory memory;
  Future<PushResult> waiting = worker->PushAsync(memory.push(), Part(0, 0));
  cluster.StopCoordinator();
  const Result<PushResult> result = waiting.Get();
  EXPECT_EQ(result.status().code(), StatusCode::kCancelled);
  EXPECT_NE(result.status().message().find("lease is lost"), std::string::npos)
      << result.status().message();
}

TEST(WorkerTest, CloseEndsTheCallsUnderWayAndThoseToCome) {
  WireCluster::Options options;
  options.workers = 2;
  options.gradient_shards = 2;
  WireCluster cluster(options);
  std::unique_ptr<Worker> worker = Join(cluster, 0);
  ASSERT_TRUE(worker->Declare(OneTensor()).ok());
  Memory memory;
  Future<PushResult> waiting = worker->PushAsync(memory.push(), Part(0, 0));
  Future<PushResult> other = worker->PushAsync(memory.push(), Part(0, 0));
  worker->Close();
  EXPECT_EQ(waiting.Get().status().code(), StatusCode::kCancelled);
  EXPECT_EQ(worker->Pull(memory.pull()).status().code(), StatusCode::kCancelled);
  worker->Close();
  worker.reset();
  other.Cancel();                                      // of a worker that is gone: does nothing
  const StatusCode end = other.Get().status().code();  // kOk: told that it is a duplicate, before
  EXPECT_TRUE(end == StatusCode::kCancelled || end == StatusCode::kOk) << static_cast<int>(end);
}

TEST(WorkerTest, CancelledFutureIsReadyThoughNobodyAnswers) {
  WireCluster::Options options;
  options.workers = 2;
  options.gradient_shards = 2;
  WireCluster cluster(options);
  const std::unique_ptr<Worker> worker = Join(cluster, 0);
  ASSERT_TRUE(worker->Declare(OneTensor()).ok());
  Memory memory;
  Future<PushResult> waiting = worker->PushAsync(memory.push(), Part(0, 0));
  EXPECT_FALSE(waiting.Ready());
  waiting.Cancel();
  EXPECT_TRUE(waiting.Wait(std::chrono::seconds(30)));
  EXPECT_EQ(waiting.Get().status().code(), StatusCode::kCancelled);
  EXPECT_FALSE(waiting.valid());
}

TEST(WorkerTest, ReportedValuesReachTheStatus) {
  WireCluster cluster({});
  const std::unique_ptr<Worker> worker = Join(cluster);
  EXPECT_TRUE(worker->Report("loss", 0.25).ok());
  EXPECT_EQ(worker->Report("", 1).code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(worker->Report(std::string(65, 'x'), 1).code(), StatusCode::kInvalidArgument);
  for (int i = 1; i < 64; ++i) EXPECT_TRUE(worker->Report("value" + std::to_string(i), i).ok());
  EXPECT_EQ(worker->Report("one more", 1).code(), StatusCode::kResourceExhausted);
  worker->Progress(3, 9);
  EXPECT_TRUE(worker->Leave().ok());
  for (const MemberStatus& member : cluster.coordinator().Status().members) {
    if (member.role != MemberRole::kWorker) continue;
    EXPECT_EQ(member.step, 3u);
    EXPECT_EQ(member.values.size(), 64u);
  }
}

TEST(WorkerTest, FailureIsToldToTheJobAtOnce) {
  WireCluster cluster({});
  const std::unique_ptr<Worker> worker = Join(cluster);
  EXPECT_TRUE(worker->Fail("the disk is full").ok());
  EXPECT_NE(cluster.coordinator().Status().failure.find("the disk is full"), std::string::npos);
}

class OptionsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    for (const char* name :
         {"WEIR_COORDINATOR", "WEIR_RANK", "WEIR_TOKEN", "WEIR_TOKEN_FILE", "WEIR_SPIN_US"})
      unsetenv(name);
  }
  void TearDown() override { SetUp(); }
};

TEST_F(OptionsTest, EnvironmentOfARunMakesTheOptions) {
  setenv("WEIR_COORDINATOR", "10.0.0.1:5000", 1);
  setenv("WEIR_RANK", "3", 1);
  setenv("WEIR_TOKEN_FILE", "/run/token", 1);
  const Options options = Options::FromEnvironment().value();
  EXPECT_EQ(options.coordinator, "10.0.0.1:5000");
  EXPECT_EQ(options.rank, 3u);
  EXPECT_EQ(options.token_file, "/run/token");
}

TEST_F(OptionsTest, MissingCoordinatorOrBadRankIsSaid) {
  EXPECT_EQ(Options::FromEnvironment().status().code(), StatusCode::kInvalidArgument);
  setenv("WEIR_COORDINATOR", "10.0.0.1:5000", 1);
  EXPECT_FALSE(Options::FromEnvironment().value().rank.has_value());
  setenv("WEIR_RANK", "first", 1);
  EXPECT_EQ(Options::FromEnvironment().status().code(), StatusCode::kInvalidArgument);
}

TEST_F(OptionsTest, AWishToSpinIsTakenFromTheEnvironmentAndNonsenseIsSaid) {
  setenv("WEIR_COORDINATOR", "10.0.0.1:5000", 1);
  EXPECT_FALSE(Options::FromEnvironment().value().spin.has_value());
  setenv("WEIR_SPIN_US", "75", 1);
  EXPECT_EQ(Options::FromEnvironment().value().spin, std::chrono::microseconds(75));
  for (const char* wrong : {"fast", "-1", "1000001"}) {
    setenv("WEIR_SPIN_US", wrong, 1);
    const Status status = Options::FromEnvironment().status();
    EXPECT_EQ(status.code(), StatusCode::kInvalidArgument) << wrong;
    EXPECT_NE(status.message().find("WEIR_SPIN_US"), std::string::npos) << status.message();
  }
}

TEST_F(OptionsTest, ASpinBeyondItsLimitIsRefusedBeforeAnythingIsAsked) {
  Options options;
  options.coordinator = "127.0.0.1:1";
  for (const std::chrono::microseconds wrong :
       {std::chrono::microseconds(-1), std::chrono::microseconds(1000001)}) {
    options.spin = wrong;
    EXPECT_EQ(Worker::Connect(options).status().code(), StatusCode::kInvalidArgument);
  }
}

TEST_F(OptionsTest, TokenFileIsReadWithoutItsWhiteSpace) {
  const std::string path = ::testing::TempDir() + "/worker_test_token";
  Options options;
  EXPECT_EQ(ReadToken(options).value(), "");
  options.token_file = path;
  std::remove(path.c_str());
  EXPECT_EQ(ReadToken(options).status().code(), StatusCode::kInvalidArgument);
  std::ofstream(path) << " \n";
  EXPECT_EQ(ReadToken(options).status().code(), StatusCode::kInvalidArgument);
  std::ofstream(path) << "  abc\n";
  EXPECT_EQ(ReadToken(options).value(), "abc");
  options.token = "direct";
  EXPECT_EQ(ReadToken(options).value(), "direct");
  std::remove(path.c_str());
}

}  // namespace
}  // namespace weir
