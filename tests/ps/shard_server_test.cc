// SPDX-License-Identifier: Apache-2.0
#include "ps/shard_server.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <thread>

namespace weir {
namespace {

using ::testing::HasSubstr;

constexpr absl::Duration kPatience = absl::Seconds(30);  // how long a test waits for what must come

// Keeps what is sent and lets tests wait for it; takes each frame at once.
class FakeOutlet : public SessionOutlet {
 public:
  void Send(SessionId id, ServerFrame&& frame) override {
    const uint64_t payload_bytes = PayloadBytesOf(frame);
    {
      absl::MutexLock lock(&mu_);
      frames_[{id, frame.request_id}].push_back(std::move(frame));
    }
    if (server != nullptr) server->OnSent(id, payload_bytes);
  }
  void Close(SessionId id, const absl::Status& status) override {
    absl::MutexLock lock(&mu_);
    ++closes_;
    closed_.emplace(id, status);
  }
  int closes() {
    absl::MutexLock lock(&mu_);
    return closes_;
  }

  ServerFrame Wait(SessionId id, uint64_t request) {
    absl::MutexLock lock(&mu_);
    const auto has = [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
      return !frames_[{id, request}].empty();
    };
    EXPECT_TRUE(mu_.AwaitWithTimeout(absl::Condition(&has), kPatience))
        << "no answer to request " << request;
    if (!has()) return ServerFrame();
    ServerFrame frame = std::move(frames_[{id, request}].front());
    frames_[{id, request}].erase(frames_[{id, request}].begin());
    return frame;
  }
  absl::Status WaitForClose(SessionId id) {
    absl::MutexLock lock(&mu_);
    const auto has = [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return closed_.count(id) > 0; };
    EXPECT_TRUE(mu_.AwaitWithTimeout(absl::Condition(&has), kPatience)) << "not closed";
    return closed_[id];
  }

  ShardServer* server = nullptr;

 private:
  absl::Mutex mu_;
  std::map<std::pair<SessionId, uint64_t>, std::vector<ServerFrame>> frames_ ABSL_GUARDED_BY(mu_);
  std::map<SessionId, absl::Status> closed_ ABSL_GUARDED_BY(mu_);
  int closes_ ABSL_GUARDED_BY(mu_) = 0;
};

// Lets whoever asks for the time wait until it is opened: it keeps the turn from all others.
class Gate {
 public:
  std::function<absl::Time()> Clock() {
    return [this] {
      absl::MutexLock lock(&mu_);
      ++asked_;
      mu_.Await(absl::Condition(&open_));
      return absl::UnixEpoch();
    };
  }
  void Open() {
    absl::MutexLock lock(&mu_);
    open_ = true;
  }
  void Close() {
    absl::MutexLock lock(&mu_);
    open_ = false;
    asked_ = 0;
  }
  bool AwaitAsked(int times) {
    absl::MutexLock lock(&mu_);
    const auto so_often = [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return asked_ >= times; };
    return mu_.AwaitWithTimeout(absl::Condition(&so_often), kPatience);
  }

