// SPDX-License-Identifier: Apache-2.0
//
// Sessions over a Unix socket that move to shared memory, both ends in this process.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"
#include "core/buffer.h"
#include "net/channel.h"
#include "net/completion_loop.h"
#include "net/server_host.h"
#include "net/session_client.h"
#include "net/session_host.h"
#include "net/shm_host.h"
#include "net/shm_runtime.h"
#include "net/socket_directory.h"
#include "tests/net/session_recorder.h"
#include "tests/net/shm_ends.h"

namespace weir {
namespace {

using testing::Descriptors;
using ::testing::HasSubstr;
using testing::MappedSegments;

constexpr absl::Duration kPatience = absl::Seconds(30);
constexpr size_t kMiB = size_t{1} << 20;

ClientFrame Hello(uint64_t features = 0) {
  ClientFrame frame;
  frame.request_id = 1;
  HelloFrame hello;
  hello.role = SessionRole::kWorker;
  hello.features = features;
  frame.kind = hello;
  return frame;
}

ClientFrame PushOf(uint64_t sequence, Payload gradient = {}) {
  ClientFrame frame;
  frame.request_id = sequence + 1;
  PushFrame push;
  push.sequence = sequence;
  push.gradient = std::move(gradient);
  frame.kind = std::move(push);
  return frame;
}

// Asks for `bytes` bytes.
ClientFrame SyncOf(uint64_t id, uint64_t bytes) {
  ClientFrame frame;
  frame.request_id = id;
  SyncFrame sync;
  sync.step = bytes;
  frame.kind = sync;
  return frame;
}

ClientFrame BindOf(uint64_t id, size_t names) {
  ClientFrame frame;
  frame.request_id = id;
  BindFrame bind;
  for (size_t i = 0; i < names; ++i) bind.layer_names.push_back(absl::StrCat("layer/", i));
  frame.kind = std::move(bind);
  return frame;
}

std::string Pattern(size_t size, uint64_t seed) {
  std::string text(size, '\0');
  for (size_t i = 0; i < size; ++i) text[i] = static_cast<char>(i * 31 + seed);
  return text;
}

Payload OnHeap(const std::string& text) {
  auto owner = std::make_shared<std::string>(text);
  Payload payload;
  payload.Append(owner->data(), owner->size(), owner);
  return payload;
}

Payload InPool(BufferPool* pool, const std::string& text) {
  const Buffer block = pool->Allocate(text.size());
  std::memcpy(block.data(), text.data(), text.size());
  return Payload(block, 0, text.size());
}

std::string Text(const Payload& payload) {
  std::string text(payload.size(), '\0');
  payload.CopyTo(&text[0]);
  return text;
}

// For what happens without anybody being told.
template <typename Done>
bool Soon(Done done) {
  const absl::Time end = absl::Now() + kPatience;
  while (!done() && absl::Now() < end) std::this_thread::yield();
  return done();
}

// Answers a hello, a push with its gradient, a sync with as many bytes as it names, from `pool`,
// and a bind with its names.
class Shard final : public SessionHandler {
 public:
  Shard(SessionHost* host, BufferPool* pool) : host_(host), pool_(pool) {}

  // Called with every frame but a hello, instead of the answer above.
  std::function<void(SessionId, ClientFrame&&)> on_frame;
  // Called when the hello has been answered.
  std::function<void(SessionId)> greeted;

  void OnOpen(SessionId, const std::string&) override {}

  void OnFrame(SessionId id, ClientFrame&& frame, size_t) override {
    const bool is_hello = std::holds_alternative<HelloFrame>(frame.kind);
    if (on_frame && !is_hello) return on_frame(id, std::move(frame));
    Answer(id, std::move(frame));
    if (is_hello && greeted) greeted(id);
  }

