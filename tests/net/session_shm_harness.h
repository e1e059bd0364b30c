// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_TESTS_NET_SESSION_SHM_HARNESS_H_
#define WEIR_TESTS_NET_SESSION_SHM_HARNESS_H_

// Sessions over a Unix socket that move to shared memory, both ends in this process.
#include <gtest/gtest.h>

#include <atomic>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <variant>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
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

inline constexpr absl::Duration kPatience = absl::Seconds(30);  // for what must come
inline constexpr size_t kMiB = size_t{1} << 20;

inline ClientFrame Hello(uint64_t features = 0) {
  ClientFrame frame;
  frame.request_id = 1;
  HelloFrame hello;
  hello.role = SessionRole::kWorker;
  hello.features = features;
  frame.kind = hello;
  return frame;
}

inline ClientFrame PushOf(uint64_t sequence, Payload gradient = {}) {
  ClientFrame frame;
  frame.request_id = sequence + 1;
  PushFrame push;
  push.sequence = sequence;
  push.gradient = std::move(gradient);
  frame.kind = std::move(push);
  return frame;
}

// Asks for `bytes` bytes.
inline ClientFrame SyncOf(uint64_t id, uint64_t bytes) {
  ClientFrame frame;
  frame.request_id = id;
  SyncFrame sync;
  sync.step = bytes;
  frame.kind = sync;
  return frame;
}

inline ClientFrame BindOf(uint64_t id, size_t names) {
  ClientFrame frame;
  frame.request_id = id;
  BindFrame bind;
  for (size_t i = 0; i < names; ++i) bind.layer_names.push_back(absl::StrCat("layer/", i));
  frame.kind = std::move(bind);
  return frame;
}

inline std::string Pattern(size_t size, uint64_t seed) {
  std::string text(size, '\0');
  for (size_t i = 0; i < size; ++i) text[i] = static_cast<char>(i * 31 + seed);
  return text;
}

inline Payload OnHeap(const std::string& text) {
  auto owner = std::make_shared<std::string>(text);
  Payload payload;
  payload.Append(owner->data(), owner->size(), owner);
  return payload;
}

inline Payload InPool(BufferPool* pool, const std::string& text) {
  const Buffer block = pool->Allocate(text.size());
  std::memcpy(block.data(), text.data(), text.size());
  return Payload(block, 0, text.size());
}

inline std::string Text(const Payload& payload) {
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

// Where the segments of rings are mapped here: at two places each.
inline std::vector<char*> Rings() {
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

}  // namespace weir

#endif  // WEIR_TESTS_NET_SESSION_SHM_HARNESS_H_
