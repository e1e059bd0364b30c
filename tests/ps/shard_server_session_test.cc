// SPDX-License-Identifier: Apache-2.0
// A shard behind real sessions over a loopback socket.
#include <gmock/gmock.h>
#include <grpcpp/channel.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/synchronization/mutex.h"
#include "net/channel.h"
#include "net/completion_loop.h"
#include "net/server_host.h"
#include "net/session_client.h"
#include "net/session_host.h"
#include "ps/host_outlet.h"
#include "ps/shard_server.h"

namespace weir {
namespace {

constexpr absl::Duration kPatience = absl::Seconds(30);
constexpr uint64_t kElements = 1 << 20;              // of the one tensor
constexpr uint64_t kSliceBytes = uint64_t{1} << 20;  // so its payloads arrive in pieces

// One session; answers are waited for.
class Client : public SessionClientHandler {
 public:
  explicit Client(const std::string& address) : client_(MakeChannel(address), &loop_, this) {
    loop_.Start();
  }
  ~Client() override { client_.Close(); }

  absl::Status TrySend(uint64_t request, uint64_t epoch, decltype(ClientFrame::kind) kind) {
    ClientFrame frame;
    frame.request_id = request;
    frame.epoch = epoch;
    frame.kind = std::move(kind);
    return client_.Send(std::move(frame));
  }
  void Send(uint64_t request, uint64_t epoch, decltype(ClientFrame::kind) kind) {
    EXPECT_TRUE(TrySend(request, epoch, std::move(kind)).ok());
  }
  // false: answers are not read until it is true again.
  void Read(bool reads) {
    absl::MutexLock lock(&mu_);
    reads_ = reads;
  }
  std::vector<ServerFrame> Wait(uint64_t request, size_t frames) {
    absl::MutexLock lock(&mu_);
    const auto has = [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
      return closed_ || frames_[request].size() >= frames;
    };
    EXPECT_TRUE(mu_.AwaitWithTimeout(absl::Condition(&has), kPatience));
    EXPECT_FALSE(closed_) << status_;
    return frames_[request];
  }
  absl::Status WaitForClose() {
    absl::MutexLock lock(&mu_);
    EXPECT_TRUE(mu_.AwaitWithTimeout(absl::Condition(&closed_), kPatience));
    return status_;
  }

  void OnFrame(ServerFrame&& frame, size_t) override {
    absl::MutexLock lock(&mu_);
    mu_.Await(absl::Condition(&reads_));
    frames_[frame.request_id].push_back(std::move(frame));
  }
  void OnClosed(const absl::Status& status) override {
    absl::MutexLock lock(&mu_);
    closed_ = true;
    status_ = status;
  }

 private:
  absl::Mutex mu_;
  std::map<uint64_t, std::vector<ServerFrame>> frames_ ABSL_GUARDED_BY(mu_);
  bool reads_ ABSL_GUARDED_BY(mu_) = true;
  bool closed_ ABSL_GUARDED_BY(mu_) = false;
  absl::Status status_ ABSL_GUARDED_BY(mu_);
  CompletionLoop loop_{CompletionLoop::Options()};  // its own: OnFrame may wait
  SessionClient client_;
};

class ShardServerSessionTest : public testing::Test {
 protected:
  void SetUp() override {
    ShardServer::Options options;
    options.shard.epoch = 1;
    options.shard.job_token = "token";
    options.shard.gradient_shards = 2;
    options.shard.schedule.base_rate = 1;
    Serve(options, *MakeLayout({{"w", {kElements}, {}}}, kSliceBytes, 1, 1));
  }
  void Serve(const ShardServer::Options& options, const Layout& layout) {
    server_ = *ShardServer::Create(options, &outlet_);
    host_.AddShard(0, server_.get());
    ServerHost::Options serving;
    serving.has_token = true;
    serving.queued = {host_.queued()};
    listener_ = *ServerHost::Start(serving);
    ASSERT_TRUE(server_->Start().ok());
    ASSERT_TRUE(server_->Install(layout).ok());
    while (!server_->serving()) std::this_thread::yield();
  }
  void TearDown() override {
    listener_->Shutdown(absl::ZeroDuration());
    server_->Stop();
  }

  static HelloFrame HelloOf(uint64_t worker) {
    HelloFrame hello;
    hello.job_id = std::string(16, '\0');
    hello.job_token = "token";
    hello.role = SessionRole::kWorker;
    hello.worker_id = worker;
    return hello;
  }
  static PushFrame PushOf(uint64_t worker, uint64_t step, uint64_t slice, float value) {
    const auto gradient = std::make_shared<std::vector<float>>(kSliceBytes / 4, value);
    PushFrame push;
    push.is_push_pull = true;
    push.tensor_id = 1;
    push.worker_id = worker;
    push.sequence = step + 1;
    push.base_version = push.step = step;
    push.offset = slice * (kSliceBytes / 4);
    push.count = kSliceBytes / 4;
    push.first_part = static_cast<uint32_t>(worker);
    push.parts = 1;
    push.examples = 1;
    push.gradient.Append(reinterpret_cast<const char*>(gradient->data()), kSliceBytes, gradient);
    return push;
  }

