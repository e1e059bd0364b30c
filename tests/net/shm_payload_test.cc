// SPDX-License-Identifier: Apache-2.0
// Payloads over a link: where they lie, which are copied, and how long they are held.
#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "core/buffer.h"
#include "net/shm_link.h"
#include "tests/net/shm_ends.h"
#include "tests/net/shm_link_harness.h"

namespace weir {
namespace {

using testing::Ends;
using testing::Small;
using testing::SmallArena;
using testing::WireAt;
using testing::WireOf;

TEST(ShmPayloadTest, ASmallPayloadHasLeftAtOnce) {
  Ends ends;
  ASSERT_TRUE(
      ends.client
          ->Send(WireOf("h", std::string(kMaxInlineBytes, 'p')), kMaxInlineBytes, &ends.at_client)
          .ok());
  EXPECT_EQ(ends.at_client.sent, std::vector<uint64_t>{kMaxInlineBytes});
  EXPECT_FALSE(ends.client->waiting());
}

TEST(ShmPayloadTest, APayloadInTheArenaIsReadWhereItLies) {
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

TEST(ShmPayloadTest, APayloadIsHeldUntilTheReceiverLetsGoOfIt) {
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

TEST(ShmPayloadTest, PayloadsAreLetGoOfInTheOrderOfTheFrames) {
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

TEST(ShmPayloadTest, WhatLiesElsewhereIsCopiedAndWaitsForRoom) {
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

TEST(ShmPayloadTest, ALongHeaderTravelsWholeAndIsCopiedBeforeItIsRead) {
  Ends ends;
  const std::string header(20000, 'h');
  ASSERT_TRUE(
      ends.client->Send(WireOf(header, std::string(30000, 'p')), 30000, &ends.at_client).ok());
  ends.Run();
  ASSERT_EQ(ends.at_server.wires.size(), 1u);
  EXPECT_EQ(ends.at_server.Text(0), header + std::string(30000, 'p'));
  EXPECT_EQ(ends.at_client.sent, std::vector<uint64_t>{30000});  // nothing is held
}

TEST(ShmPayloadTest, APayloadInManyPiecesArrivesInOne) {
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

TEST(ShmPayloadTest, ASegmentThatThePeerRefusesIsDoneWithout) {
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

TEST(ShmPayloadTest, ACopyThatWaitsForRoomIsNotNeededOnceThePeerHasTheSegment) {
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

TEST(ShmPayloadTest, APayloadMayOutliveItsLink) {
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

}  // namespace
}  // namespace weir
