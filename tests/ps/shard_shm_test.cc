// SPDX-License-Identifier: Apache-2.0
// A shard behind real sessions in shared memory: nothing of a client's memory is held across a
// wait.
#include <grpcpp/channel.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <limits>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "core/buffer.h"
#include "net/channel.h"
#include "net/completion_loop.h"
#include "net/server_host.h"
#include "net/session_client.h"
#include "net/session_host.h"
#include "net/shm_host.h"
#include "net/shm_runtime.h"
#include "net/socket_directory.h"
#include "ps/host_outlet.h"
#include "ps/shard_server.h"
#include "tests/net/session_recorder.h"

namespace weir {
namespace {

constexpr uint64_t kElements = 65536;  // one slice
constexpr uint64_t kBytes = 4 * kElements;

// Looks at what comes before the shard does.
class Peek final : public SessionHandler {
 public:
  explicit Peek(SessionHandler* shard) : shard_(shard) {}

  // Tells of the pushes to come whether they are read where their gradient lies, which is `block`.
  void Await(Buffer block) {
    absl::MutexLock lock(&mu_);
    block_ = std::move(block);
  }
  bool was_lent() {
    absl::MutexLock lock(&mu_);
    return was_lent_;
  }

  void OnOpen(SessionId id, const std::string& peer) override { shard_->OnOpen(id, peer); }
  void OnFrame(SessionId id, ClientFrame&& frame, size_t bytes) override {
    if (const auto* push = std::get_if<PushFrame>(&frame.kind)) Look(push->gradient);
    shard_->OnFrame(id, std::move(frame), bytes);
  }
  void OnSent(SessionId id, uint64_t payload_bytes) override { shard_->OnSent(id, payload_bytes); }
  void OnClosed(SessionId id) override { shard_->OnClosed(id); }

 private:
  void Look(const Payload& gradient) {
    absl::MutexLock lock(&mu_);
    char* const first = block_.data();
    const char before = *first;
    *first = static_cast<char>(before ^ 1);
    was_lent_ = *gradient.chunks()[0].data == *first;
    *first = before;
  }

  SessionHandler* const shard_;
  absl::Mutex mu_;
  Buffer block_ ABSL_GUARDED_BY(mu_);
  bool was_lent_ ABSL_GUARDED_BY(mu_) = false;
};

// Synchronous, four parts a step, SGD with rate 1 on zeros.
class ShardShmTest : public ::testing::Test {
 protected:
  struct Client {
    Recorder recorder;
    std::unique_ptr<SessionClient> session;
    uint64_t requests = 0;
  };

  void SetUp() override {
    loop_.Start();
    ShmHost::Options door;
    door.link.arena = served_->arena();
    door_ = *ShmHost::Open(sockets_->PathOf("shm"), served_->poller(), std::move(door));
    SessionHost::Options sessions;
    sessions.shm = door_.get();
    host_ = std::make_unique<SessionHost>(sessions);
    outlet_ = std::make_unique<HostOutlet>(host_.get());
    ShardServer::Options options;
    options.shard.epoch = 1;
    options.shard.gradient_shards = 4;
    options.shard.schedule.base_rate = 1;
    options.arena = served_->arena();
    shard_ = *ShardServer::Create(options, outlet_.get());
    peek_ = std::make_unique<Peek>(shard_.get());
    host_->AddShard(0, peek_.get());
    ServerHost::Options server;
    server.queued = {host_->queued()};
    server.sockets = sockets_.get();
    server_ = *ServerHost::Start(server);
    ASSERT_TRUE(shard_->Start().ok());
    ASSERT_TRUE(shard_->Install(*MakeLayout({{"w", {kElements}, {}}}, kBytes, 1, 1)).ok());
    while (!shard_->serving()) std::this_thread::yield();
    for (uint64_t worker = 0; worker < 2; ++worker) Connect(worker);
  }
  void TearDown() override {
    for (Client& client : clients_) client.session->Close();
    server_->Shutdown(absl::ZeroDuration());
    shard_->Stop();
    door_.reset();
    served_.reset();
  }

