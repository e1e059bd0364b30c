// SPDX-License-Identifier: Apache-2.0
//
// Both ends of a session over real loopback sockets.
#include <gmock/gmock.h>
#include <grpcpp/channel.h>
#include <grpcpp/completion_queue.h>
#include <grpcpp/generic/generic_stub.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
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
namespace {

using ::testing::HasSubstr;

constexpr absl::Duration kPatience = absl::Seconds(30);

ClientFrame HelloTo(uint32_t shard) {
  ClientFrame frame;
  frame.request_id = 1;
  HelloFrame hello;
  hello.shard = shard;
  frame.kind = hello;
  return frame;
}

Payload Bytes(size_t size, char fill = 'g') {
  auto owner = std::make_shared<std::string>(size, fill);
  Payload payload;
  payload.Append(owner->data(), size, owner);
  return payload;
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
    EXPECT_THAT(peer, HasSubstr("127.0.0.1"));
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
  RawClient(const std::shared_ptr<grpc::Channel>& channel) : stub_(channel) {
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

TEST_F(SessionTest, FramesArriveInOrderBothWays) {
  Recorder recorder;
  SessionClient client(Channel(), &loop_, &recorder);
  constexpr uint64_t kFrames = 5000;
  ASSERT_TRUE(client.Send(HelloTo(0)).ok());
  for (uint64_t i = 1; i <= kFrames; ++i) ASSERT_TRUE(client.Send(PushOf(i, Bytes(i % 700))).ok());
  const std::vector<ServerFrame> frames = recorder.Await(kFrames + 1);
  ASSERT_EQ(frames.size(), kFrames + 1);
  EXPECT_TRUE(std::holds_alternative<HelloReplyFrame>(frames[0].kind));
  for (uint64_t i = 1; i <= kFrames; ++i) {
    ASSERT_EQ(frames[i].request_id, i + 1);
    const auto& reply = std::get<PushReplyFrame>(frames[i].kind);
    ASSERT_EQ(reply.sequence, i);
    ASSERT_EQ(reply.tensor_data.size(), i % 700);
  }
  ASSERT_TRUE(echo_->AwaitSent(kFrames + 1));
  EXPECT_EQ(host_->statistics().queued_frames, 0);
  EXPECT_EQ(host_->statistics().queued_bytes, 0);
}

TEST_F(SessionTest, TheHelloChoosesTheShardsHandler) {
  Recorder recorder;
  SessionClient client(Channel(), &loop_, &recorder);
  ASSERT_TRUE(client.Send(HelloTo(7)).ok());
  recorder.Await(1);
  EXPECT_EQ(echo_->opened(), 0);
  EXPECT_EQ(other_->opened(), 1);
}

TEST_F(SessionTest, LargePayloadsGoThereAndBackUnharmedAndAreLetGo) {
  Recorder recorder;
  SessionClient client(Channel(), &loop_, &recorder);
  ASSERT_TRUE(client.Send(HelloTo(0)).ok());
  constexpr size_t kSize = 3 << 20;
  std::weak_ptr<const void> held;
  for (uint64_t i = 1; i <= 20; ++i) {
    auto bytes = std::make_shared<std::string>(kSize, static_cast<char>('a' + i));
    held = bytes;
    Payload gradient;
    gradient.Append(bytes->data(), kSize, bytes);
    bytes.reset();
    ASSERT_TRUE(client.Send(PushOf(i, std::move(gradient))).ok());
    const std::vector<ServerFrame> frames = recorder.Await(i + 1);
    ASSERT_GT(frames.size(), i);
    const auto& reply = std::get<PushReplyFrame>(frames[i].kind);
    std::string read(reply.tensor_data.size(), '\0');
    reply.tensor_data.CopyTo(&read[0]);
    ASSERT_EQ(read, std::string(kSize, static_cast<char>('a' + i)));
  }
  ASSERT_TRUE(echo_->AwaitSent(21));
  client.Close();
  EXPECT_TRUE(held.expired());
  EXPECT_EQ(echo_->sent_bytes(), 20 * kSize);
}

TEST_F(SessionTest, AQueuedPayloadIsBorrowedAndLetGoWhenTheSessionEnds) {
  auto bytes = std::make_shared<std::string>(1 << 20, 'g');
  const std::weak_ptr<const void> held = bytes;
  SilentListener silent;
  Recorder recorder;
  SessionClient client(MakeChannel(silent.address()), &loop_, &recorder);
  Payload gradient;
  gradient.Append(bytes->data(), bytes->size(), bytes);
  bytes.reset();
  ASSERT_TRUE(client.Send(PushOf(1, std::move(gradient))).ok());
  EXPECT_FALSE(held.expired());
  client.Close();
  EXPECT_TRUE(held.expired());
  EXPECT_EQ(recorder.AwaitClosed().code(), absl::StatusCode::kCancelled);
}

TEST_F(SessionTest, TheServerLearnsThatAClientHasGone) {
  Recorder recorder;
  auto client = std::make_unique<SessionClient>(Channel(), &loop_, &recorder);
  ASSERT_TRUE(client->Send(HelloTo(0)).ok());
  recorder.Await(1);
  client.reset();
  EXPECT_TRUE(echo_->AwaitClosed(1));
  EXPECT_EQ(recorder.AwaitClosed().code(), absl::StatusCode::kCancelled);
}

TEST_F(SessionTest, AClientLearnsThatTheServerHasGone) {
  Recorder recorder;
  SessionClient client(Channel(), &loop_, &recorder);
  ASSERT_TRUE(client.Send(HelloTo(0)).ok());
  recorder.Await(1);
  server_->Shutdown(absl::ZeroDuration());
  EXPECT_EQ(recorder.AwaitClosed().code(), absl::StatusCode::kUnavailable);
  EXPECT_TRUE(echo_->AwaitClosed(1));
  EXPECT_EQ(client.Send(PushOf(1)).code(), absl::StatusCode::kUnavailable);
}

TEST_F(SessionTest, WhereNobodyListensASessionIsUnavailable) {
  const std::string address = server_->address();
  server_->Shutdown(absl::ZeroDuration());
  Recorder recorder;
  SessionClient client(MakeChannel(address), &loop_, &recorder);
  EXPECT_EQ(recorder.AwaitClosed().code(), absl::StatusCode::kUnavailable);
}

TEST_F(SessionTest, ASessionIsClosedWithASentenceAfterWhatWasQueued) {
  echo_->on_frame = [this](SessionId id, const ClientFrame&) {
    for (uint64_t i = 1; i <= 100; ++i) {
      ServerFrame frame;
      frame.request_id = i;
      frame.kind = CreditFrame();
      host_->Send(id, std::move(frame));
    }
    host_->Close(id, absl::PermissionDeniedError("this is job A, you are of job B"));
    host_->Close(id, absl::InternalError("too late"));
    ServerFrame late;
    late.request_id = 101;
    host_->Send(id, std::move(late));
  };
  Recorder recorder;
  SessionClient client(Channel(), &loop_, &recorder);
  ASSERT_TRUE(client.Send(HelloTo(0)).ok());
  (void)client.Send(PushOf(1));  // which may find the session closed
  EXPECT_EQ(recorder.AwaitClosed(), absl::PermissionDeniedError("this is job A, you are of job B"));
  EXPECT_EQ(recorder.Await(100).size(), 100);
  EXPECT_TRUE(echo_->AwaitClosed(1));
  EXPECT_EQ(echo_->frames(), 1);
  EXPECT_EQ(host_->statistics().opened, 1);
}

TEST_F(SessionTest, TheFirstFrameMustBeAHello) {
  Recorder recorder;
  SessionClient client(Channel(), &loop_, &recorder);
  ASSERT_TRUE(client.Send(PushOf(1)).ok());
  EXPECT_EQ(recorder.AwaitClosed(),
            absl::FailedPreconditionError(
                "the first frame of a session must be a hello; this one is another"));
  EXPECT_EQ(echo_->opened(), 0);
}

TEST_F(SessionTest, AShardThatIsNotHereIsUnavailableNamingThoseThatAre) {
  Recorder recorder;
  SessionClient client(Channel(), &loop_, &recorder);
  ASSERT_TRUE(client.Send(HelloTo(3)).ok());
  EXPECT_EQ(recorder.AwaitClosed(),
            absl::UnavailableError("shard 3 is not here (yet); this process serves 0, 7"));
}

TEST_F(SessionTest, PayloadBytesSentAreCountedAndOfTheseOnlyVerySmallOnesAsCopied) {
  echo_->on_frame = [this](SessionId id, const ClientFrame& frame) {
    ServerFrame answer;
    answer.request_id = frame.request_id;
    answer.kind = HelloReplyFrame();
    if (const auto* push = std::get_if<PushFrame>(&frame.kind)) {
      PushReplyFrame reply;
      reply.tensor_data = Bytes(push->sequence);
      answer.kind = std::move(reply);
    }
    host_->Send(id, std::move(answer));
  };
  const auto ask = [this](absl::Span<const size_t> sizes) {
    Recorder recorder;
    SessionClient client(Channel(), &loop_, &recorder);
    EXPECT_TRUE(client.Send(HelloTo(0)).ok());
    for (const size_t size : sizes) EXPECT_TRUE(client.Send(PushOf(size)).ok());
    EXPECT_EQ(recorder.Await(sizes.size() + 1).size(), sizes.size() + 1);
  };
  ask({100'000, 200'000});
  EXPECT_EQ(host_->statistics().payload_sent_bytes, 300'000u);
  EXPECT_EQ(host_->statistics().payload_sent_copied_bytes, 0u);
  ask({30, 1'000});
  ASSERT_TRUE(echo_->AwaitClosed(2));
  EXPECT_EQ(host_->statistics().payload_sent_bytes, 301'030u) << "of sessions that have ended too";
  EXPECT_EQ(host_->statistics().payload_sent_copied_bytes, 30u);
}

TEST_F(SessionTest, AFrameIsToldSentBeforeTheNextIsWritten) {
  absl::Notification queued, told;
  std::atomic<uint64_t> held{0};
  echo_->on_frame = [this, &queued](SessionId id, const ClientFrame&) {
    for (int i = 0; i < 3; ++i) {
      ServerFrame frame;
      frame.kind = CreditFrame();
      host_->Send(id, std::move(frame));
    }
    queued.Notify();
  };
  echo_->on_sent = [&](int frames) {
    if (frames != 1) return;
    EXPECT_TRUE(queued.WaitForNotificationWithTimeout(kPatience));
    held = host_->statistics().queued_frames;
    told.Notify();
  };
  Recorder recorder;
  SessionClient client(Channel(), &loop_, &recorder);
  ASSERT_TRUE(client.Send(HelloTo(0)).ok());
  ASSERT_TRUE(told.WaitForNotificationWithTimeout(kPatience));
  EXPECT_EQ(held.load(), 3u) << "the frame told of counts, and none of the others is under way";
  EXPECT_EQ(recorder.Await(3).size(), 3);
  ASSERT_TRUE(echo_->AwaitSent(3));
}

// How many messages bring the 101 answers that a handler gives to a push at once.
size_t MessagesOfABurst(RawClient* client, uint64_t features) {
  ClientFrame hello = HelloTo(0);
  std::get<HelloFrame>(hello.kind).features = features;
  EXPECT_TRUE(client->WriteFrame(hello));
  EXPECT_TRUE(client->WriteFrame(PushOf(1)));
  size_t messages = 0;
  for (size_t frames = 0; frames < 102; ++messages) {
    const auto got = client->ReadFrames();
    if (!got.ok()) return 0;
    for (const ServerFrame& frame : *got) {
      if (frames == 0) {
        EXPECT_EQ(std::get<HelloReplyFrame>(frame.kind).features, features & kFeatureBatches);
      } else {
        EXPECT_EQ(std::get<PushReplyFrame>(frame.kind).sequence, frames);
      }
      ++frames;
    }
  }
  return messages;
}

class SessionBatchTest : public SessionTest {
 protected:
  void SetUp() override {
    echo_->on_frame = [this](SessionId id, const ClientFrame& frame) {
      ServerFrame answer;
      answer.kind = HelloReplyFrame();
      if (std::holds_alternative<HelloFrame>(frame.kind)) return host_->Send(id, std::move(answer));
      for (uint64_t i = 1; i <= 101; ++i) {
        PushReplyFrame reply;
        reply.sequence = i;
        answer.kind = reply;
        host_->Send(id, ServerFrame(answer));
      }
    };
  }
};

TEST_F(SessionBatchTest, AnswersThatWaitShareAMessageWithAClientThatTakesBatches) {
  RawClient client(Channel());
  // At most the hello reply, the first answer, and all that queue behind it.
  const size_t messages = MessagesOfABurst(&client, kFeatureBatches);
  EXPECT_GE(messages, 2u);
  EXPECT_LE(messages, 3u);
}

TEST_F(SessionBatchTest, AClientThatHasNotSaidItTakesBatchesGetsNone) {
  RawClient client(Channel());
  EXPECT_EQ(MessagesOfABurst(&client, kFeatureShm), 102u);
}

TEST_F(SessionBatchTest, ABatchOfOneThatHasNotSaidItSendsThemClosesTheSession) {
  RawClient client(Channel());
  ASSERT_TRUE(client.WriteFrame(HelloTo(0)));
  const std::vector<ClientFrame> frames = {PushOf(1), PushOf(2)};
  ASSERT_TRUE(client.WriteMessage(EncodeBatch(frames)));
  const grpc::Status status = client.Finish();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(status.error_message(), HasSubstr("has not said it sends them"));
}

TEST_F(SessionTest, AFrameThatCannotBeDecodedClosesItsSessionAndNoOther) {
  Recorder recorder;
  SessionClient client(Channel(), &loop_, &recorder);
  ASSERT_TRUE(client.Send(HelloTo(0)).ok());
  recorder.Await(1);

  RawClient raw(Channel());
  ASSERT_TRUE(raw.WriteFrame(HelloTo(0)));
  raw.Write("\x0f");
  const grpc::Status status = raw.Finish();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(status.error_message(), "the frame is damaged: wire type 7 at byte 0");
  EXPECT_TRUE(echo_->AwaitClosed(1));

  ASSERT_TRUE(client.Send(PushOf(1)).ok());
  EXPECT_EQ(recorder.Await(2).size(), 2);
}

TEST_F(SessionTest, ADamagedHelloNeverReachesAHandler) {
  RawClient raw(Channel());
  raw.Write(std::string(300, '\xff'));
  EXPECT_EQ(raw.Finish().error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(echo_->opened(), 0);
}

TEST_F(SessionTest, AFrameOverTheFrameLimitClosesItsSession) {
  ChannelOptions options;
  options.max_message_bytes = 8 << 20;  // this side lets it pass
  RawClient raw(MakeChannel(server_->address(), options));
  ASSERT_TRUE(raw.WriteFrame(HelloTo(0)));
  ASSERT_TRUE(raw.Read());
  raw.WriteFrame(PushOf(1, Bytes((4 << 20) - 10)));
  EXPECT_EQ(raw.Finish().error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_TRUE(echo_->AwaitClosed(1));
}

TEST_F(SessionTest, AClientsOwnFrameOverTheLimitIsRefusedBeforeItIsSent) {
  Recorder recorder;
  SessionClient client(Channel(), &loop_, &recorder);
  EXPECT_EQ(client.Send(PushOf(1, Bytes(4 << 20))).code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(SessionTest, ASessionWithoutAHelloIsClosedInTime) {
  Recorder recorder;
  SessionClient client(Channel(), &loop_, &recorder);
  EXPECT_EQ(TickUntilClosed(&recorder), absl::DeadlineExceededError("no hello within 10s"));
}

TEST_F(SessionTest, AnIdleSessionWithAHelloIsLeftAlone) {
  Recorder recorder;
  SessionClient client(Channel(), &loop_, &recorder);
  ASSERT_TRUE(client.Send(HelloTo(0)).ok());
  recorder.Await(1);
  // Told before the frame counts as written.
  while (host_->statistics().queued_frames > 0) std::this_thread::yield();
  for (int hour = 0; hour < 10; ++hour) host_->Tick(absl::UnixEpoch() + absl::Hours(hour));
  ASSERT_TRUE(client.Send(PushOf(1)).ok());
  recorder.Await(2);
}

TEST_F(SessionTest, TheQueueOfAClientThatNeverReadsIsBounded) {
  SessionHost::Options options;
  options.max_queued_bytes = 16 << 20;
  Serve(options);
  const Payload weights = Bytes(1 << 20, 'w');
  std::weak_ptr<const void> held = weights.chunks()[0].owner;
  std::atomic<uint64_t> most{0};
  echo_->on_frame = [&](SessionId id, const ClientFrame&) {
    for (int i = 0; i < 100; ++i) {
      ServerFrame frame;
      PullReplyFrame reply;
      reply.tensor_data = weights;
      frame.kind = std::move(reply);
      host_->Send(id, std::move(frame));
      most = std::max<uint64_t>(most, host_->statistics().queued_bytes);
    }
  };
  RawClient raw(Channel());
  ASSERT_TRUE(raw.WriteFrame(HelloTo(0)));
  EXPECT_TRUE(echo_->AwaitClosed(1));
  EXPECT_LE(most.load(), 16 << 20);
  EXPECT_GT(most.load(), 8 << 20);
  EXPECT_EQ(host_->statistics().queued_bytes, 0);
  echo_->on_frame = nullptr;
}

TEST_F(SessionTest, AClientThatStopsReadingIsClosedByTheWriteTimeout) {
  absl::Notification queued;
  echo_->on_frame = [this, &queued](SessionId id, const ClientFrame&) {
    for (int i = 0; i < 64; ++i) {
      ServerFrame frame;
      PullReplyFrame reply;
      reply.tensor_data = Bytes(1 << 20);
      frame.kind = std::move(reply);
      host_->Send(id, std::move(frame));
    }
    queued.Notify();
  };
  RawClient raw(Channel());
  ASSERT_TRUE(raw.WriteFrame(HelloTo(0)));
  ASSERT_TRUE(queued.WaitForNotificationWithTimeout(kPatience));
  EXPECT_GT(host_->statistics().queued_bytes, 0);
  // The transport may still be taking frames: each Tick that sees one taken starts anew.
  for (int hour = 0; hour < 3000 && host_->statistics().closed == 0; ++hour) {
    host_->Tick(absl::UnixEpoch() + absl::Hours(hour));
    std::this_thread::yield();
  }
  EXPECT_TRUE(echo_->AwaitClosed(1));
  EXPECT_EQ(host_->statistics().queued_bytes, 0);
}

TEST_F(SessionTest, AClosedSessionWhoseClientDoesNotReadEndsAllTheSame) {
  absl::Notification queued;
  echo_->on_frame = [this, &queued](SessionId id, const ClientFrame&) {
    for (int i = 0; i < 64; ++i) {
      ServerFrame frame;
      PullReplyFrame reply;
      reply.tensor_data = Bytes(1 << 20);
      frame.kind = std::move(reply);
      host_->Send(id, std::move(frame));
    }
    host_->Close(id, absl::AbortedError("enough"));
    queued.Notify();
  };
  RawClient raw(Channel());
  ASSERT_TRUE(raw.WriteFrame(HelloTo(0)));
  ASSERT_TRUE(queued.WaitForNotificationWithTimeout(kPatience));
  host_->Tick(absl::UnixEpoch());
  host_->Tick(absl::UnixEpoch() + absl::Seconds(30));
  EXPECT_TRUE(echo_->AwaitClosed(1));
}

TEST_F(SessionTest, OneSessionTooManyIsRefused) {
  SessionHost::Options options;
  options.max_sessions = 2;
  Serve(options);
  Recorder first, second, third;
  SessionClient a(Channel(), &loop_, &first);
  SessionClient b(Channel(), &loop_, &second);
  ASSERT_TRUE(a.Send(HelloTo(0)).ok());
  ASSERT_TRUE(b.Send(HelloTo(0)).ok());
  first.Await(1);
  second.Await(1);
  SessionClient c(Channel(), &loop_, &third);
  (void)c.Send(HelloTo(0));  // which may find the session refused
  EXPECT_EQ(third.AwaitClosed(),
            absl::ResourceExhaustedError("this process serves 2 sessions already"));
  a.Close();
  ASSERT_TRUE(echo_->AwaitClosed(1));
}

TEST_F(SessionTest, AnAnswerOverTheFrameLimitIsABugThatIsNamed) {
  echo_->on_frame = [this](SessionId id, const ClientFrame&) {
    ServerFrame frame;
    PullReplyFrame reply;
    reply.tensor_data = Bytes(4 << 20);
    frame.kind = std::move(reply);
    host_->Send(id, std::move(frame));
  };
  Recorder recorder;
  SessionClient client(Channel(), &loop_, &recorder);
  ASSERT_TRUE(client.Send(HelloTo(0)).ok());
  const absl::Status status = recorder.AwaitClosed();
  EXPECT_EQ(status.code(), absl::StatusCode::kInternal);
  EXPECT_THAT(std::string(status.message()), HasSubstr("exceeds the 4194304 bytes of a frame"));
}

TEST_F(SessionTest, AClientsFullQueueRefusesAndKeepsWhatItHas) {
  SessionClient::Options options;
  options.max_queued_frames = 3;
  SilentListener silent;
  Recorder recorder;
  SessionClient client(MakeChannel(silent.address()), &loop_, &recorder, options);
  // The first one may be handed to the transport, which then waits for a connection.
  int taken = 0;
  while (client.Send(PushOf(1)).ok() && taken < 10) ++taken;
  EXPECT_GE(taken, 3);
  EXPECT_LE(taken, 4);
  EXPECT_EQ(client.Send(PushOf(1)).code(), absl::StatusCode::kResourceExhausted);
}

TEST_F(SessionTest, AnAnswerThatCannotBeDecodedClosesTheSessionOnTheClientsSide) {
  SessionClient::Options options;
  options.limits.max_text_bytes = 10;
  echo_->on_frame = [this](SessionId id, const ClientFrame&) {
    ServerFrame frame;
    frame.kind = ErrorReplyFrame{Outcome::kInvalid, "a reason of more than ten bytes"};
    host_->Send(id, std::move(frame));
  };
  Recorder recorder;
  SessionClient client(Channel(), &loop_, &recorder, options);
  ASSERT_TRUE(client.Send(HelloTo(0)).ok());
  EXPECT_EQ(recorder.AwaitClosed(),
            absl::InvalidArgumentError("weir.v1.ErrorReply.reason has 31 bytes; the limit is 10"));
  EXPECT_TRUE(echo_->AwaitClosed(1));
}

TEST_F(SessionTest, AClientMayBeDestroyedInAnyState) {
  for (int i = 0; i < 60; ++i) {
    Recorder recorder;
    auto client = std::make_unique<SessionClient>(Channel(), &loop_, &recorder);
    if (i % 3 > 0) {
      EXPECT_TRUE(client->Send(HelloTo(0)).ok());
    }
    if (i % 3 > 1) {
      EXPECT_TRUE(client->Send(PushOf(1, Bytes(2 << 20))).ok());
    }
    if (i % 4 == 3) recorder.Await(i % 3);
    if (i % 5 == 4) client->Cancel();
    client.reset();
    EXPECT_FALSE(recorder.AwaitClosed().ok());
  }
}

TEST_F(SessionTest, ManyThreadsMaySendAndCloseAtOnce) {
  constexpr int kClients = 4;
  constexpr int kFrames = 500;
  std::vector<std::unique_ptr<Recorder>> recorders;
  std::vector<std::unique_ptr<SessionClient>> clients;
  for (int i = 0; i < kClients; ++i) {
    recorders.push_back(std::make_unique<Recorder>());
    clients.push_back(std::make_unique<SessionClient>(Channel(), &loop_, recorders.back().get()));
    EXPECT_TRUE(clients.back()->Send(HelloTo(i % 2 == 0 ? 0 : 7)).ok());
  }
  std::vector<std::thread> threads;
  for (int i = 0; i < 2 * kClients; ++i) {
    threads.emplace_back([&, i] {
      for (int n = 0; n < kFrames; ++n)
        EXPECT_TRUE(clients[i / 2]->Send(PushOf(n + 1, Bytes(4000))).ok());
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (int i = 0; i < kClients; ++i) {
    EXPECT_EQ(recorders[i]->Await(2 * kFrames + 1).size(), 2 * kFrames + 1);
  }
  // All of these end the sessions; each must end once.
  threads.clear();
  threads.emplace_back([&] { host_->CloseAll(absl::UnavailableError("the server ends")); });
  threads.emplace_back([&] { server_->Shutdown(absl::ZeroDuration()); });
  for (auto& client : clients) threads.emplace_back([&client] { client->Close(); });
  for (std::thread& thread : threads) thread.join();
  EXPECT_TRUE(echo_->AwaitClosed(2));
  EXPECT_TRUE(other_->AwaitClosed(2));
  EXPECT_EQ(host_->statistics().opened, kClients);
}

TEST(ByteBufferTest, LargeChunksAreBorrowedAndSmallOnesCopied) {
  auto large = std::make_shared<std::string>(100'000, 'l');
  auto small = std::make_shared<std::string>(30, 's');
  Payload payload;
  payload.Append(small->data(), small->size(), small);
  payload.Append(large->data(), large->size(), large);
  grpc::ByteBuffer buffer = ToByteBuffer(payload);
  payload = Payload();
  EXPECT_EQ(small.use_count(), 1);
  EXPECT_EQ(large.use_count(), 2);
  std::vector<grpc::Slice> slices;
  ASSERT_TRUE(buffer.Dump(&slices).ok());
  ASSERT_EQ(slices.size(), 2);
  EXPECT_EQ(reinterpret_cast<const char*>(slices[1].begin()), large->data());

  Payload back = FromByteBuffer(buffer);
  ASSERT_EQ(back.chunks().size(), 2);
  EXPECT_EQ(back.chunks()[1].data, large->data());
  slices.clear();
  buffer.Clear();
  EXPECT_EQ(large.use_count(), 2);  // held by `back` alone
  std::string read(back.size(), '\0');
  back.CopyTo(&read[0]);
  EXPECT_EQ(read, *small + *large);
  back = Payload();
  EXPECT_EQ(large.use_count(), 1);
}

}  // namespace
}  // namespace weir
