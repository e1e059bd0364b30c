// SPDX-License-Identifier: Apache-2.0

// What a hostile process of the same user can do over a link: end it.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "net/shm_link.h"
#include "tests/net/shm_ends.h"

namespace weir {
namespace {

using testing::Recorder;
using testing::SocketPair;
using testing::WireOf;

constexpr uint64_t kPlenty = uint64_t{1} << 40;
const ShmGeometry kGeometry{ShmGeometry::kMinRingBytes, 65536};

ShmLink::Options Small() {
  ShmLink::Options options;
  options.geometry = kGeometry;
  options.max_frame_bytes = 65536;
  return options;
}

// A server's end, and a client that does as it likes with the memory and the socket they share.
class Liar {
 public:
  Liar() {
    rings_ = *ShmSegment::Create(kGeometry.segment_bytes(), SegmentAccess::kBoth, kPlenty);
    auto [here, there] = SocketPair();
    socket_ = std::move(here);
    ShmListener::Offer offer;
    offer.message.kind = HandoverKind::kOffer;
    offer.message.geometry = kGeometry;
    offer.socket = std::move(there);
    offer.segment = ShmFd(dup(rings_->fd()));
    auto accepted = ShmLink::Accept(std::move(offer), Small());
    EXPECT_TRUE(accepted.ok()) << accepted.status();
    link = *std::move(accepted);
  }

  char* memory() { return rings_->data(); }
  int memory_fd() { return rings_->fd(); }
  int socket() { return socket_.get(); }
  ShmDirection to_server() { return DirectionOf(memory(), kGeometry, ShmSide::kClient); }
  ShmDirection to_client() { return DirectionOf(memory(), kGeometry, ShmSide::kServer); }

  // Writes a record as it is.
  void Write(RecordHead head, const std::string& bytes = "") {
    CopyToRing(to_server().ring, kGeometry.ring_bytes, tail_, &head, sizeof(head));
    CopyToRing(to_server().ring, kGeometry.ring_bytes, tail_ + sizeof(head), bytes.data(),
               bytes.size());
    tail_ += (sizeof(head) + bytes.size() + 7) / 8 * 8;
    to_server().tail->store(tail_);
  }

  void Describe(uint32_t segment, uint64_t offset, uint64_t bytes) {
    RecordHead head;
    head.kind = RecordKind::kDescribed;
    head.bytes = sizeof(head);
    head.segment = segment;
    head.offset = offset;
    head.payload_bytes = bytes;
    Write(head);
  }

  void Say(HandoverMessage message, int descriptor = -1) {
    ASSERT_TRUE(SendHandover(socket(), message, descriptor).ok());
  }
  void HandOver(uint32_t number, const ShmSegment& segment) {
    HandoverMessage message;
    message.kind = HandoverKind::kSegment;
    message.segment = number;
    message.bytes = segment.size();
    Say(message, segment.fd());
  }

  // What the server makes of it.
  absl::Status Verdict() {
    absl::Status status = link->ReadSocket(&recorder);
    for (int i = 0; i < 100 && status.ok(); ++i) status = link->Poll(&recorder).status();
    return status;
  }

  std::shared_ptr<ShmLink> link;
  Recorder recorder;