  void Connect(uint64_t worker) {
    SessionClient::Options options;
    options.shm = runtime_->poller();
    options.arena = runtime_->arena();
    Client& client = clients_[worker];
    client.session =
        std::make_unique<SessionClient>(MakeChannel(absl::StrCat("unix:", server_->socket_path())),
                                        &loop_, &client.recorder, options);
    HelloFrame hello;
    hello.job_id = std::string(16, '\0');
    hello.role = SessionRole::kWorker;
    hello.worker_id = worker;
    Send(worker, hello);
    client.recorder.Take(1);
    std::string why;
    ASSERT_EQ(client.session->way(&why), SessionClient::Way::kShm) << why;
  }

  void Send(uint64_t worker, decltype(ClientFrame::kind) kind) {
    ClientFrame frame;
    frame.request_id = ++clients_[worker].requests;
    frame.epoch = 1;
    frame.kind = std::move(kind);
    ASSERT_TRUE(clients_[worker].session->Send(std::move(frame)).ok());
  }
  Buffer Filled(float value) {
    const Buffer block = gradients_.Allocate(kBytes);
    std::fill_n(block.floats(), kElements, value);
    return block;
  }
  // Pushes a part of a step. What is returned is gone when nobody on the way reads the block.
  std::weak_ptr<const Buffer> Push(uint64_t worker, uint64_t step, uint32_t part,
                                   const Buffer& block) {
    return PushAs(++sequence_, worker, step, part, block);
  }
  std::weak_ptr<const Buffer> PushAs(uint64_t sequence, uint64_t worker, uint64_t step,
                                     uint32_t part, const Buffer& block) {
    const auto held = std::make_shared<const Buffer>(block);
    PushFrame push;
    push.is_push_pull = true;
    push.tensor_id = 1;
    push.worker_id = worker;
    push.sequence = sequence;
    push.base_version = push.step = step;
    push.count = kElements;
    push.first_part = part;
    push.parts = 1;
    push.examples = 1;
    push.gradient.Append(block.data(), kBytes, held);
    peek_->Await(block);
    Send(worker, std::move(push));
    return held;
  }
  // Waits until the answer to a pull is there; returns what had come before it.
  std::vector<PushReplyFrame> Pull(uint64_t worker) {
    PullFrame pull;
    pull.tensor_id = 1;
    pull.condition = PullCondition::kHave;
    Send(worker, pull);
    std::vector<PushReplyFrame> before;
    for (bool pulled = false; !pulled;) {
      const std::vector<ServerFrame> frames = clients_[worker].recorder.Take(1);
      if (frames.empty()) return before;
      for (const ServerFrame& frame : frames) {
        pulled |= std::holds_alternative<PullReplyFrame>(frame.kind);
        if (auto* push = std::get_if<PushReplyFrame>(&frame.kind)) before.push_back(*push);
      }
    }
    return before;
  }
  // What two pushes have come to: both bring the same values.
  std::vector<float> Values(uint64_t worker) {
    std::vector<float> values(kElements);
    for (int answers = 0; answers < 2;) {
      for (const ServerFrame& frame : clients_[worker].recorder.Take(1)) {
        const auto& reply = std::get<PushReplyFrame>(frame.kind);
        EXPECT_EQ(reply.outcome, Outcome::kApplied) << reply.reason;
        reply.tensor_data.CopyTo(reinterpret_cast<char*>(values.data()));
        ++answers;
      }
    }
    return values;
  }
  // Steps until the server reads the gradients where they lie; returns how many that took.
  uint64_t StepUntilLent() {
    for (uint64_t step = 0; step < 1000; ++step) {
      for (uint32_t part = 0; part < 4; ++part) Push(part / 2, step, part, Filled(0));
      Values(0);
      Values(1);
      if (peek_->was_lent()) return step + 1;
    }
    ADD_FAILURE() << "every gradient was copied on its way";
    return 1000;
  }

