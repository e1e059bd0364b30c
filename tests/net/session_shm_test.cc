// SPDX-License-Identifier: Apache-2.0
// Frames of a session that has moved to shared memory, and how it ends.
#include <gtest/gtest.h>

#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <variant>
#include <vector>

#include "absl/synchronization/notification.h"
#include "tests/net/session_shm_harness.h"

namespace weir {
namespace {

using testing::Descriptors;

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