 private:
  absl::Mutex mu_;
  bool open_ ABSL_GUARDED_BY(mu_) = false;
  int asked_ ABSL_GUARDED_BY(mu_) = 0;  // since it was closed last
};

ShardServer::Options Asp(int job_threads) {
  ShardServer::Options options;
  options.shard.epoch = 1;
  options.shard.mode = ConsistencyMode::kAsp;
  options.shard.schedule.base_rate = 1;
  options.job_threads = job_threads;
  return options;
}

ClientFrame FrameOf(uint64_t request, decltype(ClientFrame::kind) kind) {
  ClientFrame frame;
  frame.request_id = request;
  frame.epoch = 1;
  frame.kind = std::move(kind);
  return frame;
}

HelloFrame HelloOf(uint64_t worker) {
  HelloFrame hello;
  hello.job_id = std::string(16, '\0');
  hello.role = SessionRole::kWorker;
  hello.worker_id = worker;
  return hello;
}

PushFrame PushOf(uint64_t worker, uint64_t sequence, uint64_t slice) {
  const auto gradient = std::make_shared<std::vector<float>>(16, 1.0f);
  PushFrame push;
  push.tensor_id = 1;
  push.worker_id = worker;
  push.sequence = sequence;
  push.lowest_pending = sequence;
  push.atomicity = Atomicity::kSlice;
  push.offset = slice * 16;
  push.count = 16;
  push.examples = 1;
  push.gradient.Append(reinterpret_cast<const char*>(gradient->data()), 64, gradient);
  return push;
}

class ShardServerTest : public testing::TestWithParam<int> {
 protected:
  void SetUp() override {
    absl::StatusOr<std::unique_ptr<ShardServer>> made =
        ShardServer::Create(Asp(GetParam()), &outlet);
    ASSERT_TRUE(made.ok()) << made.status();
    server = *std::move(made);
    outlet.server = server.get();
  }
  void Begin() {
    ASSERT_TRUE(server->Start().ok());
    ASSERT_TRUE(server->Install(*MakeLayout({{"w", {64}, {}}}, 64, 1, 1)).ok());
    while (!server->serving()) std::this_thread::yield();
  }
  void Connect(SessionId id, uint64_t worker) {
    server->OnOpen(id, "test");
    server->OnFrame(id, FrameOf(1, HelloOf(worker)), 100);
    EXPECT_TRUE(std::holds_alternative<HelloReplyFrame>(outlet.Wait(id, 1).kind));
  }

