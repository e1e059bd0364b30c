// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_TESTS_NET_SESSION_HARNESS_H_
#define WEIR_TESTS_NET_SESSION_HARNESS_H_

// Both ends of a session over real loopback sockets.
#include <gmock/gmock.h>
#include <grpcpp/channel.h>
#include <grpcpp/completion_queue.h>
#include <grpcpp/generic/generic_stub.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "net/byte_buffer.h"
#include "net/channel.h"
#include "net/completion_loop.h"
#include "net/frame_batch.h"
#include "net/server_host.h"
#include "net/session_client.h"
#include "net/session_host.h"
#include "tests/net/session_recorder.h"

namespace weir {

inline constexpr absl::Duration kPatience = absl::Seconds(30);  // for what must come

inline ClientFrame HelloTo(uint32_t shard) {
  ClientFrame frame;
  frame.request_id = 1;
  HelloFrame hello;
  hello.shard = shard;
  frame.kind = hello;
  return frame;
}

inline Payload Bytes(size_t size, char fill = 'g') {
  auto owner = std::make_shared<std::string>(size, fill);
  Payload payload;
  payload.Append(owner->data(), size, owner);
  return payload;
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

// A shard that answers a hello with a hello reply and a push with a push reply that holds the
// gradient. Counts what it sees.
class EchoHandler : public SessionHandler {
 public:
  explicit EchoHandler(SessionHost* host) : host_(host) {}

  // Called with every frame, instead of the answer above.
  std::function<void(SessionId, const ClientFrame&)> on_frame;
  // Told how many frames have been sent.
  std::function<void(int)> on_sent;

  void OnOpen(SessionId id, const std::string& peer) override {
    absl::MutexLock lock(&mu_);
    EXPECT_EQ(states_.count(id), 0);
    EXPECT_THAT(peer, ::testing::HasSubstr("127.0.0.1"));
    states_[id] = kOpen;
  }

  void OnFrame(SessionId id, ClientFrame&& frame, size_t wire_bytes) override {
    {
      absl::MutexLock lock(&mu_);
      EXPECT_EQ(states_[id], kOpen);
      ++frames_;
      bytes_ += wire_bytes;
    }
    if (on_frame) return on_frame(id, frame);
    ServerFrame answer;
    answer.request_id = frame.request_id;
    if (std::holds_alternative<HelloFrame>(frame.kind)) answer.kind = HelloReplyFrame();
    if (auto* push = std::get_if<PushFrame>(&frame.kind)) {
      PushReplyFrame reply;
      reply.sequence = push->sequence;
      reply.tensor_data = std::move(push->gradient);
      answer.kind = std::move(reply);
    }
    host_->Send(id, std::move(answer));
  }

  void OnSent(SessionId id, uint64_t payload_bytes) override {
    int frames = 0;
    {
      absl::MutexLock lock(&mu_);
      EXPECT_EQ(states_[id], kOpen);
      frames = ++sent_frames_;
      sent_bytes_ += payload_bytes;
    }
    if (on_sent) on_sent(frames);
  }

  void OnClosed(SessionId id) override {
    absl::MutexLock lock(&mu_);
    EXPECT_EQ(states_[id], kOpen);
    states_[id] = kClosed;
    ++closed_;
  }

  bool AwaitClosed(int sessions) {
    return Await([=] { return closed_ >= sessions; });
  }
  bool AwaitSent(int frames) {
    return Await([=] { return sent_frames_ >= frames; });
  }
  int opened() {
    absl::MutexLock lock(&mu_);
    return static_cast<int>(states_.size());
  }
  int frames() {
    absl::MutexLock lock(&mu_);
    return frames_;
  }
  uint64_t sent_bytes() {
    absl::MutexLock lock(&mu_);
    return sent_bytes_;
  }

 private:
  enum State { kNone, kOpen, kClosed };

  template <typename Condition>
  bool Await(Condition condition) ABSL_NO_THREAD_SAFETY_ANALYSIS {
    absl::MutexLock lock(&mu_);
    return mu_.AwaitWithTimeout(absl::Condition(&condition), kPatience);
  }

  SessionHost* const host_;
  absl::Mutex mu_;
  std::map<SessionId, State> states_;
  int frames_ = 0;
  int closed_ = 0;
  int sent_frames_ = 0;
  uint64_t bytes_ = 0;
  uint64_t sent_bytes_ = 0;
};

// A server with two shards, of which the second one is another handler's.
class SessionTest : public ::testing::Test {
 protected:
  SessionTest() {
    loop_.Start();
    Serve({});
  }
  ~SessionTest() override {
    if (server_) server_->Shutdown(absl::ZeroDuration());
  }

  void Serve(SessionHost::Options options) {
    server_.reset();
    host_ = std::make_unique<SessionHost>(options);
    echo_ = std::make_unique<EchoHandler>(host_.get());
    other_ = std::make_unique<EchoHandler>(host_.get());
    host_->AddShard(0, echo_.get());
    host_->AddShard(7, other_.get());
    ServerHost::Options server;
    server.queued = {host_->queued()};
    auto started = ServerHost::Start(server);
    ASSERT_TRUE(started.ok()) << started.status();
    server_ = *std::move(started);
  }

  std::shared_ptr<grpc::Channel> Channel() { return MakeChannel(server_->address()); }

  // Ticks with hours that pass at once, until the session has ended.
  absl::Status TickUntilClosed(Recorder* recorder) {
    const absl::Time start = absl::UnixEpoch();
    for (int hour = 0; hour < 3000; ++hour) {
      host_->Tick(start + absl::Hours(hour));
      const absl::Status status = recorder->AwaitClosed(absl::Milliseconds(10));
      if (!status.ok()) return status;
    }
    return absl::OkStatus();
  }

  CompletionLoop loop_{CompletionLoop::Options()};  // of the clients
  std::unique_ptr<SessionHost> host_;
  std::unique_ptr<EchoHandler> echo_;
  std::unique_ptr<EchoHandler> other_;
  std::unique_ptr<ServerHost> server_;
};

// A port where connections are taken by the kernel and nobody ever speaks.
class SilentListener {
 public:
  SilentListener() : fd_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in where{};
    where.sin_family = AF_INET;
    where.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(where);
    auto* address = reinterpret_cast<sockaddr*>(&where);
    EXPECT_EQ(bind(fd_, address, size), 0);
    EXPECT_EQ(listen(fd_, 8), 0);
    EXPECT_EQ(getsockname(fd_, address, &size), 0);
    port_ = ntohs(where.sin_port);
  }
  ~SilentListener() { close(fd_); }
  std::string address() const { return absl::StrCat("127.0.0.1:", port_); }

 private:
  const int fd_;
  int port_ = 0;
};

// A client without manners: sends any bytes and reads only when told to.
class RawClient {
 public:
  explicit RawClient(const std::shared_ptr<grpc::Channel>& channel) : stub_(channel) {
    stream_ = stub_.PrepareCall(&context_, "/weir.v1.ParameterService/Session", &queue_);
    stream_->StartCall(&stream_);
    Next();
  }
  ~RawClient() {
    context_.TryCancel();
    queue_.Shutdown();
    void* tag;
    bool ok;
    while (queue_.Next(&tag, &ok)) continue;
  }