  SessionHost host_;
  HostOutlet outlet_{&host_};
  std::unique_ptr<ShardServer> server_;
  std::unique_ptr<ServerHost> listener_;
};

TEST_F(ShardServerSessionTest, TwoWorkersTrainThroughRealSessions) {
  constexpr uint64_t kSlices = kElements * 4 / kSliceBytes;
  std::vector<std::thread> workers;
  for (uint64_t worker = 0; worker < 2; ++worker) {
    workers.emplace_back([this, worker] {
      Client client(listener_->address());
      client.Send(1, 0, HelloOf(worker));
      client.Wait(1, 1);
      for (uint64_t step = 0; step < 10; ++step) {
        for (uint64_t slice = 0; slice < kSlices; ++slice) {
          client.Send(2 + step * kSlices + slice, 1, PushOf(worker, step, slice, 1.0f));
        }
        for (uint64_t slice = 0; slice < kSlices; ++slice) {
          const std::vector<ServerFrame> answers = client.Wait(2 + step * kSlices + slice, 1);
          ASSERT_EQ(answers.size(), 1u);
          const auto& reply = std::get<PushReplyFrame>(answers[0].kind);
          EXPECT_EQ(reply.outcome, Outcome::kApplied) << reply.reason;
          std::vector<float> values(kSliceBytes / 4);
          ASSERT_EQ(reply.tensor_data.size(), kSliceBytes);
          reply.tensor_data.CopyTo(reinterpret_cast<char*>(values.data()));
          EXPECT_EQ(values, std::vector<float>(kSliceBytes / 4, -static_cast<float>(step + 1)));
        }
      }
    });
  }
  for (std::thread& worker : workers) worker.join();
  EXPECT_EQ(server_->totals().applied, 2 * 10 * kSlices);
}

TEST_F(ShardServerSessionTest, AWrongTokenClosesTheSessionWithASentence) {
  Client client(listener_->address());
  HelloFrame hello = HelloOf(0);
  hello.job_token = "wrong";
  client.Send(1, 0, hello);
  const absl::Status status = client.WaitForClose();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnauthenticated);
  EXPECT_NE(std::string(status.message()).find("job token"), std::string::npos);
}

// One tensor of many small slices, asynchronous: nothing but the sessions bounds what is in flight.
class ManySlicesTest : public ShardServerSessionTest {
 protected:
  static constexpr uint64_t kSlices = 20000;

  void SetUp() override {
    ShardServer::Options options;
    options.shard.epoch = 1;
    options.shard.job_token = "token";
    options.shard.mode = ConsistencyMode::kAsp;
    Serve(options, *MakeLayout({{"w", {16 * kSlices}, {}}}, 64, 1, 1));
  }
  // Of all slices, those whose version is not 0.
  static PullFrame PullAll() {
    PullFrame pull;
    pull.tensor_id = 1;
    pull.condition = PullCondition::kHave;
    return pull;
  }
};

TEST_F(ManySlicesTest, ASyncOfMoreSlicesThanAnyDefaultBoundIsAnswered) {
  Client client(listener_->address());
  client.Send(1, 0, HelloOf(0));
  client.Wait(1, 1);
  for (uint64_t request = 2; request < 5; ++request) {
    client.Send(request, 1, SyncFrame());
    const std::vector<ServerFrame> answers = client.Wait(request, kSlices);
    ASSERT_EQ(answers.size(), kSlices);
    EXPECT_EQ(std::get<PullReplyFrame>(answers.back().kind).remaining, 0u);
  }
}

TEST_F(ManySlicesTest, WhoDoesNotReadIsStillSentAWholeSync) {
  Client client(listener_->address());
  client.Send(1, 0, HelloOf(0));
  client.Wait(1, 1);
  client.Read(false);
  client.Send(2, 1, SyncFrame());
  while (host_.statistics().queued_frames == 0) std::this_thread::yield();
  server_->totals();  // the shard has answered: all that is not on its way is queued
  client.Read(true);
  EXPECT_EQ(client.Wait(2, kSlices).size(), kSlices);
}

TEST_F(ManySlicesTest, AFloodOfConditionalPullsWithoutReadingIsClosedWithASentence) {
  Client client(listener_->address());
  client.Send(1, 0, HelloOf(0));
  client.Wait(1, 1);
  client.Read(false);
  uint64_t most = 0;
  for (uint64_t request = 2; request < 100; ++request) {
    client.TrySend(request, 1, PullAll()).IgnoreError();
    server_->totals();  // the shard has seen it
    most = std::max(most, host_.statistics().queued_frames);
  }
  EXPECT_LE(most, 3 * kSlices);
  client.Read(true);
  const absl::Status status = client.WaitForClose();
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  // Which of the two bounds it meets first depends on how much the transport had taken.
  EXPECT_THAT(status.message(), testing::AnyOf(testing::HasSubstr("request"),
                                               testing::HasSubstr("answers wait to be read")));
}

}  // namespace
}  // namespace weir
