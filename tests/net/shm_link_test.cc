// SPDX-License-Identifier: Apache-2.0
// Frames over a link: their order, what is full, how it ends, who is woken.
#include "net/shm_link.h"

#include <gtest/gtest.h>
#include <poll.h>

#include <string>
#include <utility>
#include <vector>

#include "tests/net/shm_ends.h"
#include "tests/net/shm_link_harness.h"

namespace weir {
namespace {

using testing::Descriptors;
using testing::Ends;
using testing::MappedSegments;
using testing::Recorder;
using testing::Small;
using testing::SmallArena;
using testing::SocketPlace;
using testing::WireAt;
using testing::WireOf;

TEST(ShmLinkTest, FramesArriveInOrderBothWays) {
  Ends ends;
  for (int i = 0; i < 20; ++i) {
    ASSERT_TRUE(
        ends.client->Send(WireOf("c" + std::to_string(i), "payload"), 7, &ends.at_client).ok());
    ASSERT_TRUE(ends.server->Send(WireOf("s" + std::to_string(i), ""), 0, &ends.at_server).ok());
  }
  ends.Run();
  ASSERT_EQ(ends.at_server.wires.size(), 20u);
  ASSERT_EQ(ends.at_client.wires.size(), 20u);
  for (size_t i = 0; i < 20; ++i) {
    EXPECT_EQ(ends.at_server.Text(i), "c" + std::to_string(i) + "payload");
    EXPECT_EQ(ends.at_server.payload_bytes[i], 7u);
    EXPECT_EQ(ends.at_client.Text(i), "s" + std::to_string(i));
  }
}

TEST(ShmLinkTest, AFrameInAHurryOvertakesWhatWaitsToBeHandedOn) {
  Ends ends;
  for (int i = 0; i < 3; ++i)
    ASSERT_TRUE(
        ends.client
            ->Send(WireOf("g" + std::to_string(i), std::string(5000, 'p')), 5000, &ends.at_client)
            .ok());
  ASSERT_TRUE(ends.client->SendInHurry(WireOf("pull", ""), 0, &ends.at_client).ok());
  ends.Run();
  ASSERT_EQ(ends.at_server.wires.size(), 4u);
  EXPECT_EQ(ends.at_server.Text(0), "pull");
  EXPECT_EQ(ends.at_server.Text(1).substr(0, 2), "g0");
  EXPECT_EQ(ends.at_server.Text(3).substr(0, 2), "g2");
}

TEST(ShmLinkTest, FramesInAHurryOvertakeEightAtATimeSoThatNobodyWaitsForEver) {
  Ends ends;
  ASSERT_TRUE(ends.client->Send(WireOf("g0", ""), 0, &ends.at_client).ok());
  for (int i = 0; i < 10; ++i)
    ASSERT_TRUE(
        ends.client->SendInHurry(WireOf("p" + std::to_string(i), ""), 0, &ends.at_client).ok());
  ends.Run();
  ASSERT_EQ(ends.at_server.wires.size(), 11u);
  EXPECT_EQ(ends.at_server.Text(7), "p7");
  EXPECT_EQ(ends.at_server.Text(8), "g0");
  EXPECT_EQ(ends.at_server.Text(10), "p9");
}

TEST(ShmLinkTest, ALargeFrameIsInNoHurry) {
  Ends ends;
  ASSERT_TRUE(ends.client->Send(WireOf("g0", ""), 0, &ends.at_client).ok());
  ASSERT_TRUE(
      ends.client->SendInHurry(WireOf("g1", std::string(5000, 'p')), 5000, &ends.at_client).ok());
  ends.Run();
  ASSERT_EQ(ends.at_server.wires.size(), 2u);
  EXPECT_EQ(ends.at_server.Text(0), "g0");
}

TEST(ShmLinkTest, WhatIsReadAheadIsBoundedInFramesAndInBytes) {
  ShmReadAhead ahead;
  for (size_t i = 0; i < ShmReadAhead::kMaxFrames; ++i) {
    EXPECT_FALSE(ahead.full());
    ahead.Push(ShmInbound::Frame{});
  }
  EXPECT_TRUE(ahead.full());
  while (ahead.Take()) continue;
  EXPECT_TRUE(ahead.empty());
  ShmInbound::Frame large;
  large.copied_bytes = ShmReadAhead::kMaxBytes;
  ahead.Push(std::move(large));
  EXPECT_TRUE(ahead.full());
  EXPECT_TRUE(ahead.Take().has_value());
  EXPECT_FALSE(ahead.full());
}

TEST(ShmLinkTest, AFrameThatIsSeenBeforeTheWordThatTheLinkIsUpIsNoLie) {
  const SocketPlace place;
  const auto listener = *ShmListener::Listen(place.path(), {});
  const auto client = *ShmLink::Offer(place.path(), ShmKey{1}, Small());
  listener->Run(absl::UnixEpoch());
  const auto server = *ShmLink::Accept(std::move(listener->Run(absl::UnixEpoch()).at(0)), Small());
  Recorder recorder;
  ASSERT_TRUE(server->Send(WireOf("early", ""), 0, &recorder).ok());
  ASSERT_TRUE(client->Poll(&recorder).ok());
  EXPECT_EQ(recorder.ups, 1);
  EXPECT_EQ(recorder.wires.size(), 1u);
}

TEST(ShmLinkTest, AFullRingMakesFramesWaitAndThenTheyGoOn) {
  Ends ends;
  for (int i = 0; i < 100; ++i) {
    ASSERT_TRUE(
        ends.client->Send(WireOf(std::to_string(i), std::string(4000, 'p')), 4000, &ends.at_client)
            .ok());
  }
  EXPECT_LT(ends.at_client.sent.size(), 10u);
  ends.Run();
  ASSERT_EQ(ends.at_server.wires.size(), 100u);
  for (size_t i = 0; i < 100; ++i)
    EXPECT_EQ(ends.at_server.Text(i), std::to_string(i) + std::string(4000, 'p'));
}

TEST(ShmLinkTest, APeerThatDoesNotReadEndsTheLinkWhenTheQueueIsFull) {
  ShmLink::Options options = Small();
  options.max_queued_bytes = 100000;
  Ends ends(options);
  absl::Status status;
  for (int i = 0; i < 100 && status.ok(); ++i)
    status = ends.client->Send(WireOf("h", std::string(4000, 'p')), 4000, &ends.at_client);
  EXPECT_TRUE(absl::IsResourceExhausted(status)) << status;
  ends.Run();
  ASSERT_EQ(ends.at_client.closed.size(), 1u);
  EXPECT_TRUE(absl::IsResourceExhausted(ends.at_client.closed[0])) << ends.at_client.closed[0];
  EXPECT_TRUE(absl::IsUnavailable(ends.at_server.closed.at(0)));
}

TEST(ShmLinkTest, TooLargeAFrameIsRefusedByItsSender) {
  Ends ends;
  const std::string large(65536, 'p');
  EXPECT_TRUE(absl::IsInvalidArgument(
      ends.client->Send(WireOf("h", large), large.size(), &ends.at_client)));
}

TEST(ShmLinkTest, WhatThePeerSentBeforeItWentIsStillHandedOn) {
  Ends ends;
  for (int i = 0; i < 100; ++i)
    ASSERT_TRUE(ends.client->Send(WireOf("bye", ""), 0, &ends.at_client).ok());
  ends.client.reset();
  ends.Run();
  EXPECT_EQ(ends.at_server.wires.size(), 100u);
  ASSERT_EQ(ends.at_server.closed.size(), 1u);
  EXPECT_TRUE(absl::IsUnavailable(ends.at_server.closed[0])) << ends.at_server.closed[0];
}

TEST(ShmLinkTest, ClosingEndsBothSidesAndDropsWhatIsHeld) {
  Ends ends;
  const auto owner = std::make_shared<int>(1);
  const std::string payload(50000, 'p');
  for (int i = 0; i < 3; ++i)
    ASSERT_TRUE(
        ends.client->Send(WireAt("h", payload.data(), 50000, owner), 50000, &ends.at_client).ok());
  ends.client->Close(absl::CancelledError("enough"));
  ends.Run();
  EXPECT_EQ(ends.at_client.closed.at(0), absl::CancelledError("enough"));
  EXPECT_TRUE(absl::IsUnavailable(ends.at_server.closed.at(0)));
  EXPECT_EQ(owner.use_count(), 1);
  EXPECT_TRUE(absl::IsUnavailable(ends.client->Send(WireOf("h", ""), 0, &ends.at_client)));
}

TEST(ShmLinkTest, NothingIsLeftOfALink) {
  const size_t descriptors = Descriptors();
  const size_t mapped = MappedSegments();
  {
    ShmLink::Options options = Small();
    options.arena = SmallArena();
    Ends ends(options, options);
    char* block = options.arena->Take(20000);
    for (int i = 0; i < 3; ++i) {
      ASSERT_TRUE(
          ends.client->Send(WireAt("h", block, 20000, nullptr), 20000, &ends.at_client).ok());
      ends.Run();
    }
    EXPECT_EQ(MappedSegments(), mapped + 4);  // rings and arena, twice
  }
  EXPECT_EQ(Descriptors(), descriptors);
  EXPECT_EQ(MappedSegments(), mapped);
}

bool HasMessage(const ShmLink& link) {
  pollfd readable{link.socket(), POLLIN, 0};
  return poll(&readable, 1, 0) == 1;
}

TEST(ShmLinkTest, OnlyASleeperIsWoken) {
  Ends ends;
  ASSERT_TRUE(ends.client->Send(WireOf("1", ""), 0, &ends.at_client).ok());
  EXPECT_FALSE(HasMessage(*ends.server));
  EXPECT_FALSE(ends.server->PrepareSleep());  // there is a frame
  ends.server->Wake();
  ends.Run();
  EXPECT_TRUE(ends.server->PrepareSleep());
  ASSERT_TRUE(ends.client->Send(WireOf("2", ""), 0, &ends.at_client).ok());
  EXPECT_TRUE(HasMessage(*ends.server));
  ASSERT_TRUE(ends.server->ReadSocket(&ends.at_server).ok());
  ASSERT_TRUE(ends.client->Send(WireOf("3", ""), 0, &ends.at_client).ok());
  EXPECT_FALSE(HasMessage(*ends.server));  // one bell for a sleep
}

TEST(ShmLinkTest, AStarvedSleeperIsWokenByRoom) {
  Ends ends;
  for (int i = 0; i < 20; ++i) {
    ASSERT_TRUE(ends.client->Send(WireOf("h", std::string(4000, 'p')), 4000, &ends.at_client).ok());
  }
  ASSERT_TRUE(ends.client->PrepareSleep());
  ASSERT_TRUE(ends.server->Poll(&ends.at_server).ok());
  EXPECT_TRUE(HasMessage(*ends.client));
}

TEST(ShmLinkTest, AStarvedSleeperIsWokenByWhatIsLetGoOf) {
  Ends ends;
  for (int i = 0; i < 2; ++i)
    ASSERT_TRUE(
        ends.client->Send(WireOf("h", std::string(60000, 'p')), 60000, &ends.at_client).ok());
  ends.Run();
  ASSERT_EQ(ends.at_server.wires.size(), 1u);
  ASSERT_TRUE(ends.client->PrepareSleep());
  ends.at_server.wires.clear();
  EXPECT_TRUE(HasMessage(*ends.client));
}

TEST(ShmLinkTest, WithoutMemoryOrAListenerNothingIsOffered) {
  const SocketPlace place;
  ShmLink::Options options = Small();
  EXPECT_TRUE(absl::IsUnavailable(ShmLink::Offer(place.path(), ShmKey{}, options).status()));
  options.available_bytes = [] { return uint64_t{1000}; };
  const auto offered = ShmLink::Offer(place.path(), ShmKey{}, options);
  EXPECT_TRUE(absl::IsResourceExhausted(offered.status())) << offered.status();
  options = Small();
  options.geometry.ring_bytes = 1000;
  EXPECT_TRUE(absl::IsInvalidArgument(ShmLink::Offer(place.path(), ShmKey{}, options).status()));
}

}  // namespace
}  // namespace weir
