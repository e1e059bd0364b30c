// SPDX-License-Identifier: Apache-2.0
// What a session refuses, and how little a peer that misbehaves can take.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <utility>

#include "absl/synchronization/notification.h"
#include "tests/net/session_harness.h"

namespace weir {
namespace {

using ::testing::HasSubstr;

class SessionLimitTest : public SessionTest {};

TEST_F(SessionLimitTest, TheFirstFrameMustBeAHello) {
  Recorder recorder;
  SessionClient client(Channel(), &loop_, &recorder);
  ASSERT_TRUE(client.Send(PushOf(1)).ok());
  EXPECT_EQ(recorder.AwaitClosed(),
            absl::FailedPreconditionError(
                "the first frame of a session must be a hello; this one is another"));
  EXPECT_EQ(echo_->opened(), 0);
}

TEST_F(SessionLimitTest, AShardThatIsNotHereIsUnavailableNamingThoseThatAre) {
  Recorder recorder;
  SessionClient client(Channel(), &loop_, &recorder);
  ASSERT_TRUE(client.Send(HelloTo(3)).ok());
  EXPECT_EQ(recorder.AwaitClosed(),
            absl::UnavailableError("shard 3 is not here (yet); this process serves 0, 7"));
}

TEST_F(SessionLimitTest, AFrameThatCannotBeDecodedClosesItsSessionAndNoOther) {
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

TEST_F(SessionLimitTest, ADamagedHelloNeverReachesAHandler) {
  RawClient raw(Channel());
  raw.Write(std::string(300, '\xff'));
  EXPECT_EQ(raw.Finish().error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(echo_->opened(), 0);
}

TEST_F(SessionLimitTest, AFrameOverTheFrameLimitClosesItsSession) {
  ChannelOptions options;
  options.max_message_bytes = 8 << 20;  // this side lets it pass
  RawClient raw(MakeChannel(server_->address(), options));
  ASSERT_TRUE(raw.WriteFrame(HelloTo(0)));
  ASSERT_TRUE(raw.Read());
  raw.WriteFrame(PushOf(1, Bytes((4 << 20) - 10)));
  EXPECT_EQ(raw.Finish().error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_TRUE(echo_->AwaitClosed(1));
}

TEST_F(SessionLimitTest, AClientsOwnFrameOverTheLimitIsRefusedBeforeItIsSent) {
  Recorder recorder;
  SessionClient client(Channel(), &loop_, &recorder);
  EXPECT_EQ(client.Send(PushOf(1, Bytes(4 << 20))).code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(SessionLimitTest, ASessionWithoutAHelloIsClosedInTime) {
  Recorder recorder;
  SessionClient client(Channel(), &loop_, &recorder);
  EXPECT_EQ(TickUntilClosed(&recorder), absl::DeadlineExceededError("no hello within 10s"));
}

TEST_F(SessionLimitTest, AnIdleSessionWithAHelloIsLeftAlone) {
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

TEST_F(SessionLimitTest, TheQueueOfAClientThatNeverReadsIsBounded) {
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

TEST_F(SessionLimitTest, AClientThatStopsReadingIsClosedByTheWriteTimeout) {
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

TEST_F(SessionLimitTest, AClosedSessionWhoseClientDoesNotReadEndsAllTheSame) {
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

TEST_F(SessionLimitTest, OneSessionTooManyIsRefused) {
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

TEST_F(SessionLimitTest, AnAnswerOverTheFrameLimitIsABugThatIsNamed) {
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

TEST_F(SessionLimitTest, AClientsFullQueueRefusesAndKeepsWhatItHas) {
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

TEST_F(SessionLimitTest, AnAnswerThatCannotBeDecodedClosesTheSessionOnTheClientsSide) {
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

}  // namespace
}  // namespace weir