  bool Write(const std::string& bytes) {
    const grpc::Slice slice(bytes);
    stream_->Write(grpc::ByteBuffer(&slice, 1), this);
    return Next();
  }
  bool WriteFrame(const ClientFrame& frame) { return WriteMessage(EncodeFrame(frame)); }
  bool WriteMessage(const Payload& message) {
    stream_->Write(ToByteBuffer(message), this);
    return Next();
  }
  bool Read() {
    grpc::ByteBuffer buffer;
    stream_->Read(&buffer, this);
    return Next();
  }
  // The frames of the next message.
  absl::StatusOr<std::vector<ServerFrame>> ReadFrames() {
    grpc::ByteBuffer buffer;
    stream_->Read(&buffer, this);
    if (!Next()) return absl::UnavailableError("the stream has ended");
    return DecodeServerFrames(FromByteBuffer(buffer));
  }
  // Reads on to the end of the stream.
  grpc::Status Finish() {
    grpc::ByteBuffer buffer;
    do stream_->Read(&buffer, this);
    while (Next());
    grpc::Status status;
    stream_->Finish(&status, this);
    Next();
    return status;
  }

 private:
  bool Next() {
    void* tag;
    bool ok = false;
    const auto deadline = absl::ToChronoTime(absl::Now() + kPatience);
    EXPECT_EQ(queue_.AsyncNext(&tag, &ok, deadline), grpc::CompletionQueue::GOT_EVENT);
    return ok;
  }

  grpc::GenericStub stub_;
  grpc::ClientContext context_;
  grpc::CompletionQueue queue_;
  std::unique_ptr<grpc::GenericClientAsyncReaderWriter> stream_;
};

}  // namespace weir

#endif  // WEIR_TESTS_NET_SESSION_HARNESS_H_