  void Answer(SessionId id, ClientFrame&& frame) {
    ServerFrame answer;
    answer.request_id = frame.request_id;
    if (std::holds_alternative<HelloFrame>(frame.kind)) answer.kind = HelloReplyFrame();
    if (auto* push = std::get_if<PushFrame>(&frame.kind)) {
      PushReplyFrame reply;
      reply.sequence = push->sequence;
      reply.tensor_data = std::move(push->gradient);
      answer.kind = std::move(reply);
    }
    if (auto* sync = std::get_if<SyncFrame>(&frame.kind)) {
      PullReplyFrame reply;
      reply.tensor_data = InPool(pool_, Pattern(sync->step, frame.request_id));
      answer.kind = std::move(reply);
    }
    if (auto* bind = std::get_if<BindFrame>(&frame.kind)) {
      BindReplyFrame reply;
      for (const std::string& name : bind->layer_names) reply.bindings.push_back({name, 0, {1}});
      answer.kind = std::move(reply);
    }
    host_->Send(id, std::move(answer));
  }

  void OnSent(SessionId, uint64_t payload_bytes) override { sent_bytes += payload_bytes; }
  void OnClosed(SessionId) override {
    absl::MutexLock lock(&mu_);
    ++closed_;
  }

  bool AwaitClosed(int sessions) {
    absl::MutexLock lock(&mu_);
    const auto enough = [&]() ABSL_NO_THREAD_SAFETY_ANALYSIS { return closed_ >= sessions; };
    return mu_.AwaitWithTimeout(absl::Condition(&enough), kPatience);
  }

  std::atomic<uint64_t> sent_bytes{0};

 private:
  SessionHost* const host_;
  BufferPool* const pool_;
  absl::Mutex mu_;
  int closed_ ABSL_GUARDED_BY(mu_) = 0;
};

class SessionShmTest : public ::testing::Test {
 protected:
  SessionShmTest() {
    loop_.Start();
    Serve(ShmHost::Options());
  }
  ~SessionShmTest() override { Shutdown(); }

  void Shutdown() {
    if (server_) server_->Shutdown(absl::ZeroDuration());
    server_.reset();
    door_.reset();
    served_.reset();
    host_.reset();
  }

  // Starts a server, without shared memory when `shared` is false.
  void Serve(ShmHost::Options door, bool shared = true, SessionHost::Options sessions = {}) {
    Shutdown();
    sockets_ = *SocketDirectory::Make({"/tmp"});
    served_ = *ShmRuntime::Start({});
    door.link.arena = served_->arena();
    door_ = *ShmHost::Open(sockets_->PathOf("shm"), served_->poller(), std::move(door));
    pool_ = std::make_unique<BufferPool>(BufferPool::kNoLimit, served_->arena());
    sessions.shm = shared ? door_.get() : nullptr;
    host_ = std::make_unique<SessionHost>(sessions);
    shard_ = std::make_unique<Shard>(host_.get(), pool_.get());
    host_->AddShard(0, shard_.get());
    ServerHost::Options server;
    server.queued = {host_->queued()};
    server.sockets = sockets_.get();
    server_ = *ServerHost::Start(server);
  }

  std::shared_ptr<grpc::Channel> Channel() {
    return MakeChannel(absl::StrCat("unix:", server_->socket_path()));
  }
  SessionClient::Options WithShm() {
    SessionClient::Options options;
    options.shm = runtime_->poller();
    options.arena = runtime_->arena();
    return options;
  }
  std::unique_ptr<SessionClient> Connect(SessionClientHandler* handler) {
    return std::make_unique<SessionClient>(Channel(), &loop_, handler, WithShm());
  }
  // A session in shared memory, its hello answered.
  std::unique_ptr<SessionClient> Move(Recorder* recorder) {
    auto client = Connect(recorder);
    EXPECT_TRUE(client->Send(Hello()).ok());
    recorder->Take(1);
    EXPECT_EQ(WayOf(*client), SessionClient::Way::kShm);
    return client;
  }
  SessionClient::Way WayOf(const SessionClient& client) { return client.way(&why_); }

  void ExpectEcho(SessionClient* client, Recorder* recorder, const std::string& text = "hi") {
    ASSERT_TRUE(client->Send(PushOf(7, OnHeap(text))).ok());
    const auto frames = recorder->Take(1);
    ASSERT_EQ(frames.size(), 1u);
    EXPECT_EQ(Text(std::get<PushReplyFrame>(frames[0].kind).tensor_data), text);
  }

