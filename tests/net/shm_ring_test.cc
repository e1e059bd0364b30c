// SPDX-License-Identifier: Apache-2.0
#include "net/shm_ring.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <random>
#include <string>
#include <thread>
#include <vector>

namespace weir {
namespace {

constexpr uint64_t kMaxFrame = uint64_t{1} << 20;
using Random = std::mt19937_64;

Payload Bytes(const std::string& text) {
  auto copy = std::make_shared<std::string>(text);
  Payload payload;
  payload.Append(copy->data(), copy->size(), copy);
  return payload;
}

RecordHead Inline(uint32_t header_bytes, uint64_t payload_bytes) {
  RecordHead head;
  head.header_bytes = header_bytes;
  head.payload_bytes = payload_bytes;
  head.bytes = static_cast<uint32_t>(RecordBytes(head.kind, header_bytes, payload_bytes));
  return head;
}

RecordHead Described(uint32_t header_bytes, uint32_t segment, uint64_t offset, uint64_t bytes) {
  RecordHead head;
  head.kind = RecordKind::kDescribed;
  head.header_bytes = header_bytes;
  head.segment = segment;
  head.offset = offset;
  head.payload_bytes = bytes;
  head.bytes = static_cast<uint32_t>(RecordBytes(head.kind, header_bytes, bytes));
  return head;
}

// A ring in ordinary memory.
class Ring {
 public:
  Ring() : memory_(geometry_.segment_bytes() / sizeof(uint64_t)) {
    geometry_.ring_bytes = ShmGeometry::kMinRingBytes;
  }
  ShmDirection direction() {
    return DirectionOf(reinterpret_cast<char*>(memory_.data()), geometry_, ShmSide::kClient);
  }

