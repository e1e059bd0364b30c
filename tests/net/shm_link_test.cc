// SPDX-License-Identifier: Apache-2.0
#include "net/shm_link.h"

#include <gtest/gtest.h>
#include <poll.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "core/buffer.h"
#include "tests/net/shm_ends.h"

namespace weir {
namespace {

using testing::Descriptors;
using testing::MappedSegments;
using testing::Recorder;
using testing::SocketPlace;
using testing::WireAt;
using testing::WireOf;

constexpr uint64_t kPlenty = uint64_t{1} << 40;

ShmLink::Options Small() {
  ShmLink::Options options;
  options.geometry = ShmGeometry{ShmGeometry::kMinRingBytes, 65536};
  options.max_frame_bytes = 65536;
  options.available_bytes = [] { return kPlenty; };
  return options;
}

std::shared_ptr<ShmArena> SmallArena() {
  ShmArena::Options options;
  options.segment_bytes = size_t{1} << 20;
  options.available_bytes = [] { return kPlenty; };
  return std::make_shared<ShmArena>(options);
}

// Both ends of a link in one process, which does what their pollers would.
class Ends {
 public:
  explicit Ends(const ShmLink::Options& client_options = Small(),
                const ShmLink::Options& server_options = Small()) {
    listener_ = *ShmListener::Listen(place_.path(), {});
    auto offered = ShmLink::Offer(place_.path(), ShmKey{1}, client_options);
    EXPECT_TRUE(offered.ok()) << offered.status();
    client = *std::move(offered);
    listener_->Run(absl::UnixEpoch());
    auto offers = listener_->Run(absl::UnixEpoch());
    EXPECT_EQ(offers.size(), 1u);
    auto accepted = ShmLink::Accept(std::move(offers.at(0)), server_options);
    EXPECT_TRUE(accepted.ok()) << accepted.status();
    server = *std::move(accepted);
    Run();
    EXPECT_EQ(at_client.ups, 1);
  }

  // Until nothing happens any more.
  void Run() {
    for (int i = 0; i < 1000; ++i) {
      bool worked = Step(client.get(), &at_client, &client_status);
      worked = Step(server.get(), &at_server, &server_status) || worked;
      if (!worked) return;
    }
    FAIL() << "it goes on for ever";
  }

  std::shared_ptr<ShmLink> client;
  std::shared_ptr<ShmLink> server;
  Recorder at_client;
  Recorder at_server;
  absl::Status client_status;  // what ended it
  absl::Status server_status;

 private:
  static bool Step(ShmLink* link, Recorder* recorder, absl::Status* status) {
    if (link == nullptr || !status->ok()) return false;
    const absl::StatusOr<bool> polled = link->Poll(recorder);
    *status = polled.status();
    if (status->ok()) *status = link->ReadSocket(recorder);
    if (!status->ok()) recorder->OnClosed(link->Finish(*status, recorder));
    return !status->ok() || *polled;
  }

  SocketPlace place_;
  std::unique_ptr<ShmListener> listener_;
};

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

TEST(ShmLinkTest, ASmallPayloadHasLeftAtOnce) {
  Ends ends;
  ASSERT_TRUE(
      ends.client
          ->Send(WireOf("h", std::string(kMaxInlineBytes, 'p')), kMaxInlineBytes, &ends.at_client)
          .ok());
  EXPECT_EQ(ends.at_client.sent, std::vector<uint64_t>{kMaxInlineBytes});
  EXPECT_FALSE(ends.client->waiting());
}

TEST(ShmLinkTest, APayloadInTheArenaIsReadWhereItLies) {
  ShmLink::Options options = Small();
  options.arena = SmallArena();
  Ends ends(Small(), options);
  BufferPool pool(BufferPool::kNoLimit, options.arena);
  const Buffer weights = pool.Allocate(20000);
  std::memset(weights.data(), 'w', 20000);
  // The first hands the segment over, and is a copy; from then on nothing is copied.
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(
        ends.server
            ->Send(WireAt("head", weights.data(), 20000, weights.owner()), 20000, &ends.at_server)
            .ok());
    ends.Run();
  }
  EXPECT_EQ(ends.server->sent().copied_bytes, 20000u);
  EXPECT_EQ(ends.server->sent().described_bytes, 40000u);
  ASSERT_EQ(ends.at_client.wires.size(), 3u);
  for (size_t i = 0; i < 3; ++i)
    EXPECT_EQ(ends.at_client.Text(i), "head" + std::string(20000, 'w'));
  std::memset(weights.data(), 'x', 20000);
  EXPECT_EQ(ends.at_client.Text(0), "head" + std::string(20000, 'w'));
  EXPECT_EQ(ends.at_client.Text(1), "head" + std::string(20000, 'x'));  // the same memory
}

TEST(ShmLinkTest, APayloadIsHeldUntilTheReceiverLetsGoOfIt) {
  ShmLink::Options options = Small();
  options.arena = SmallArena();
  Ends ends(Small(), options);
  BufferPool pool(BufferPool::kNoLimit, options.arena);
  Buffer weights = pool.Allocate(20000);
  for (int i = 0; i < 2; ++i) {
    ASSERT_TRUE(
        ends.server
            ->Send(WireAt("h", weights.data(), 20000, weights.owner()), 20000, &ends.at_server)
            .ok());
    ends.Run();
  }
  EXPECT_TRUE(ends.at_server.sent.empty());
  EXPECT_FALSE(weights.unique());
  EXPECT_TRUE(ends.server->waiting());
  const uint64_t before = ends.server->progress();
  ends.at_client.wires.clear();
  ends.Run();
  EXPECT_EQ(ends.at_server.sent, (std::vector<uint64_t>{20000, 20000}));
  EXPECT_TRUE(weights.unique());
  EXPECT_FALSE(ends.server->waiting());
  EXPECT_GT(ends.server->progress(), before);
}

TEST(ShmLinkTest, PayloadsAreLetGoOfInTheOrderOfTheFrames) {
  Ends ends;
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(ends.client
                    ->Send(WireOf("h", std::string(5000 + static_cast<size_t>(i), 'p')),
                           5000 + static_cast<uint64_t>(i), &ends.at_client)
                    .ok());
  }
  ends.Run();
  ASSERT_EQ(ends.at_server.wires.size(), 3u);
  ends.at_server.wires[2] = Payload();
  ends.at_server.wires[1] = Payload();
  ends.Run();
  EXPECT_TRUE(ends.at_client.sent.empty());
  ends.at_server.wires[0] = Payload();
  ends.Run();
  EXPECT_EQ(ends.at_client.sent, (std::vector<uint64_t>{5000, 5001, 5002}));
}