  // Ticks with hours that pass at once, until the session has ended.
  absl::Status TickUntilClosed(Recorder* recorder) {
    for (int hour = 0; hour < 3000; ++hour) {
      host_->Tick(absl::UnixEpoch() + absl::Hours(hour));
      const absl::Status status = recorder->AwaitClosed(absl::Milliseconds(10));
      if (!status.ok()) return status;
    }
    return absl::OkStatus();
  }

  std::string why_;
  CompletionLoop loop_{CompletionLoop::Options()};  // of the clients
  std::unique_ptr<ShmRuntime> runtime_ = *ShmRuntime::Start({});
  BufferPool gradients_{BufferPool::kNoLimit, runtime_->arena()};
  std::unique_ptr<SocketDirectory> sockets_;
  std::unique_ptr<ShmRuntime> served_;
  std::unique_ptr<ShmHost> door_;
  std::unique_ptr<BufferPool> pool_;
  std::unique_ptr<SessionHost> host_;
  std::unique_ptr<Shard> shard_;
  std::unique_ptr<ServerHost> server_;
};

TEST_F(SessionShmTest, FramesOfEveryKindAndSizeArriveInOrderBothWays) {
  Recorder recorder;
  const auto client = Connect(&recorder);
  ASSERT_TRUE(client->Send(Hello()).ok());
  constexpr size_t kSizes[] = {0, 1, 4095, 4096, 4097, 70000, kMiB, 3 * kMiB};
  std::vector<std::function<ClientFrame()>> asked;
  uint64_t id = 1;
  for (int round = 0; round < 3; ++round) {
    for (const size_t size : kSizes) {
      asked.push_back(
          [this, size, id] { return PushOf(id, InPool(&gradients_, Pattern(size, id))); });
      ++id;
      asked.push_back([size, id] { return PushOf(id, OnHeap(Pattern(size, id))); });
      ++id;
      asked.push_back([size, id] { return SyncOf(id + 1, size); });
      ++id;
      asked.push_back([size, id] { return BindOf(id + 1, size % 5000); });
      ++id;
    }
  }
  // At once, the first ones before the hello is answered.
  for (const auto& make : asked) ASSERT_TRUE(client->Send(make()).ok());
  std::vector<ServerFrame> frames;
  while (frames.size() < asked.size() + 1) {
    auto more = recorder.Take(1);
    ASSERT_FALSE(more.empty());
    for (ServerFrame& frame : more) {
      // Copies, to let go of what was lent.
      if (auto* push = std::get_if<PushReplyFrame>(&frame.kind))
        push->tensor_data = OnHeap(Text(push->tensor_data));
      if (auto* pull = std::get_if<PullReplyFrame>(&frame.kind))
        pull->tensor_data = OnHeap(Text(pull->tensor_data));
      frames.push_back(std::move(frame));
    }
  }
  EXPECT_EQ(WayOf(*client), SessionClient::Way::kShm);
  EXPECT_TRUE(std::holds_alternative<HelloReplyFrame>(frames[0].kind));
  for (size_t i = 1; i < frames.size(); ++i) {
    ASSERT_EQ(frames[i].request_id, i + 1);
    const size_t size = kSizes[(i - 1) / 4 % 8];
    if (const auto* push = std::get_if<PushReplyFrame>(&frames[i].kind)) {
      ASSERT_EQ(Text(push->tensor_data), Pattern(size, i)) << size;
    } else if (const auto* pull = std::get_if<PullReplyFrame>(&frames[i].kind)) {
      ASSERT_EQ(Text(pull->tensor_data), Pattern(size, i + 1)) << size;
    } else {
      ASSERT_EQ(std::get<BindReplyFrame>(frames[i].kind).bindings.size(), size % 5000);
    }
  }
}

TEST_F(SessionShmTest, TheServerReadsAGradientInSharedMemoryWhereItLies) {
  absl::Mutex mu;
  Payload held;
  shard_->on_frame = [&](SessionId, ClientFrame&& frame) {
    absl::MutexLock lock(&mu);
    held = std::get<PushFrame>(frame.kind).gradient;
  };
  Recorder recorder;
  const auto client = Move(&recorder);
  const Buffer block = gradients_.Allocate(kMiB);
  // The first ones are copied, until the server has mapped the segment.
  const absl::Time end = absl::Now() + kPatience;
  for (int round = 1; absl::Now() < end; ++round) {
    block.data()[0] = 'a';
    ASSERT_TRUE(client->Send(PushOf(round, Payload(block, 0, kMiB))).ok());
    absl::MutexLock lock(&mu);
    const auto is_here = [&] { return !held.empty(); };
    ASSERT_TRUE(mu.AwaitWithTimeout(absl::Condition(&is_here), kPatience));
    block.data()[0] = 'b';
    if (held.chunks()[0].data[0] == 'b') return;
    held = Payload();
  }
  FAIL() << "every gradient was copied";
}

TEST_F(SessionShmTest, AWorkerReadsValuesInSharedMemoryWhereTheyLie) {
  const Buffer block = pool_->Allocate(kMiB);
  shard_->on_frame = [&](SessionId id, ClientFrame&& frame) {
    ServerFrame answer;
    answer.request_id = frame.request_id;
    PullReplyFrame reply;
    reply.tensor_data = Payload(block, 0, kMiB);
    answer.kind = std::move(reply);
    host_->Send(id, std::move(answer));
  };
  Recorder recorder;
  const auto client = Move(&recorder);
  const absl::Time end = absl::Now() + kPatience;
  for (int round = 1; absl::Now() < end; ++round) {
    block.data()[0] = 'a';
    ASSERT_TRUE(client->Send(SyncOf(round + 1, 0)).ok());
    const auto frames = recorder.Take(1);
    ASSERT_EQ(frames.size(), 1u);
    block.data()[0] = 'b';
    if (std::get<PullReplyFrame>(frames[0].kind).tensor_data.chunks()[0].data[0] == 'b') return;
  }
  FAIL() << "all values were copied";
}

TEST_F(SessionShmTest, TheServersStatusComesAfterAllFramesBeforeIt) {
  shard_->on_frame = [&](SessionId id, ClientFrame&& frame) {
    const uint64_t last = 41;
    const bool is_last = frame.request_id == last;
    shard_->Answer(id, std::move(frame));
    if (is_last) host_->Close(id, absl::FailedPreconditionError("fenced"));
  };
  Recorder recorder;
  const auto client = Move(&recorder);
  for (uint64_t id = 2; id <= 41; ++id) ASSERT_TRUE(client->Send(SyncOf(id, kMiB)).ok());
  // 40 MiB, ten times what the link holds: the end waits until they have been taken.
  uint64_t next = 2;
  while (next <= 41) {
    auto frames = recorder.Take(1);
    ASSERT_FALSE(frames.empty());
    for (const ServerFrame& frame : frames) {
      ASSERT_EQ(frame.request_id, next);
      ASSERT_EQ(Text(std::get<PullReplyFrame>(frame.kind).tensor_data), Pattern(kMiB, next));
      ++next;
    }
  }
  const absl::Status status = recorder.AwaitClosed();
  EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
  EXPECT_EQ(WayOf(*client), SessionClient::Way::kShm);
}

TEST_F(SessionShmTest, AServerThatClosesRightAfterItsAnswerIsUnderstood) {
  shard_->greeted = [&](SessionId id) {
    host_->Close(id, absl::FailedPreconditionError("fenced"));
  };
  for (int round = 0; round < 50; ++round) {
    Recorder recorder;
    const auto client = Connect(&recorder);
    ASSERT_TRUE(client->Send(Hello()).ok());
    recorder.Take(1);
    const absl::Status status = recorder.AwaitClosed();
    ASSERT_TRUE(absl::IsFailedPrecondition(status)) << status;
  }
}

TEST_F(SessionShmTest, AClientMayBeDestroyedInAnyState) {
  for (int round = 0; round < 30; ++round) {
    for (int state = 0; state < 5; ++state) {
      Recorder recorder;
      auto client = Connect(&recorder);
      if (state > 0) {
        ASSERT_TRUE(client->Send(Hello()).ok());
      }
      if (state > 1) recorder.Take(1);
      if (state > 2) {
        for (uint64_t i = 1; i < 40; ++i)
          ASSERT_TRUE(client->Send(PushOf(i, InPool(&gradients_, Pattern(kMiB / 4, i)))).ok());
      }
      if (state > 3) recorder.Take(5);
      client.reset();
      EXPECT_TRUE(absl::IsCancelled(recorder.AwaitClosed()));
    }
  }
}

TEST_F(SessionShmTest, AClientMayBeDestroyedWithinOnClosed) {
  struct SelfEnding : SessionClientHandler {
    void OnFrame(ServerFrame&&, size_t) override {}
    void OnClosed(const absl::Status&) override {
      client.reset();
      closed.Notify();
    }
    std::unique_ptr<SessionClient> client;
    absl::Notification closed;
  };
  shard_->on_frame = [&](SessionId id, ClientFrame&&) {
    host_->Close(id, absl::AbortedError("enough"));
  };
  for (int round = 0; round < 30; ++round) {
    SelfEnding handler;
    handler.client = Connect(&handler);
    ASSERT_TRUE(handler.client->Send(Hello()).ok());
    // It may have gone when this returns.
    ASSERT_TRUE(handler.client->Send(PushOf(1)).ok());
    ASSERT_TRUE(handler.closed.WaitForNotificationWithTimeout(kPatience));
  }
}

TEST_F(SessionShmTest, AServerMayBeShutDownWhileLinksAreUp) {
  std::vector<Recorder> recorders(4);
  std::vector<std::unique_ptr<SessionClient>> clients;
  for (Recorder& recorder : recorders) {
    clients.push_back(Move(&recorder));
    for (uint64_t i = 1; i < 60; ++i)
      ASSERT_TRUE(clients.back()->Send(PushOf(i, OnHeap(Pattern(kMiB / 2, i)))).ok());
  }
  server_->Shutdown(absl::ZeroDuration());
  for (Recorder& recorder : recorders) {
    const absl::Status status = recorder.AwaitClosed();
    EXPECT_TRUE(absl::IsUnavailable(status)) << status;
  }
  EXPECT_TRUE(shard_->AwaitClosed(4));
}

TEST_F(SessionShmTest, AClientThatKeepsWhatItIsSentIsClosedByTheWriteTimeout) {
  shard_->on_frame = [&](SessionId id, ClientFrame&& frame) {
    for (int i = 0; i < 10; ++i) {
      ClientFrame copy = SyncOf(frame.request_id, kMiB);
      shard_->Answer(id, std::move(copy));
    }
  };
  Recorder recorder;
  const auto client = Move(&recorder);
  ASSERT_TRUE(client->Send(SyncOf(2, 0)).ok());
  const absl::Status status = TickUntilClosed(&recorder);
  EXPECT_TRUE(absl::IsResourceExhausted(status)) << status;
  EXPECT_TRUE(shard_->AwaitClosed(1));
}

TEST_F(SessionShmTest, WhatIsQueuedForAClientThatDoesNotReadIsBounded) {
  SessionHost::Options sessions;
  ShmHost::Options door;
  door.link.max_queued_bytes = 8 * kMiB;
  Serve(door, /*shared=*/true, sessions);
  shard_->on_frame = [&](SessionId id, ClientFrame&& frame) {
    for (int i = 0; i < 200; ++i) shard_->Answer(id, SyncOf(frame.request_id, kMiB));
  };
  struct Deaf : Recorder {
    void OnFrame(ServerFrame&& frame, size_t bytes) override {
      const bool hello = std::holds_alternative<HelloReplyFrame>(frame.kind);
      Recorder::OnFrame(std::move(frame), bytes);
      if (!hello) hear.WaitForNotification();
    }
    absl::Notification hear;
  } deaf;
  const auto client = Move(&deaf);
  ASSERT_TRUE(client->Send(SyncOf(2, 0)).ok());
  EXPECT_TRUE(shard_->AwaitClosed(1));  // nobody waits for the deaf
  EXPECT_LT(pool_->statistics().allocated, 40u);
  deaf.hear.Notify();
  const absl::Status status = deaf.AwaitClosed();
  EXPECT_TRUE(absl::IsResourceExhausted(status)) << status;
}

TEST_F(SessionShmTest, AClosedSessionWhoseClientKeepsWhatItWasSentEndsAllTheSame) {
  absl::Notification closing;
  shard_->on_frame = [&](SessionId id, ClientFrame&& frame) {
    shard_->Answer(id, std::move(frame));
    host_->Close(id, absl::FailedPreconditionError("fenced"));
    closing.Notify();
  };
  Recorder recorder;
  const auto client = Move(&recorder);
  ASSERT_TRUE(client->Send(SyncOf(2, kMiB)).ok());
  ASSERT_TRUE(closing.WaitForNotificationWithTimeout(kPatience));
  const absl::Status status = TickUntilClosed(&recorder);  // which holds the values
  EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
}

TEST_F(SessionShmTest, WhoIsInvitedAndDoesNotComeStaysOnItsSocket) {
  Recorder recorder;
  SessionClient client(Channel(), &loop_, &recorder);
  ASSERT_TRUE(client.Send(Hello(kFeatureShm)).ok());
  const auto reply = recorder.Take(1);
  EXPECT_FALSE(std::get<HelloReplyFrame>(reply.at(0).kind).shm_key.empty());
  ExpectEcho(&client, &recorder);
  client.Close();
  EXPECT_TRUE(shard_->AwaitClosed(1));
  EXPECT_EQ(door_->statistics().links, 0u);
}

TEST_F(SessionShmTest, WhoComesWithGarbageIsHungUpOnAndStaysOnItsSocket) {
  Recorder recorder;
  SessionClient client(Channel(), &loop_, &recorder);
  ASSERT_TRUE(client.Send(Hello(kFeatureShm)).ok());
  const auto frames = recorder.Take(1);
  const auto& reply = std::get<HelloReplyFrame>(frames.at(0).kind);
  for (const std::string& junk : {std::string("x"), std::string(64, 'x'), std::string(500, '\0')}) {
    const auto socket = ConnectHandover(reply.shm_socket);
    ASSERT_TRUE(socket.ok()) << socket.status();
    ASSERT_EQ(send(socket->get(), junk.data(), junk.size(), MSG_NOSIGNAL),
              static_cast<ssize_t>(junk.size()));
    pollfd hung_up{socket->get(), POLLIN, 0};
    ASSERT_EQ(poll(&hung_up, 1, static_cast<int>(absl::ToInt64Milliseconds(kPatience))), 1);
    char byte;
    EXPECT_LE(recv(socket->get(), &byte, 1, 0), 0);
  }
  ExpectEcho(&client, &recorder);
}

TEST_F(SessionShmTest, AFrameByTheSocketOfASessionThatHasMovedEndsIt) {
  Recorder recorder;
  SessionClient client(Channel(), &loop_, &recorder);
  ASSERT_TRUE(client.Send(Hello(kFeatureShm)).ok());
  const auto frames = recorder.Take(1);
  const auto& reply = std::get<HelloReplyFrame>(frames.at(0).kind);
  ShmKey key;
  ASSERT_EQ(reply.shm_key.size(), key.size());
  std::memcpy(key.data(), reply.shm_key.data(), key.size());
  const auto poller = *ShmPoller::Create({});
  testing::Recorder at_link;
  const auto link = *ShmLink::Offer(reply.shm_socket, key, {});
  poller->Add(link, &at_link);
  while (at_link.ups == 0) poller->PollOnce(absl::InfiniteDuration());
  // The server may still be about to move.
  EXPECT_TRUE(Soon([this] { return host_->statistics().workers_over_shm == 1; }));
  ASSERT_TRUE(client.Send(PushOf(1)).ok());
  const absl::Status status = recorder.AwaitClosed();
  EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
  while (at_link.closed.empty()) poller->PollOnce(absl::InfiniteDuration());
  EXPECT_TRUE(shard_->AwaitClosed(1));
}

TEST_F(SessionShmTest, WithoutMemoryTheSessionStaysOnItsSocketAndSaysWhy) {
  Recorder recorder;
  SessionClient::Options options = WithShm();
  options.available_bytes = [] { return uint64_t{1000}; };
  SessionClient client(Channel(), &loop_, &recorder, options);
  ASSERT_TRUE(client.Send(Hello()).ok());
  ASSERT_TRUE(client.Send(PushOf(1)).ok());
  recorder.Take(2);
  EXPECT_EQ(WayOf(client), SessionClient::Way::kNoMemory);
  EXPECT_THAT(why_, HasSubstr("no room for"));
  ExpectEcho(&client, &recorder, Pattern(3 * kMiB, 1));
  EXPECT_EQ(host_->statistics().workers_over_uds, 1u);
}

TEST_F(SessionShmTest, WhereTheServerDoesNotTakeTheOfferTheSessionStaysOnItsSocket) {
  ShmHost::Options door;
  door.link.max_frame_bytes = 8 * kMiB;  // for which the client's rings are too small
  Serve(door);
  Recorder recorder;
  const auto client = Connect(&recorder);
  ASSERT_TRUE(client->Send(Hello()).ok());
  for (uint64_t i = 1; i <= 100; ++i) ASSERT_TRUE(client->Send(PushOf(i)).ok());
  std::vector<ServerFrame> frames;
  while (frames.size() < 101) {
    auto more = recorder.Take(1);
    ASSERT_FALSE(more.empty());
    for (ServerFrame& frame : more) frames.push_back(std::move(frame));
  }
  for (size_t i = 0; i < frames.size(); ++i) EXPECT_EQ(frames[i].request_id, i + 1);
  EXPECT_EQ(WayOf(*client), SessionClient::Way::kNoMemory);
  EXPECT_THAT(why_, HasSubstr("gone"));
  EXPECT_EQ(host_->statistics().workers_over_uds, 1u);
}

TEST_F(SessionShmTest, WhoDoesNotAskStaysOnItsSocketAndSoDoAllOfAServerWithoutSharedMemory) {
  {
    Recorder recorder;
    SessionClient client(Channel(), &loop_, &recorder);
    ASSERT_TRUE(client.Send(Hello()).ok());
    EXPECT_TRUE(std::get<HelloReplyFrame>(recorder.Take(1).at(0).kind).shm_key.empty());
    ExpectEcho(&client, &recorder);
    EXPECT_EQ(WayOf(client), SessionClient::Way::kStream);
  }
  Serve({}, /*shared=*/false);
  Recorder recorder;
  const auto client = Connect(&recorder);
  ASSERT_TRUE(client->Send(Hello()).ok());
  recorder.Take(1);
  ExpectEcho(client.get(), &recorder);
  EXPECT_EQ(WayOf(*client), SessionClient::Way::kStream);
}

TEST_F(SessionShmTest, TheHostCountsWorkersByTheWayTheyTravel) {
  Recorder recorders[3];
  SessionClient tcp(MakeChannel(server_->address()), &loop_, &recorders[0], WithShm());
  SessionClient uds(Channel(), &loop_, &recorders[1]);
  ASSERT_TRUE(tcp.Send(Hello()).ok());
  ASSERT_TRUE(uds.Send(Hello()).ok());
  recorders[0].Take(1);
  recorders[1].Take(1);
  EXPECT_EQ(WayOf(tcp), SessionClient::Way::kStream);  // a server invites nobody by TCP
  const auto shm = Move(&recorders[2]);
  ExpectEcho(shm.get(), &recorders[2]);
  const SessionHost::Statistics statistics = host_->statistics();
  EXPECT_EQ(statistics.workers_over_tcp, 1u);
  EXPECT_EQ(statistics.workers_over_uds, 1u);
  EXPECT_EQ(statistics.workers_over_shm, 1u);
  EXPECT_EQ(statistics.payload_sent_bytes, 2u);
  EXPECT_EQ(statistics.payload_sent_copied_bytes, 2u) << "so few bytes travel within the record";
}

// Where the segments of rings are mapped here: at two places each.
std::vector<char*> Rings() {
  std::vector<char*> found;
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);) {
    unsigned long begin = 0, end = 0;
    if (!absl::StrContains(line, "/memfd:weir") ||
        std::sscanf(line.c_str(), "%lx-%lx", &begin, &end) != 2) {
      continue;
    }
    if (end - begin == ShmGeometry().segment_bytes())
      found.push_back(reinterpret_cast<char*>(begin));
  }
  return found;
}

