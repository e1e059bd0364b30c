// SPDX-License-Identifier: Apache-2.0
#include "net/shm_ring.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace weir {
namespace {

constexpr size_t kPageBytes = 4096;
constexpr size_t kLineBytes = 128;  // processors fetch lines of 64 bytes in pairs

SharedWord* WordAt(char* segment, size_t line) {
  return reinterpret_cast<SharedWord*>(segment + line * kLineBytes);
}

bool IsPowerOfTwo(uint64_t value) { return value != 0 && (value & (value - 1)) == 0; }

}  // namespace

absl::Status CheckGeometry(const ShmGeometry& geometry, uint64_t max_frame_bytes) {
  const uint64_t ring = geometry.ring_bytes;
  if (!IsPowerOfTwo(ring) || ring < ShmGeometry::kMinRingBytes ||
      ring > ShmGeometry::kMaxRingBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("a ring of ", ring, " bytes; it must be a power of two from ",
                     ShmGeometry::kMinRingBytes, " to ", ShmGeometry::kMaxRingBytes));
  }
  const uint64_t bounce = geometry.bounce_bytes;
  if (bounce % kPageBytes != 0 || bounce < max_frame_bytes ||
      bounce > ShmGeometry::kMaxBounceBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("a bounce area of ", bounce, " bytes; it must be whole pages, from ",
                     max_frame_bytes, " to ", ShmGeometry::kMaxBounceBytes, " bytes"));
  }
  return absl::OkStatus();
}

ShmDirection DirectionOf(char* segment, const ShmGeometry& geometry, ShmSide writer) {
  const size_t index = writer == ShmSide::kClient ? 0 : 1;
  char* rings = segment + ShmGeometry::kControlBytes;
  char* bounces = rings + 2 * geometry.ring_bytes;
  return ShmDirection{WordAt(segment, 3 * index),
                      WordAt(segment, 3 * index + 1),
                      WordAt(segment, 3 * index + 2),
                      rings + index * geometry.ring_bytes,
                      geometry.ring_bytes,
                      bounces + index * geometry.bounce_bytes,
                      geometry.bounce_bytes};
}

ShmFlags FlagsOf(char* segment, ShmSide side) {
  const size_t index = side == ShmSide::kClient ? 0 : 1;
  return ShmFlags{WordAt(segment, 6 + 2 * index), WordAt(segment, 7 + 2 * index)};
}

absl::StatusOr<bool> ShmRingWriter::HasRoom(uint64_t bytes) {
  if (direction_.ring_bytes - (tail_ - head_) >= bytes) return true;
  const uint64_t head = direction_.head->load();
  if (tail_ - head > tail_ - head_ || head % kRecordAlignment != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("shared memory: the ring is said to be read up to ", head, ", after ", head_,
                     ", where it is written up to ", tail_));
  }
  head_ = head;
  return direction_.ring_bytes - (tail_ - head_) >= bytes;
}

void ShmRingWriter::Write(const RecordHead& head, const Payload& wire) {
  CopyToRing(direction_.ring, direction_.ring_bytes, tail_, &head, sizeof(head));
  uint64_t at = tail_ + sizeof(head);
  size_t left = head.header_bytes + (HoldsPayload(head.kind) ? head.payload_bytes : 0);
  for (const Payload::Chunk& chunk : wire.chunks()) {
    const size_t size = std::min(left, chunk.size);
    CopyToRing(direction_.ring, direction_.ring_bytes, at, chunk.data, size);
    at += size;
    left -= size;
  }
  tail_ += head.bytes;
  direction_.tail->store(tail_);
}

absl::StatusOr<Record> ShmRingReader::Next() {
  const uint64_t tail = direction_.tail->load();
  absl::StatusOr<Record> record =
      ReadRecord(direction_.ring, direction_.ring_bytes, head_, tail, max_frame_bytes_);
  if (record.ok()) head_ += record->head.bytes;
  return record;
}

}  // namespace weir
