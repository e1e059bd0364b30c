// SPDX-License-Identifier: Apache-2.0
// What a shard may pile up in a worker that is busy.
#include "worker/data_loop.h"

#include <gtest/gtest.h>

#include <memory>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "net/server_host.h"
#include "net/session_host.h"

namespace weir {
namespace {

constexpr absl::Duration kPatience = absl::Seconds(30);
constexpr size_t kElements = 1 << 18;  // of the only slice: 1 MiB

Layout OneSlice(const std::string& address) {
  Layout layout;
  layout.epoch = 1;
  layout.tensors = {{"w", {kElements}, {}}};
  layout.slices = {{1, 0, kElements, 0}};
  layout.shard_addresses = {{address, "", ""}};
  return layout;
}

// Shard 0 of OneSlice: answers hello, bind and pulls.
class OneShard : public SessionHandler {
 public:
  OneShard() {
    host_.AddShard(0, this);
    ServerHost::Options options;
    options.queued = {host_.queued()};
    server_ = ServerHost::Start(options).value();
  }
  ~OneShard() override { server_->Shutdown(absl::ZeroDuration()); }

  const std::string& address() const { return server_->address(); }

  // Sends weights that nobody has asked for; returns when the transport has taken all of them.
  void Flood(int frames) {
    SessionId id = 0;
    int before = 0;
    {
      absl::MutexLock lock(&mu_);
      id = session_;
      before = sent_;
    }
    for (int i = 0; i < frames; ++i) Send(id, 0, Weights());
    EXPECT_TRUE(Await([=] { return sent_ >= before + frames; }));
  }
  bool AwaitBound(int sessions) {
    return Await([=] { return bound_ >= sessions; });
  }

  void OnOpen(SessionId id, const std::string&) override {
    absl::MutexLock lock(&mu_);
    session_ = id;
  }
  void OnFrame(SessionId id, ClientFrame&& frame, size_t) override {
    if (std::holds_alternative<HelloFrame>(frame.kind)) {
      HelloReplyFrame hello;
      hello.protocol = kProtocol;
      hello.mode = 1;
      hello.gradient_shards = 1;
      hello.max_requests = 100;
      hello.max_push_bytes = hello.max_reply_bytes = 8 << 20;
      hello.max_frame_bytes = 4 << 20;
      hello.max_wait_ms = 60000;
      Send(id, frame.request_id, hello);
    } else if (std::holds_alternative<BindFrame>(frame.kind)) {
      BindReplyFrame bound;
      bound.bindings = {{"w", 1, {kElements}}};
      bound.slices = {{1, 0, kElements, 0}};
      Send(id, frame.request_id, bound);
      absl::MutexLock lock(&mu_);
      ++bound_;
    } else {
      Send(id, frame.request_id, Weights());
    }
  }
  void OnSent(SessionId, uint64_t) override {
    absl::MutexLock lock(&mu_);
    ++sent_;
  }
  void OnClosed(SessionId) override {}

 private:
  template <typename Condition>
  bool Await(Condition condition) ABSL_NO_THREAD_SAFETY_ANALYSIS {
    absl::MutexLock lock(&mu_);
    return mu_.AwaitWithTimeout(absl::Condition(&condition), kPatience);
  }
  PullReplyFrame Weights() const {
    PullReplyFrame reply;
    reply.tensor_id = 1;
    reply.count = kElements;
    reply.tensor_data.Append(weights_->data(), weights_->size(), weights_);
    return reply;
  }
  template <typename Kind>
  void Send(SessionId id, uint64_t request, Kind kind) {
    ServerFrame frame;
    frame.request_id = request;
    frame.epoch = 1;
    frame.kind = std::move(kind);
    host_.Send(id, std::move(frame));
  }