  FakeOutlet outlet;
  std::unique_ptr<ShardServer> server;
};

TEST_P(ShardServerTest, ServesSessionsOnTheirOwnThreads) {
  Begin();
  constexpr uint64_t kWorkers = 4;
  constexpr uint64_t kPushes = 200;
  std::vector<std::thread> workers;
  for (uint64_t worker = 0; worker < kWorkers; ++worker) {
    workers.emplace_back([this, worker] {
      const SessionId id = worker + 1;
      Connect(id, worker);
      for (uint64_t sequence = 1; sequence <= kPushes; ++sequence) {
        server->OnFrame(id, FrameOf(sequence + 1, PushOf(worker, sequence, sequence % 4)), 200);
        const ServerFrame answer = outlet.Wait(id, sequence + 1);
        EXPECT_EQ(std::get<PushReplyFrame>(answer.kind).outcome, Outcome::kApplied);
      }
    });
  }
  for (std::thread& worker : workers) worker.join();
  EXPECT_EQ(server->totals().applied, kWorkers * kPushes);
  EXPECT_EQ(server->status().step, kWorkers * kPushes / 4);
  server->OnFrame(1, FrameOf(1000, SyncFrame()), 100);
  for (int slice = 0; slice < 4; ++slice) {
    const ServerFrame answer = outlet.Wait(1, 1000);
    float weight = 0;
    std::memcpy(&weight, std::get<PullReplyFrame>(answer.kind).tensor_data.chunks()[0].data,
                sizeof(weight));
    EXPECT_EQ(weight, -static_cast<float>(kWorkers * kPushes / 4));
  }
}

TEST_P(ShardServerTest, ALayoutMayComeBeforeTheStart) {
  ASSERT_TRUE(server->Install(*MakeLayout({{"w", {64}, {}}}, 64, 1, 1)).ok());
  EXPECT_FALSE(server->serving());
  ASSERT_TRUE(server->Start().ok());
  while (!server->serving()) std::this_thread::yield();
  Connect(1, 0);
}

TEST_P(ShardServerTest, ALayoutOfBeforeTheStartIsFilledWithoutAnyEvent) {
  constexpr int kSlices = 1000;
  Gate gate;
  gate.Open();
  ShardServer::Options options = Asp(GetParam());
  options.clock = gate.Clock();
  std::unique_ptr<ShardServer> early = *ShardServer::Create(options, &outlet);
  ASSERT_TRUE(early->Install(*MakeLayout({{"w", {16 * kSlices}, {}}}, 64, 1, 1)).ok());
  ASSERT_TRUE(early->Start().ok());
  EXPECT_TRUE(gate.AwaitAsked(kSlices)) << "nobody computes the first weights";
}

TEST_P(ShardServerTest, StopDoesNotWaitForFirstWeightsThatAreNotComputedYet) {
  Gate gate;
  gate.Open();
  ShardServer::Options options = Asp(GetParam());
  options.shard.limits.max_requests = 1;
  options.clock = gate.Clock();
  std::unique_ptr<ShardServer> large = *ShardServer::Create(options, &outlet);
  outlet.server = nullptr;
  ASSERT_TRUE(large->Start().ok());
  gate.Close();
  std::thread installer([&] {
    EXPECT_TRUE(large->Install(*MakeLayout({{"w", {160000}, {}}}, 64, 1, 1)).ok());
  });
  ASSERT_TRUE(gate.AwaitAsked(1));
  std::thread stopper([&] { large->Stop(); });
  // The turn is held, so that all of these are refused for their number, until it is stopping.
  for (int before = -1; before != outlet.closes();) {
    before = outlet.closes();
    for (int i = 0; i < 5; ++i) large->OnFrame(1, FrameOf(1, SyncFrame()), 100);
  }
  gate.Open();
  installer.join();
  stopper.join();
  EXPECT_FALSE(large->serving());
}

TEST_P(ShardServerTest, WhoBringsAnEventIsNotKeptByWhatOthersBringMeanwhile) {
  constexpr int kEvents = 100000;
  std::atomic<std::thread::id> bringer{std::this_thread::get_id()};
  std::atomic<int> others{0};
  ShardServer::Options options = Asp(GetParam());
  std::unique_ptr<ShardServer> busy;
  options.clock = [&] {  // read in the turn, at every event
    if (std::this_thread::get_id() == bringer && others < kEvents) {
      ++others;
      busy->OnSent(2, 0);
    }
    return absl::UnixEpoch();
  };
  busy = *ShardServer::Create(options, &outlet);
  ASSERT_TRUE(busy->Start().ok());
  busy->OnOpen(1, "test");
  EXPECT_LT(others, kEvents);
  bringer = std::thread::id();
}

TEST_P(ShardServerTest, ABadLayoutIsRefused) {
  ASSERT_TRUE(server->Start().ok());
  Layout empty;
  empty.epoch = 1;
  EXPECT_EQ(server->Install(empty).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_FALSE(server->serving());
}

TEST_P(ShardServerTest, StartsOnce) {
  ASSERT_TRUE(server->Start().ok());
  EXPECT_EQ(server->Start().code(), absl::StatusCode::kFailedPrecondition);
}

TEST_P(ShardServerTest, AfterStopEventsAreDroppedAndTotalsStay) {
  Begin();
  Connect(1, 0);
  server->OnFrame(1, FrameOf(2, PushOf(0, 1, 0)), 200);
  outlet.Wait(1, 2);
  server->Stop();
  server->OnFrame(1, FrameOf(3, PushOf(0, 2, 0)), 200);
  server->OnSent(1, 0);
  server->OnClosed(1);
  EXPECT_EQ(server->totals().applied, 1u);
  EXPECT_EQ(server->status().epoch, 1u);
  server->Stop();
}

TEST_P(ShardServerTest, StopsWithoutHavingStarted) { server->Stop(); }

TEST_P(ShardServerTest, AFloodBeyondTheCreditsClosesTheSessionAndTheMailboxStaysBounded) {
  ShardServer::Options options = Asp(GetParam());
  options.shard.limits.max_requests = 10;
  Gate gate;
  options.clock = gate.Clock();
  std::unique_ptr<ShardServer> slow = *ShardServer::Create(options, &outlet);
  outlet.server = nullptr;
  ASSERT_TRUE(slow->Start().ok());
  std::thread holder([&] { slow->OnOpen(1, "test"); });
  ASSERT_TRUE(gate.AwaitAsked(1));
  for (uint64_t request = 1; request <= 1000; ++request)
    slow->OnFrame(1, FrameOf(request, SyncFrame()), 100);
  const absl::Status status = outlet.WaitForClose(1);
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(status.message()), HasSubstr("more frames in flight"));
  gate.Open();
  holder.join();
  slow->Stop();
}

TEST_P(ShardServerTest, DeadlinesAreKeptWithoutAnyEvent) {
  ShardServer::Options options = Asp(GetParam());
  options.shard.limits.hello_timeout_ms = 1;
  std::unique_ptr<ShardServer> impatient = *ShardServer::Create(options, &outlet);
  ASSERT_TRUE(impatient->Start().ok());
  impatient->OnOpen(1, "test");
  EXPECT_EQ(outlet.WaitForClose(1).code(), absl::StatusCode::kDeadlineExceeded);
}

// Large enough for another thread to be worth its while.
constexpr uint64_t kLargeSlice = 64 << 10;

ClientFrame LargePush(uint64_t sequence, uint64_t slice) {
  const auto gradient = std::make_shared<std::vector<float>>(kLargeSlice, 1.0f);
  PushFrame push = PushOf(0, sequence, 0);
  push.lowest_pending = 1;  // many are out at once
  push.offset = slice * kLargeSlice;
  push.count = kLargeSlice;
  push.gradient = Payload();
  push.gradient.Append(reinterpret_cast<const char*>(gradient->data()), kLargeSlice * sizeof(float),
                       gradient);
  return FrameOf(sequence + 1, std::move(push));
}

TEST_P(ShardServerTest, LargePushesInSharedMemoryAreSharedWithTheThreadsAndAllAnswered) {
  constexpr uint64_t kSlices = 8;
  constexpr uint64_t kPushes = 200;
  ASSERT_TRUE(server->Start().ok());
  const auto layout =
      MakeLayout({{"w", {kSlices * kLargeSlice}, {}}}, kLargeSlice * sizeof(float), 1, 1);
  ASSERT_TRUE(server->Install(*layout).ok());
  while (!server->serving()) std::this_thread::yield();
  Connect(1, 0);
  for (uint64_t i = 1; i <= kPushes; ++i)
    server->OnSharedFrame(1, LargePush(i, i % kSlices), kLargeSlice * sizeof(float));
  for (uint64_t i = 1; i <= kPushes; ++i) {
    EXPECT_EQ(std::get<PushReplyFrame>(outlet.Wait(1, i + 1).kind).outcome, Outcome::kApplied);
  }
  EXPECT_EQ(server->totals().applied, kPushes);
  EXPECT_EQ(server->status().step, kPushes / kSlices);
}

// Of the heap; counts what was asked of it.
class CountingArena : public Arena {
 public:
  char* Take(size_t bytes) override {
    ++taken;
    return static_cast<char*>(std::aligned_alloc(64, (bytes + 63) / 64 * 64));
  }
  bool Return(char* block, size_t) override {
    std::free(block);
    return true;
  }
  std::atomic<int> taken{0};
};

TEST_P(ShardServerTest, WhatTheWeightsNeedIsTakenFromTheArenaWhenTheLayoutComes) {
  const auto arena = std::make_shared<CountingArena>();
  ShardServer::Options options = Asp(GetParam());
  options.arena = arena;
  server = *ShardServer::Create(options, &outlet);
  outlet.server = server.get();
  Begin();
  const int taken = arena->taken;
  EXPECT_EQ(taken, 3 * 4) << "of four slices the version now, the one before, one in the making";
  Connect(1, 0);
  for (uint64_t i = 1; i <= 20; ++i) {
    server->OnFrame(1, FrameOf(i + 1, PushOf(0, i, i % 4)), 200);
    outlet.Wait(1, i + 1);
  }
  EXPECT_EQ(arena->taken, taken);
}

INSTANTIATE_TEST_SUITE_P(JobThreads, ShardServerTest, testing::Values(0, 2),
                         [](const testing::TestParamInfo<int>& info) {
                           return info.param == 0 ? std::string("InTheTurn")
                                                  : std::string("OnThreads");
                         });

TEST(ShardServerOptionsTest, BadOptionsAreRefused) {
  FakeOutlet outlet;
  EXPECT_EQ(ShardServer::Create(Asp(-1), &outlet).status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(ShardServer::Create(Asp(257), &outlet).status().code(),
            absl::StatusCode::kInvalidArgument);
  ShardServer::Options options = Asp(0);
  options.shard.gradient_shards = 0;
  EXPECT_EQ(ShardServer::Create(options, &outlet).status().code(),
            absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace weir