 private:
  std::shared_ptr<ShmSegment> rings_;
  ShmFd socket_;
  uint64_t tail_ = 0;
};

std::shared_ptr<ShmSegment> Segment(size_t bytes = 8192) {
  return *ShmSegment::Create(bytes, SegmentAccess::kCreatorOnly, kPlenty);
}

TEST(ShmLiesTest, WhatLiesInItsSegmentIsTaken) {
  Liar liar;
  const auto segment = Segment();
  segment->data()[8191] = 'x';
  liar.HandOver(63, *segment);
  ASSERT_TRUE(liar.Verdict().ok());
  EXPECT_EQ(ReceiveHandover(liar.socket())->message.kind, HandoverKind::kAccept);
  EXPECT_EQ(ReceiveHandover(liar.socket())->message.kind, HandoverKind::kTaken);
  liar.Describe(63, 0, 8192);
  liar.Describe(63, 8191, 1);
  liar.Describe(kBounceSegment, 0, 65536);
  EXPECT_TRUE(liar.Verdict().ok());
  ASSERT_EQ(liar.recorder.wires.size(), 3u);
  EXPECT_EQ(liar.recorder.Text(1), "x");
}

TEST(ShmLiesTest, WhatLiesInNoSegmentEndsTheLink) {
  const uint64_t kMost = ~uint64_t{0};
  const std::vector<std::array<uint64_t, 3>> lies = {{1, 0, 1},
                                                     {64, 0, 1},
                                                     {kBounceSegment - 1, 0, 1},
                                                     {63, 8192, 1},
                                                     {63, 8191, 2},
                                                     {63, 0, 8193},
                                                     {63, kMost, 1},
                                                     {63, kMost - 4095, 4096},
                                                     {63, kMost, 65536},
                                                     {kBounceSegment, 65536, 1},
                                                     {kBounceSegment, 1, 65536}};
  for (const auto& [segment, offset, bytes] : lies) {
    Liar liar;
    liar.HandOver(63, *Segment());
    ASSERT_TRUE(liar.Verdict().ok());
    liar.Describe(static_cast<uint32_t>(segment), offset, bytes);
    const absl::Status status = liar.Verdict();
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << segment << " " << offset << " " << bytes;
    EXPECT_TRUE(liar.recorder.wires.empty());
  }
}

TEST(ShmLiesTest, WhatCameBeforeALieIsHandedOnAndWhatCameBehindItIsNot) {
  Liar liar;
  liar.Write(RecordHead{32});
  RecordHead hurried{32};
  hurried.kind = RecordKind::kHurried;
  liar.Write(hurried);
  liar.Describe(1, 0, 1);  // in no segment
  liar.Write(RecordHead{32});
  EXPECT_TRUE(absl::IsInvalidArgument(liar.Verdict()));
  EXPECT_EQ(liar.recorder.wires.size(), 2u);
}

TEST(ShmLiesTest, TooLargeAFrameEndsTheLink) {
  Liar liar;
  liar.Describe(kBounceSegment, 0, 65537);
  EXPECT_TRUE(absl::IsResourceExhausted(liar.Verdict()));
}

TEST(ShmLiesTest, IndexesThatLieEndTheLink) {
  {
    Liar liar;
    liar.to_server().tail->store(kGeometry.ring_bytes + 8);
    EXPECT_TRUE(absl::IsInvalidArgument(liar.Verdict()));
  }
  {
    Liar liar;
    liar.Write(RecordHead{32});
    ASSERT_TRUE(liar.Verdict().ok());
    liar.to_server().tail->store(0);  // back
    EXPECT_TRUE(absl::IsInvalidArgument(liar.Verdict()));
  }
  {
    Liar liar;
    liar.to_client().released->store(1);  // nothing was sent
    ASSERT_TRUE(liar.link->Send(WireOf("h", std::string(5000, 'p')), 5000, &liar.recorder).ok());
    liar.to_client().released->store(2);  // one was
    EXPECT_TRUE(absl::IsInvalidArgument(liar.Verdict()));
    EXPECT_TRUE(liar.recorder.sent.empty());
  }
  {
    Liar liar;
    liar.to_client().head->store(uint64_t{1} << 50);
    absl::Status status;
    for (int i = 0; i < 20 && status.ok(); ++i)
      status = liar.link->Send(WireOf("h", std::string(4000, 'p')), 4000, &liar.recorder);
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
  }
}

TEST(ShmLiesTest, HolesPunchedIntoTheRingsReadAsZerosAndEndTheLink) {
  Liar liar;
  for (int i = 0; i < 5; ++i) liar.Write(RecordHead{32});
  ASSERT_TRUE(liar.Verdict().ok());
  ASSERT_EQ(liar.recorder.wires.size(), 5u);
  ASSERT_EQ(fallocate(liar.memory_fd(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0,
                      static_cast<off_t>(kGeometry.segment_bytes())),
            0);
  EXPECT_TRUE(absl::IsInvalidArgument(liar.Verdict()));  // the tail went back
}

TEST(ShmLiesTest, AHoleUnderARecordEndsTheLink) {
  Liar liar;
  liar.Write(RecordHead{32});
  ASSERT_EQ(fallocate(liar.memory_fd(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                      ShmGeometry::kControlBytes, static_cast<off_t>(kGeometry.ring_bytes)),
            0);
  EXPECT_TRUE(absl::IsInvalidArgument(liar.Verdict()));
}

TEST(ShmLiesTest, AHoleUnderAPayloadIsAPayloadOfZeros) {
  Liar liar;
  std::memset(liar.to_server().bounce, 'x', 8192);
  liar.Describe(kBounceSegment, 0, 8192);
  const off_t bounce = liar.to_server().bounce - liar.memory();
  ASSERT_EQ(fallocate(liar.memory_fd(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, bounce, 8192),
            0);
  ASSERT_TRUE(liar.Verdict().ok());
  EXPECT_EQ(liar.recorder.Text(0), std::string(8192, '\0'));
}

TEST(ShmLiesTest, MessagesWhereTheyHaveNoPlaceEndTheLink) {
  HandoverMessage message;
  for (const HandoverKind kind :
       {HandoverKind::kAccept, HandoverKind::kTaken, HandoverKind::kRefused}) {
    Liar liar;
    message.kind = kind;
    liar.Say(message);
    EXPECT_TRUE(absl::IsInvalidArgument(liar.Verdict())) << static_cast<int>(kind);
  }
  Liar liar;
  message.kind = HandoverKind::kOffer;
  liar.Say(message, liar.memory_fd());
  EXPECT_TRUE(absl::IsInvalidArgument(liar.Verdict()));
}

TEST(ShmLiesTest, ASegmentNumberMayBeUsedOnceAndOnlyWithinItsRange) {
  Liar liar;
  liar.HandOver(64, *Segment());
  EXPECT_TRUE(absl::IsInvalidArgument(liar.Verdict()));
  Liar twice;
  twice.HandOver(3, *Segment());
  twice.HandOver(3, *Segment());
  EXPECT_TRUE(absl::IsInvalidArgument(twice.Verdict()));
}

TEST(ShmLiesTest, AnUnsuitableSegmentIsRefusedAndNotMapped) {
  Liar liar;
  const auto unsealed = *ShmSegment::Create(8192, SegmentAccess::kBoth, kPlenty);
  const size_t mapped = testing::MappedSegments();
  liar.HandOver(0, *unsealed);
  ASSERT_TRUE(liar.Verdict().ok());
  EXPECT_EQ(ReceiveHandover(liar.socket())->message.kind, HandoverKind::kAccept);
  EXPECT_EQ(ReceiveHandover(liar.socket())->message.kind, HandoverKind::kRefused);
  EXPECT_EQ(testing::MappedSegments(), mapped);
  liar.Describe(0, 0, 1);
  EXPECT_TRUE(absl::IsInvalidArgument(liar.Verdict()));
}

TEST(ShmLiesTest, AnUnsuitableOfferIsRefused) {
  const auto verdict = [](ShmGeometry geometry, SegmentAccess access, uint64_t bytes) {
    auto [here, there] = SocketPair();
    ShmListener::Offer offer;
    offer.message.geometry = geometry;
    offer.segment = ShmFd(dup((*ShmSegment::Create(bytes, access, kPlenty))->fd()));
    offer.socket = std::move(there);
    return ShmLink::Accept(std::move(offer), Small()).status();
  };
  const uint64_t bytes = kGeometry.segment_bytes();
  EXPECT_TRUE(verdict(kGeometry, SegmentAccess::kBoth, bytes).ok());
  EXPECT_TRUE(absl::IsFailedPrecondition(verdict(kGeometry, SegmentAccess::kCreatorOnly, bytes)));
  EXPECT_TRUE(absl::IsFailedPrecondition(verdict(kGeometry, SegmentAccess::kBoth, bytes - 4096)));
  EXPECT_TRUE(absl::IsInvalidArgument(
      verdict(ShmGeometry{~uint64_t{0}, 65536}, SegmentAccess::kBoth, bytes)));
  EXPECT_TRUE(absl::IsInvalidArgument(
      verdict(ShmGeometry{1 << 20, ~uint64_t{0} - 4095}, SegmentAccess::kBoth, bytes)));
  EXPECT_TRUE(
      absl::IsInvalidArgument(verdict(ShmGeometry{1 << 20, 4096}, SegmentAccess::kBoth, bytes)));
}

TEST(ShmLiesTest, APeerThatKeepsEveryPayloadIsNotReadForEver) {
  Liar liar;
  absl::Status status;
  for (int i = 0; i < 70000 && status.ok(); ++i) {
    liar.Describe(kBounceSegment, 0, 1);
    if (i % 100 == 99) status = liar.Verdict();
  }
  EXPECT_TRUE(absl::IsResourceExhausted(status)) << status;
}

TEST(ShmLiesTest, WhateverTheMemoryHoldsTheServerReadsWithinIt) {
  std::mt19937_64 random(5);
  for (int round = 0; round < 300; ++round) {
    Liar liar;
    const auto segment = Segment();
    liar.HandOver(0, *segment);
    absl::Status status = liar.Verdict();
    for (int i = 0; i < 50 && status.ok(); ++i) {
      switch (random() % 5) {
        case 0:
          liar.Describe(random() % 2 == 0 ? 0 : kBounceSegment, random() % 8192, random() % 8192);
          break;
        case 1:
          liar.Write(RecordHead{32});
          break;
        case 2:
          liar.to_server().ring[random() % kGeometry.ring_bytes] = static_cast<char>(random());
          break;
        case 3:
          liar.memory()[random() % 2048] ^= static_cast<char>(1 << random() % 8);
          break;
        default:
          status =
              liar.link->Send(WireOf("h", std::string(random() % 9000, 'p')), 0, &liar.recorder);
      }
      if (status.ok()) status = liar.Verdict();
      for (const Payload& wire : liar.recorder.wires) {
        std::string text(wire.size(), '\0');
        wire.CopyTo(&text[0]);
      }
      if (random() % 4 == 0) liar.recorder.wires.clear();
    }
  }
}

}  // namespace
}  // namespace weir
