// SPDX-License-Identifier: Apache-2.0
// Frames of a session over a real loopback socket, and how it begins and ends.
#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/synchronization/notification.h"
#include "tests/net/session_harness.h"

namespace weir {
namespace {

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

TEST_F(SessionTest, APayloadThatIsMadeLateArrivesLikeAnother) {
  Recorder recorder;
  SessionClient client(Channel(), &loop_, &recorder);
  ASSERT_TRUE(client.Send(HelloTo(0)).ok());
  constexpr uint64_t kFrames = 200;
  for (uint64_t i = 1; i <= kFrames; ++i) {
    const size_t size = i % 2 == 0 ? 300 : 100000;  // some share a message
    Payload nowhere;
    nowhere.Append(nullptr, size, nullptr);
    const auto make = [size, i] {
      const auto bytes = std::make_shared<std::string>(size, static_cast<char>(i));
      Payload made;
      made.Append(bytes->data(), size / 3, bytes);
      made.Append(bytes->data() + size / 3, size - size / 3, bytes);
      return made;
    };
    ASSERT_TRUE(client.Send(PushOf(i, std::move(nowhere)), make).ok());
  }
  const std::vector<ServerFrame> frames = recorder.Await(kFrames + 1);
  ASSERT_EQ(frames.size(), kFrames + 1);
  for (uint64_t i = 1; i <= kFrames; ++i) {
    const auto& reply = std::get<PushReplyFrame>(frames[i].kind);
    std::string read(reply.tensor_data.size(), '\0');
    reply.tensor_data.CopyTo(&read[0]);
    ASSERT_EQ(read, std::string(i % 2 == 0 ? 300 : 100000, static_cast<char>(i)));
  }
}

TEST_F(SessionTest, APayloadIsNotMadeBeforeTheStreamStandsAndLetGoWhenItEnds) {
  SilentListener silent;
  Recorder recorder;
  SessionClient client(MakeChannel(silent.address()), &loop_, &recorder);
  auto owner = std::make_shared<int>();
  const std::weak_ptr<int> held = owner;
  Payload nowhere;
  nowhere.Append(nullptr, 1 << 20, nullptr);
  ASSERT_TRUE(client
                  .Send(PushOf(1, std::move(nowhere)),
                        [owner = std::move(owner)]() -> Payload {
                          ADD_FAILURE() << "made for a stream that never stood";
                          return Payload();
                        })
                  .ok());
  EXPECT_FALSE(held.expired());
  client.Close();
  EXPECT_TRUE(held.expired());
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

}  // namespace
}  // namespace weir