TEST_F(SessionShmTest, AWordThatLiesToTheServerEndsItsSessionAndNoOther) {
  Recorder good;
  const auto other = Move(&good);
  const std::vector<char*> before = Rings();
  Recorder recorder;
  const auto client = Move(&recorder);
  for (char* rings : Rings()) {
    if (std::count(before.begin(), before.end(), rings) != 0) continue;
    DirectionOf(rings, ShmGeometry(), ShmSide::kClient).tail->store(~uint64_t{0});
  }
  served_->poller()->Wake();
  const absl::Status status = recorder.AwaitClosed();
  EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
  EXPECT_TRUE(shard_->AwaitClosed(1));
  ExpectEcho(other.get(), &good);
}

TEST_F(SessionShmTest, AWordThatLiesToTheClientEndsTheSessionWhichIsToBeMadeAgainWithout) {
  Recorder recorder;
  const auto client = Move(&recorder);
  ExpectEcho(client.get(), &recorder);
  for (char* rings : Rings())
    DirectionOf(rings, ShmGeometry(), ShmSide::kServer).tail->store(~uint64_t{0});
  runtime_->poller()->Wake();
  const absl::Status status = recorder.AwaitClosed();
  EXPECT_TRUE(absl::IsUnavailable(status)) << status;
  EXPECT_EQ(WayOf(*client), SessionClient::Way::kBroken);
  EXPECT_TRUE(shard_->AwaitClosed(1));
}