 private:
  ShmGeometry geometry_;
  std::vector<uint64_t> memory_;
};

TEST(ShmRingTest, RecordsComeOutAsTheyWentInAlsoAcrossTheEndOfTheRing) {
  Ring ring;
  ShmRingWriter writer(ring.direction());
  ShmRingReader reader(ring.direction(), kMaxFrame);
  Random random(1);
  for (int i = 0; i < 5000; ++i) {
    const size_t header = 1 + random() % 3000;
    std::string text(header + random() % kMaxInlineBytes, static_cast<char>(i));
    const RecordHead head = Inline(static_cast<uint32_t>(header), text.size() - header);
    ASSERT_TRUE(*writer.HasRoom(head.bytes));
    writer.Write(head, Bytes(text));
    ASSERT_TRUE(reader.HasNext());
    const auto record = reader.Next();
    ASSERT_TRUE(record.ok()) << record.status();
    ASSERT_EQ(std::string(record->bytes.get(), record->size), text);
    ASSERT_EQ(record->head.header_bytes, header);
    ASSERT_FALSE(reader.HasNext());
    reader.Publish();
  }
}

TEST(ShmRingTest, ADescribedPayloadTravelsAsItsPlace) {
  Ring ring;
  ShmRingWriter writer(ring.direction());
  ShmRingReader reader(ring.direction(), kMaxFrame);
  writer.Write(Described(3, 7, 4096, 1000), Bytes("abcdefgh"));
  const auto record = reader.Next();
  ASSERT_TRUE(record.ok()) << record.status();
  EXPECT_EQ(std::string(record->bytes.get(), record->size), "abc");
  EXPECT_EQ(record->head.segment, 7u);
  EXPECT_EQ(record->head.offset, 4096u);
  EXPECT_EQ(record->head.payload_bytes, 1000u);
}

TEST(ShmRingTest, AFullRingHasNoRoomUntilItsReaderHasPublished) {
  Ring ring;
  ShmRingWriter writer(ring.direction());
  ShmRingReader reader(ring.direction(), kMaxFrame);
  const RecordHead head = Inline(4064, 0);  // 4096 with the head
  for (int i = 0; i < 8; ++i) {
    ASSERT_TRUE(*writer.HasRoom(head.bytes));
    writer.Write(head, Bytes(std::string(4064, 'x')));
  }
  EXPECT_FALSE(*writer.HasRoom(8));
  ASSERT_TRUE(reader.Next().ok());
  EXPECT_FALSE(*writer.HasRoom(8));
  reader.Publish();
  EXPECT_TRUE(*writer.HasRoom(4096));
  EXPECT_FALSE(*writer.HasRoom(4104));
}

TEST(ShmRingTest, AWriterRefusesAHeadThatLies) {
  for (const uint64_t lie : {uint64_t{64}, uint64_t{4}, ~uint64_t{0}, ~uint64_t{0} - 7}) {
    Ring ring;
    ShmRingWriter writer(ring.direction());
    writer.Write(Inline(24, 0), Bytes(std::string(24, 'x')));  // 56 bytes
    ring.direction().head->store(lie);
    const auto room = writer.HasRoom(ShmGeometry::kMinRingBytes);
    EXPECT_TRUE(absl::IsInvalidArgument(room.status())) << lie;
  }
}

TEST(ShmRingTest, AHeadThatGoesBackIsALie) {
  Ring ring;
  ShmRingWriter writer(ring.direction());
  ShmRingReader reader(ring.direction(), kMaxFrame);
  writer.Write(Inline(24, 0), Bytes(std::string(24, 'x')));
  ASSERT_TRUE(reader.Next().ok());
  reader.Publish();
  ASSERT_TRUE(*writer.HasRoom(ShmGeometry::kMinRingBytes));
  ring.direction().head->store(0);
  writer.Write(Inline(24, 0), Bytes(std::string(24, 'x')));
  EXPECT_FALSE(writer.HasRoom(ShmGeometry::kMinRingBytes).ok());
}

TEST(ShmRingTest, AReaderRefusesATailThatLies) {
  for (const uint64_t lie : {uint64_t{8}, uint64_t{31}, uint64_t{33},
                             ShmGeometry::kMinRingBytes + 8, ~uint64_t{0}, uint64_t{1} << 40}) {
    Ring ring;
    ShmRingReader reader(ring.direction(), kMaxFrame);
    ring.direction().tail->store(lie);
    const auto record = reader.Next();
    EXPECT_TRUE(absl::IsInvalidArgument(record.status())) << lie << ": " << record.status();
  }
}

// Reads a record whose head says `head`, where `written` bytes are said to have been written.
absl::Status Verdict(const RecordHead& head, uint64_t written = 8192) {
  std::vector<char> ring(ShmGeometry::kMinRingBytes);
  std::memcpy(ring.data(), &head, sizeof(head));
  return ReadRecord(ring.data(), ring.size(), 0, written, kMaxFrame).status();
}

TEST(ShmRecordTest, NumbersThatContradictEachOtherAreRefused) {
  const RecordHead good = Described(16, 1, 64, 5000);
  EXPECT_TRUE(Verdict(good).ok());
  RecordHead head = good;
  head.bytes += 8;
  EXPECT_TRUE(absl::IsInvalidArgument(Verdict(head)));
  head = good;
  head.bytes = 0;
  EXPECT_TRUE(absl::IsInvalidArgument(Verdict(head)));
  head = good;
  head.bytes = 0xffffffff;
  EXPECT_TRUE(absl::IsInvalidArgument(Verdict(head)));
  head = good;
  head.header_bytes = 0xffffffff;
  EXPECT_TRUE(absl::IsInvalidArgument(Verdict(head)));
  head = good;
  head.header_bytes = 100000;
  head.bytes = static_cast<uint32_t>(RecordBytes(head.kind, 100000, 0));
  EXPECT_TRUE(absl::IsInvalidArgument(Verdict(head)));
  for (const uint32_t kind : {0u, 5u, 0xffffffffu}) {
    head = good;
    head.kind = static_cast<RecordKind>(kind);
    EXPECT_TRUE(absl::IsInvalidArgument(Verdict(head))) << kind;
  }
  head = good;
  head.payload_bytes = 0;
  EXPECT_TRUE(absl::IsInvalidArgument(Verdict(head)));
  head = good;
  head.kind = RecordKind::kWhole;  // with a header besides
  EXPECT_TRUE(absl::IsInvalidArgument(Verdict(head)));
  head = Inline(16, kMaxInlineBytes + 1);
  EXPECT_TRUE(absl::IsInvalidArgument(Verdict(head)));
  head = Inline(16, 16);
  head.segment = 1;
  EXPECT_TRUE(absl::IsInvalidArgument(Verdict(head)));
}

TEST(ShmRecordTest, ARecordThatReachesBeyondWhatWasWrittenIsRefused) {
  EXPECT_TRUE(Verdict(Inline(40, 100), 176).ok());
  EXPECT_TRUE(absl::IsInvalidArgument(Verdict(Inline(40, 100), 168)));
}

TEST(ShmRecordTest, TooLargeAFrameIsRefused) {
  EXPECT_TRUE(Verdict(Described(16, 1, 0, kMaxFrame - 16)).ok());
  EXPECT_TRUE(absl::IsResourceExhausted(Verdict(Described(16, 1, 0, kMaxFrame - 15))));
  EXPECT_TRUE(absl::IsResourceExhausted(Verdict(Described(16, 1, 0, ~uint64_t{0}))));
}

TEST(ShmRecordTest, AnyBytesAndAnyIndexesAreReadWithinTheRing) {
  Random random(2);
  const uint64_t ring_bytes = ShmGeometry::kMinRingBytes;
  int taken = 0;
  for (int i = 0; i < 20000; ++i) {
    // On the heap and of the exact size, for the sanitizer to watch.
    std::vector<char> ring(ring_bytes);
    RecordHead head;
    auto* bytes = reinterpret_cast<unsigned char*>(&head);
    for (size_t j = 0; j < sizeof(head); ++j) bytes[j] = static_cast<unsigned char>(random());
    const bool plausible = random() % 2 == 0;
    if (plausible) {  // so that more than the first check is reached
      head.kind = static_cast<RecordKind>(1 + random() % 4);
      head.header_bytes = static_cast<uint32_t>(random() % 20000);
      head.payload_bytes = random() % 5000;
      if (HoldsPayload(head.kind)) head.segment = 0, head.offset = 0;
      if (head.kind == RecordKind::kWhole) head.header_bytes = 0;
      head.bytes = static_cast<uint32_t>(
          RecordBytes(head.kind, head.header_bytes, head.payload_bytes) + 8 * (random() % 2));
    }
    const uint64_t at = plausible ? random() << 3 : random();
    const uint64_t tail =
        at + (plausible ? (random() % (ring_bytes + 64)) & ~uint64_t{7} : random());
    CopyToRing(ring.data(), ring_bytes, at, &head, sizeof(head));
    taken += ReadRecord(ring.data(), ring_bytes, at, tail, kMaxFrame).ok() ? 1 : 0;
  }
  EXPECT_GT(taken, 1000);  // or the loop shows nothing
}

TEST(ShmRingTest, SizesOutsideTheLimitsAreRefused) {
  const auto verdict = [](uint64_t ring, uint64_t bounce) {
    return CheckGeometry(ShmGeometry{ring, bounce}, kMaxFrame);
  };
  EXPECT_TRUE(verdict(uint64_t{1} << 18, kMaxFrame).ok());
  for (const uint64_t ring : {uint64_t{0}, uint64_t{1} << 14, (uint64_t{1} << 18) + 8,
                              uint64_t{1} << 25, uint64_t{1} << 63}) {
    EXPECT_TRUE(absl::IsInvalidArgument(verdict(ring, kMaxFrame))) << ring;
  }
  for (const uint64_t bounce : {uint64_t{0}, kMaxFrame - 4096, kMaxFrame + 1, uint64_t{1} << 30}) {
    EXPECT_TRUE(absl::IsInvalidArgument(verdict(uint64_t{1} << 18, bounce))) << bounce;
  }
  EXPECT_GE(ShmGeometry::kMinRingBytes, kMaxRecordBytes);
}

TEST(ShmRingTest, TheTwoDirectionsAndTheControlWordsDoNotOverlap) {
  const ShmGeometry geometry;
  std::vector<uint64_t> memory(geometry.segment_bytes() / sizeof(uint64_t));
  char* base = reinterpret_cast<char*>(memory.data());
  std::vector<char*> words;
  char* last = base + ShmGeometry::kControlBytes;
  for (const ShmSide side : {ShmSide::kClient, ShmSide::kServer}) {
    const ShmDirection direction = DirectionOf(base, geometry, side);
    const ShmFlags flags = FlagsOf(base, side);
    for (SharedWord* word :
         {direction.tail, direction.head, direction.released, flags.sleeping, flags.starved})
      words.push_back(reinterpret_cast<char*>(word));
    EXPECT_EQ(direction.ring, last);
    last += geometry.ring_bytes;
  }
  for (const ShmSide side : {ShmSide::kClient, ShmSide::kServer}) {
    EXPECT_EQ(DirectionOf(base, geometry, side).bounce, last);
    last += geometry.bounce_bytes;
  }
  EXPECT_EQ(last, base + geometry.segment_bytes());
  std::sort(words.begin(), words.end());
  for (size_t i = 1; i < words.size(); ++i) EXPECT_GE(words[i] - words[i - 1], 64);
  EXPECT_LE(words.back() + 8, base + ShmGeometry::kControlBytes);
}

TEST(ShmRingTest, OneThreadWritesWhileAnotherReads) {
  Ring ring;
  constexpr uint32_t kRecords = 20000;
  std::thread writing([&ring] {
    ShmRingWriter writer(ring.direction());
    for (uint32_t i = 0; i < kRecords; ++i) {
      const RecordHead head = Inline(4 + i % 500, 0);
      while (!*writer.HasRoom(head.bytes)) std::this_thread::yield();
      std::string text(head.header_bytes, 'x');
      std::memcpy(&text[0], &i, sizeof(i));
      writer.Write(head, Bytes(text));
    }
  });
  ShmRingReader reader(ring.direction(), kMaxFrame);
  for (uint32_t i = 0; i < kRecords; ++i) {
    while (!reader.HasNext()) std::this_thread::yield();
    const auto record = reader.Next();
    ASSERT_TRUE(record.ok()) << record.status();
    uint32_t number = 0;
    std::memcpy(&number, record->bytes.get(), sizeof(number));
    ASSERT_EQ(number, i);
    ASSERT_EQ(record->size, 4 + i % 500);
    reader.Publish();
  }
  writing.join();
}

}  // namespace
}  // namespace weir
