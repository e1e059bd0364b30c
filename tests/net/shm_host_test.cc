// SPDX-License-Identifier: Apache-2.0
#include "net/shm_host.h"

#include <gtest/gtest.h>

#include <memory>
#include <utility>
#include <vector>

#include "tests/net/shm_ends.h"

namespace weir {
namespace {

using testing::Descriptors;
using testing::Recorder;
using testing::SocketPlace;
using testing::WireOf;

// A host, and clients beside it; one poller for all.
class ShmHostTest : public ::testing::Test {
 protected:
  ShmHostTest() { Open(ShmHost::Options()); }

  void Open(ShmHost::Options options) {
    place_ = std::make_unique<SocketPlace>();
    host = *ShmHost::Open(place_->path(), poller.get(), std::move(options));
  }
  // Invites a session that takes its link.
  ShmKey Invite() {
    const auto key = host->Invite([this](std::shared_ptr<ShmLink> link) {
      links.push_back(std::move(link));
      return &at_server;
    });
    EXPECT_TRUE(key.ok()) << key.status();
    return *key;
  }
  std::shared_ptr<ShmLink> Come(const ShmKey& key) {
    auto link = *ShmLink::Offer(host->path(), key, ShmLink::Options());
    poller->Add(link, &at_client);
    return link;
  }
  template <typename Done>
  void PollUntil(Done done) {
    while (!done()) poller->PollOnce(absl::InfiniteDuration());
  }

  std::vector<std::shared_ptr<ShmLink>> links;
  Recorder at_client;
  Recorder at_server;
  std::unique_ptr<SocketPlace> place_;
  std::unique_ptr<ShmPoller> poller = *ShmPoller::Create({});
  std::unique_ptr<ShmHost> host;
};

TEST_F(ShmHostTest, WhoWasInvitedGetsALink) {
  const auto link = Come(Invite());
  PollUntil([&] { return at_client.ups == 1; });
  ASSERT_EQ(links.size(), 1u);
  ASSERT_TRUE(link->Send(WireOf("hello", ""), 0, &at_client).ok());
  PollUntil([&] { return at_server.wires.size() == 1; });
  EXPECT_EQ(at_server.Text(0), "hello");
  EXPECT_EQ(host->statistics().links, 1u);
}

TEST_F(ShmHostTest, KeysAreOfOneSessionAlone) {
  EXPECT_NE(Invite(), Invite());
  EXPECT_NE(Invite(), ShmKey{});
}

TEST_F(ShmHostTest, WhoWasNotInvitedIsHungUpOn) {
  Invite();
  const auto link = Come(ShmKey{1, 2, 3});
  PollUntil([&] { return !at_client.closed.empty(); });
  EXPECT_TRUE(absl::IsUnavailable(at_client.closed[0])) << at_client.closed[0];
  EXPECT_EQ(at_client.ups, 0);
  EXPECT_TRUE(links.empty());
  EXPECT_EQ(host->statistics().refused, 1u);
}

TEST_F(ShmHostTest, AKeyIsGoodForOneLink) {
  const ShmKey key = Invite();
  const auto link = Come(key);
  PollUntil([&] { return at_client.ups == 1; });
  const auto again = Come(key);
  PollUntil([&] { return !at_client.closed.empty(); });
  EXPECT_EQ(links.size(), 1u);
}

TEST_F(ShmHostTest, ASessionThatHasEndedGetsNoLink) {
  const ShmKey key = Invite();
  host->Withdraw(key);
  host->Withdraw(key);
  const auto link = Come(key);
  PollUntil([&] { return !at_client.closed.empty(); });
  EXPECT_TRUE(links.empty());

  const auto ended = host->Invite([](std::shared_ptr<ShmLink>) { return nullptr; });
  const auto late = Come(*ended);
  PollUntil([&] { return at_client.closed.size() == 2; });
  EXPECT_EQ(host->statistics().refused, 2u);
}

TEST_F(ShmHostTest, AnUnsuitableOfferUsesTheInvitationUp) {
  const ShmKey key = Invite();
  ShmLink::Options options;
  options.max_frame_bytes = 4096;
  options.geometry.bounce_bytes = 4096;  // too small for the server's frames
  const auto link = *ShmLink::Offer(host->path(), key, options);
  poller->Add(link, &at_client);
  PollUntil([&] { return !at_client.closed.empty(); });
  EXPECT_TRUE(links.empty());
  EXPECT_EQ(host->statistics().refused, 1u);
}

TEST_F(ShmHostTest, NoMoreAreInvitedThanTheLimit) {
  ShmHost::Options options;
  options.max_invited = 2;
  Open(options);
  const ShmKey first = Invite();
  Invite();
  EXPECT_TRUE(absl::IsResourceExhausted(
      host->Invite([](std::shared_ptr<ShmLink>) { return nullptr; }).status()));
  host->Withdraw(first);
  Invite();
}

TEST_F(ShmHostTest, LinksOutliveTheHost) {
  const auto link = Come(Invite());
  PollUntil([&] { return at_client.ups == 1; });
  const std::string path = host->path();
  const ShmKey late = Invite();
  host.reset();
  ASSERT_TRUE(link->Send(WireOf("hello", ""), 0, &at_client).ok());
  PollUntil([&] { return at_server.wires.size() == 1; });
  const auto unwelcome = *ShmLink::Offer(path, late, ShmLink::Options());
  poller->Add(unwelcome, &at_client);
  PollUntil([&] { return !at_client.closed.empty(); });
  EXPECT_EQ(links.size(), 1u);
}

}  // namespace
}  // namespace weir