TEST_F(SessionShmTest, NothingIsLeftOfSessionsThatHaveEnded) {
  size_t descriptors = 0;
  for (int round = 0; round < 10; ++round) {
    {
      Recorder recorder;
      const auto client = Move(&recorder);
      ExpectEcho(client.get(), &recorder, Pattern(kMiB, 1));
    }
    ASSERT_TRUE(shard_->AwaitClosed(round + 1));
    // The last threads let go soon after they have told of the end.
    EXPECT_TRUE(Soon([] { return Rings().empty(); }));
    if (round == 0) descriptors = Descriptors();
    EXPECT_TRUE(Soon([&] { return Descriptors() <= descriptors; })) << Descriptors();
  }
}

TEST_F(SessionShmTest, ManyThreadsMaySendAndCloseAtOnce) {
  for (int round = 0; round < 10; ++round) {
    Recorder recorder;
    const auto client = Connect(&recorder);
    ASSERT_TRUE(client->Send(Hello()).ok());
    std::vector<std::thread> threads;
    for (int t = 0; t < 3; ++t) {
      threads.emplace_back([&, t] {
        for (uint64_t i = 1; i <= 200; ++i)
          client->Send(PushOf(1000 * t + i, OnHeap(Pattern(i * 50, i)))).IgnoreError();
      });
    }
    if (round % 2 == 0) recorder.Take(50);
    client->Cancel();
    for (std::thread& thread : threads) thread.join();
    EXPECT_TRUE(absl::IsCancelled(recorder.AwaitClosed()));
  }
  EXPECT_TRUE(Soon([this] {
    const SessionHost::Statistics now = host_->statistics();
    return now.opened == now.closed && now.queued_frames == 0;
  }));
}

}  // namespace
}  // namespace weir