  CompletionLoop loop_{CompletionLoop::Options()};  // of the clients
  std::unique_ptr<ShmRuntime> runtime_ = *ShmRuntime::Start({});
  BufferPool gradients_{BufferPool::kNoLimit, runtime_->arena()};
  std::unique_ptr<SocketDirectory> sockets_ = *SocketDirectory::Make({"/tmp"});
  std::unique_ptr<ShmRuntime> served_ = *ShmRuntime::Start({});
  std::unique_ptr<ShmHost> door_;
  std::unique_ptr<SessionHost> host_;
  std::unique_ptr<HostOutlet> outlet_;
  std::unique_ptr<ShardServer> shard_;
  std::unique_ptr<Peek> peek_;
  std::unique_ptr<ServerHost> server_;
  Client clients_[2];
  uint64_t sequence_ = 0;
};

TEST_F(ShardShmTest, APartThatWaitsForOthersHoldsNothingOfItsClientsMemory) {
  const uint64_t step = StepUntilLent();
  const Buffer blocks[] = {Filled(1), Filled(2)};
  for (uint32_t part = 0; part < 2; ++part) {  // the first is copied, the second added to it
    const std::weak_ptr<const Buffer> read = Push(0, step, part, blocks[part]);
    Pull(0);
    EXPECT_TRUE(peek_->was_lent());
    while (!read.expired()) Pull(0);
    // The client's again, before the step is committed.
    std::fill_n(blocks[part].floats(), kElements, -1000.0f);
  }
  EXPECT_EQ(shard_->status().step, step);
  Push(1, step, 2, Filled(3));
  Push(1, step, 3, Filled(6));
  EXPECT_EQ(Values(0), std::vector<float>(kElements, -3.0f));
  EXPECT_EQ(Values(1), std::vector<float>(kElements, -3.0f));
}

TEST_F(ShardShmTest, APartThatIsSentAgainWhileItWaitsIsLetGoOfAtOnce) {
  const uint64_t step = StepUntilLent();
  const Buffer block = Filled(4);
  PushAs(++sequence_, 0, step, 0, block);
  const std::weak_ptr<const Buffer> again = PushAs(sequence_, 0, step, 0, block);
  clients_[0].recorder.Take(1);  // the first request: the second one will be answered
  while (!again.expired()) Pull(0);
  for (uint32_t part = 1; part < 4; ++part) Push(1, step, part, Filled(4));
  while (shard_->status().step == step) std::this_thread::yield();
  EXPECT_EQ(shard_->totals().applied, 4 * (step + 1));
}

TEST_F(ShardShmTest, AGradientThatChangesWhileItIsReadSpoilsNoWeights) {
  uint64_t step = StepUntilLent();
  const Buffer spoilt = Filled(1);
  std::atomic<bool> done{false};
  std::thread spoiler([&] {  // one of the floats is poison, each time another
    volatile float* const floats = spoilt.floats();
    for (uint64_t n = 0, last = 1; !done; ++n) {
      floats[last] = 1;
      last = 1 + n * 7919 % (kElements - 1);
      floats[last] = std::numeric_limits<float>::quiet_NaN();
    }
  });
  const auto stop = absl::MakeCleanup([&] {
    done = true;
    spoiler.join();
  });
  uint64_t refused = 0;
  for (const uint64_t end = step + 100; step < end; ++step) {
    for (uint32_t part = 0; part < 3; ++part) Push(1, step, part, Filled(1));
    Pull(1);
    Push(0, step, 3, spoilt);  // the last part: it commits, or is refused
    std::vector<float> weights;
    while (weights.empty()) {
      const std::vector<ServerFrame> frames = clients_[0].recorder.Take(1);
      ASSERT_EQ(frames.size(), 1u);
      const auto& reply = std::get<PushReplyFrame>(frames[0].kind);
      if (reply.outcome == Outcome::kApplied) {
        weights.resize(kElements);
        reply.tensor_data.CopyTo(reinterpret_cast<char*>(weights.data()));
      } else {
        ASSERT_EQ(reply.outcome, Outcome::kInvalid) << reply.reason;
        ++refused;
        Push(0, step, 3, Filled(1));
      }
    }
    for (const float weight : weights) ASSERT_TRUE(std::isfinite(weight)) << step;
  }
  RecordProperty("refused", static_cast<int>(refused));
  EXPECT_EQ(shard_->totals().invalid, refused);
}

}  // namespace
}  // namespace weir
