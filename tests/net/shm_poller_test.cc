// SPDX-License-Identifier: Apache-2.0
#include "net/shm_poller.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "tests/net/shm_ends.h"

namespace weir {
namespace {

using testing::SocketPlace;
using testing::WireOf;

ShmLink::Options Small() {
  ShmLink::Options options;
  options.geometry = ShmGeometry{ShmGeometry::kMinRingBytes, 65536};
  options.max_frame_bytes = 65536;
  return options;
}

// Sends every frame back.
class Echo final : public ShmLinkHandler {
 public:
  explicit Echo(std::shared_ptr<ShmLink> link) : link_(std::move(link)) {}
  void OnUp() override {}
  void OnWire(Payload&& wire, uint64_t payload_bytes) override {
    link_->Send(std::move(wire), payload_bytes, this).IgnoreError();
  }
  void OnSent(uint64_t) override {}
  void OnClosed(const absl::Status&) override { closed.Notify(); }

  absl::Notification closed;

 private:
  const std::shared_ptr<ShmLink> link_;
};

// Counts what comes back.
class Caller final : public ShmLinkHandler {
 public:
  void OnUp() override { up.Notify(); }
  void OnWire(Payload&& wire, uint64_t) override {
    absl::MutexLock lock(&mu_);
    bytes_ += wire.size();
    ++frames_;
  }
  void OnSent(uint64_t) override {}
  void OnClosed(const absl::Status& status) override {
    closed_with = status;
    closed.Notify();
  }
  uint64_t AwaitFrames(uint64_t frames) {
    absl::MutexLock lock(&mu_);
    const auto enough = [this, frames] {
      mu_.AssertReaderHeld();
      return frames_ >= frames;
    };
    mu_.Await(absl::Condition(&enough));
    return bytes_;
  }

  absl::Notification up;
  absl::Notification closed;
  absl::Status closed_with;

 private:
  absl::Mutex mu_;
  uint64_t frames_ ABSL_GUARDED_BY(mu_) = 0;
  uint64_t bytes_ ABSL_GUARDED_BY(mu_) = 0;
};

// A server that echoes on a thread of its own, and a poller for clients.
class World {
 public:
  explicit World(absl::Duration spin) {
    server_ = *ShmPoller::Create({});
    clients = *ShmPoller::Create({});
    server_->set_spin(spin);
    clients->set_spin(spin);
    server_->Listen(*ShmListener::Listen(place_.path(), {}), [this](ShmListener::Offer offer) {
      auto link = ShmLink::Accept(std::move(offer), Small());
      ASSERT_TRUE(link.ok()) << link.status();
      echoes.push_back(std::make_unique<Echo>(*link));
      server_->Add(*std::move(link), echoes.back().get());
    });
    server_thread_ = std::make_unique<ShmPollerThread>(server_.get());
    clients_thread_ = std::make_unique<ShmPollerThread>(clients.get());
  }
  ~World() { StopServer(); }

  void StopServer() {
    server_thread_.reset();
    server_.reset();
  }
  void StopClients() {
    clients_thread_.reset();
    clients.reset();
  }

  std::shared_ptr<ShmLink> Connect(Caller* caller) {
    auto link = ShmLink::Offer(place_.path(), ShmKey{}, Small());
    EXPECT_TRUE(link.ok()) << link.status();
    clients->Add(*link, caller);
    caller->up.WaitForNotification();
    return *link;
  }

  std::unique_ptr<ShmPoller> clients;
  std::vector<std::unique_ptr<Echo>> echoes;  // the server thread's

 private:
  SocketPlace place_;
  std::unique_ptr<ShmPoller> server_;
  std::unique_ptr<ShmPollerThread> clients_thread_;
  std::unique_ptr<ShmPollerThread> server_thread_;
};

class ShmPollerTest : public ::testing::TestWithParam<int> {
 protected:
  absl::Duration spin() const { return absl::Microseconds(GetParam()); }
};
INSTANTIATE_TEST_SUITE_P(SleepingAndSpinning, ShmPollerTest, ::testing::Values(0, 50));

TEST_P(ShmPollerTest, EveryFrameOfEveryLinkComesBack) {
  World world(spin());
  std::vector<std::unique_ptr<Caller>> callers;
  std::vector<std::shared_ptr<ShmLink>> links;
  for (int c = 0; c < 3; ++c) {
    callers.push_back(std::make_unique<Caller>());
    links.push_back(world.Connect(callers.back().get()));
  }
  uint64_t bytes = 0;
  for (size_t i = 0; i < 300; ++i) {
    const std::string payload(i * 199 % 40000, 'p');
    bytes += 1 + payload.size();
    for (size_t c = 0; c < 3; ++c)
      ASSERT_TRUE(links[c]->Send(WireOf("h", payload), payload.size(), callers[c].get()).ok());
  }
  for (const auto& caller : callers) EXPECT_EQ(caller->AwaitFrames(300), bytes);
  world.StopClients();
  for (const auto& caller : callers) EXPECT_TRUE(absl::IsCancelled(caller->closed_with));
}

TEST_P(ShmPollerTest, OneAfterTheOtherWakesBothSidesEachTime) {
  World world(spin());
  Caller caller;
  const auto link = world.Connect(&caller);
  for (uint64_t i = 1; i <= 300; ++i) {
    ASSERT_TRUE(link->Send(WireOf("ping", ""), 0, &caller).ok());
    EXPECT_EQ(caller.AwaitFrames(i), 4 * i);
  }
  world.StopClients();
}

TEST_P(ShmPollerTest, AServerThatGoesIsNoticed) {
  World world(spin());
  Caller caller;
  const auto link = world.Connect(&caller);
  world.StopServer();
  caller.closed.WaitForNotification();
  EXPECT_TRUE(absl::IsUnavailable(caller.closed_with)) << caller.closed_with;
}

TEST_P(ShmPollerTest, AClientThatGoesIsNoticed) {
  World world(spin());
  Caller caller;
  const auto link = world.Connect(&caller);
  ASSERT_TRUE(link->Send(WireOf("ping", ""), 0, &caller).ok());
  caller.AwaitFrames(1);
  link->Close(absl::CancelledError("done"));
  caller.closed.WaitForNotification();
  EXPECT_EQ(caller.closed_with, absl::CancelledError("done"));
  world.echoes[0]->closed.WaitForNotification();
}

TEST(ShmPollerAloneTest, APollerWithNothingToDoReturnsWhenItIsWoken) {
  const auto poller = *ShmPoller::Create({});
  poller->Wake();
  poller->PollOnce(absl::InfiniteDuration());
  poller->PollOnce(absl::ZeroDuration());
  absl::Notification polling;
  std::thread thread([&] {
    polling.Notify();
    poller->PollOnce(absl::InfiniteDuration());
  });
  polling.WaitForNotification();
  poller->Wake();
  thread.join();
}

}  // namespace
}  // namespace weir