TEST(ShmLinkTest, WhatLiesElsewhereIsCopiedAndWaitsForRoom) {
  Ends ends;
  const std::string payload(30000, 'p');  // two fit the bounce area
  for (int i = 0; i < 5; ++i)
    ASSERT_TRUE(ends.client->Send(WireOf("h", payload), 30000, &ends.at_client).ok());
  ends.Run();
  EXPECT_EQ(ends.at_server.wires.size(), 2u);
  EXPECT_EQ(ends.client->sent().copied_bytes, 60000u);
  for (size_t i = 0; i < 5; ++i) {
    ASSERT_GT(ends.at_server.wires.size(), i);
    EXPECT_EQ(ends.at_server.Text(i), "h" + payload);
    ends.at_server.wires[i] = Payload();
    ends.Run();
  }
  EXPECT_EQ(ends.at_client.sent.size(), 5u);
}

TEST(ShmLinkTest, ALongHeaderTravelsWholeAndIsCopiedBeforeItIsRead) {
  Ends ends;
  const std::string header(20000, 'h');
  ASSERT_TRUE(
      ends.client->Send(WireOf(header, std::string(30000, 'p')), 30000, &ends.at_client).ok());
  ends.Run();
  ASSERT_EQ(ends.at_server.wires.size(), 1u);
  EXPECT_EQ(ends.at_server.Text(0), header + std::string(30000, 'p'));
  EXPECT_EQ(ends.at_client.sent, std::vector<uint64_t>{30000});  // nothing is held
}

TEST(ShmLinkTest, APayloadInManyPiecesArrivesInOne) {
  Ends ends;
  Payload wire;
  std::vector<std::string> pieces;
  for (int i = 0; i < 10; ++i)
    pieces.push_back(std::string(1000 + static_cast<size_t>(i), 'a' + i));
  std::string all;
  for (const std::string& piece : pieces) {
    wire.Append(piece.data(), piece.size(), nullptr);
    all += piece;
  }
  ASSERT_TRUE(ends.client->Send(wire, all.size() - 500, &ends.at_client).ok());
  ends.Run();
  ASSERT_EQ(ends.at_server.wires.size(), 1u);
  EXPECT_EQ(ends.at_server.Text(0), all);
  EXPECT_EQ(ends.at_server.wires[0].chunks().size(), 2u);
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

TEST(ShmLinkTest, ASegmentThatThePeerRefusesIsDoneWithout) {
  ShmLink::Options client = Small();
  client.arena = SmallArena();
  ShmLink::Options server = Small();
  server.max_peer_bytes = 4096;
  Ends ends(client, server);
  const std::string expected = "h" + std::string(20000, '\0');
  for (size_t i = 0; i < 3; ++i) {
    char* block = client.arena->Take(20000);
    ASSERT_TRUE(ends.client->Send(WireAt("h", block, 20000, nullptr), 20000, &ends.at_client).ok());
    ends.Run();
    ASSERT_EQ(ends.at_server.Text(i), expected);
    ends.at_server.wires[i] = WireOf(expected, "");
    ends.Run();
  }
  EXPECT_EQ(ends.client->sent().described_bytes, 0u);
  EXPECT_TRUE(ends.at_server.closed.empty());
}

TEST(ShmLinkTest, ACopyThatWaitsForRoomIsNotNeededOnceThePeerHasTheSegment) {
  ShmLink::Options client = Small();
  client.arena = SmallArena();
  Ends ends(client);
  char* block = client.arena->Take(40000);
  for (int i = 0; i < 2; ++i)
    ASSERT_TRUE(ends.client->Send(WireAt("h", block, 40000, nullptr), 40000, &ends.at_client).ok());
  EXPECT_EQ(ends.client->sent().frames, 1u);  // there is room for one copy
  ends.Run();
  EXPECT_EQ(ends.at_server.wires.size(), 2u);
  EXPECT_EQ(ends.client->sent().described_bytes, 40000u);
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

TEST(ShmLinkTest, APayloadMayOutliveItsLink) {
  Payload kept;
  {
    Ends ends;
    ASSERT_TRUE(ends.client->Send(WireOf("h", std::string(5000, 'p')), 5000, &ends.at_client).ok());
    ends.Run();
    kept = std::move(ends.at_server.wires.at(0));
  }
  std::string text(kept.size(), '\0');
  kept.CopyTo(&text[0]);
  EXPECT_EQ(text, "h" + std::string(5000, 'p'));
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