  const std::shared_ptr<std::string> weights_ =
      std::make_shared<std::string>(kElements * sizeof(float), '\0');
  SessionHost host_;
  std::unique_ptr<ServerHost> server_;
  absl::Mutex mu_;
  SessionId session_ = 0;  // this and below under mu_
  int bound_ = 0;
  int sent_ = 0;
};

class DataLoopTest : public testing::Test {
 protected:
  // A loop that lets `max_bytes` wait, connected to the shard.
  void Start(uint64_t max_bytes) {
    DataLoop::Options options;
    options.client.job_id = std::string(16, 'j');
    options.client.incarnation = 1;
    options.max_waiting_bytes = max_bytes;
    options.fetch_layout = [](uint64_t) {};
    options.log = [this](LogLevel, const std::string& text) {
      absl::MutexLock lock(&mu_);
      log_.push_back(text);
    };
    loop_ = std::make_unique<DataLoop>(std::move(options));
    loop_->SetLayout(OneSlice(shard_.address()));
    ASSERT_TRUE(shard_.AwaitBound(1));
  }

  Status Pull() {
    std::vector<float> weights(kElements);
    Status status;
    absl::Notification done;
    loop_->Call(
        [&](Client& client, uint64_t call, absl::Time now, ClientEffects* effects) {
          client.Pull(call, {{0, {weights.data(), ElementType::kFloat32, kElements}}}, {}, now,
                      effects);
        },
        [&](CompleteEffect& end) {
          status = end.status;
          done.Notify();
        });
    done.WaitForNotification();  // the call has a deadline
    return status;
  }

  bool Logged(const std::string& words) {
    absl::MutexLock lock(&mu_);
    for (const std::string& line : log_) {
      if (absl::StrContains(line, words)) return true;
    }
    return false;
  }

  absl::Mutex mu_;
  std::vector<std::string> log_ ABSL_GUARDED_BY(mu_);
  OneShard shard_;
  std::unique_ptr<DataLoop> loop_;  // first to end
};

TEST_F(DataLoopTest, AShardThatFloodsABusyWorkerIsDroppedWithASentence) {
  Start(/*max_bytes=*/4 << 20);
  ASSERT_TRUE(Pull().ok());
  absl::Notification busy, go_on;
  // Whoever calls handles its call, unless the loop's thread has the turn: that one must go on.
  std::thread caller([&] {
    const std::thread::id self = std::this_thread::get_id();
    while (!busy.HasBeenNotified()) {
      loop_->Call(
          [&, self](Client&, uint64_t, absl::Time, ClientEffects*) {
            if (std::this_thread::get_id() != self || busy.HasBeenNotified()) return;
            busy.Notify();
            go_on.WaitForNotification();
          },
          [](CompleteEffect&) {});
    }
  });
  busy.WaitForNotification();
  shard_.Flood(64);  // of which the sockets hold a part
  go_on.Notify();
  caller.join();
  EXPECT_TRUE(shard_.AwaitBound(2)) << "the worker did not come back on a new connection";
  EXPECT_TRUE(Logged("more than 4194304 bytes or 262144 events wait for the worker's thread"));
  EXPECT_TRUE(Pull().ok());
}

// The lease's thread does all of these.
TEST_F(DataLoopTest, WhoLogsOrAsksWhomItWaitsForIsNotKeptByTheLog) {
  absl::Mutex mu;
  std::set<std::thread::id> loggers;
  DataLoop::Options options;
  options.client.job_id = std::string(16, 'j');
  options.fetch_layout = [](uint64_t) {};
  options.log = [&](LogLevel, const std::string&) {
    absl::MutexLock lock(&mu);
    loggers.insert(std::this_thread::get_id());
  };
  DataLoop loop(std::move(options));
  loop.Log(LogLevel::kInfo, "news");
  loop.WaitsFor();
  loop.SetLayout(OneSlice(shard_.address()));
  loop.Stop(Status(StatusCode::kCancelled, "the job is stopping"));
  loop.Close();
  absl::MutexLock lock(&mu);
  EXPECT_EQ(loggers.size(), 1u);
  EXPECT_EQ(loggers.count(std::this_thread::get_id()), 0u);
}

TEST_F(DataLoopTest, BytesThatTheWorkerHasTakenNoLongerCount) {
  Start(/*max_bytes=*/4 << 20);
  for (int i = 0; i < 16; ++i) ASSERT_TRUE(Pull().ok());
  EXPECT_FALSE(Logged("ended"));
}

}  // namespace
}  // namespace weir
