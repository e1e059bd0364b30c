// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_NET_SHM_RECORD_H_
#define WEIR_NET_SHM_RECORD_H_

#include <cstddef>
#include <cstdint>
#include <memory>

#include "absl/status/statusor.h"

namespace weir {

// The records of a ring (net/shm_ring.h): one for each frame. A record is a RecordHead, as it lies
// in memory, followed by bytes of the encoded frame, filled up to a multiple of 8. Where a record
// reaches the end of the ring it goes on at its beginning.

enum class RecordKind : uint32_t {
  kInline = 1,     // the whole frame follows: header_bytes and then payload_bytes
  kDescribed = 2,  // header_bytes follow; the payload lies in a segment
  kWhole = 3,      // nothing follows; the whole frame, header and payload, lies in a segment
  kHurried = 4,    // as kInline; the reader may hand it on before frames that were written earlier
};

// Whether the payload is in the record.
constexpr bool HoldsPayload(RecordKind kind) {
  return kind == RecordKind::kInline || kind == RecordKind::kHurried;
}

struct RecordHead {
  uint32_t bytes = 0;  // of the whole record
  RecordKind kind = RecordKind::kInline;
  uint32_t header_bytes = 0;   // of the encoded frame before its payload; kWhole: 0
  uint32_t segment = 0;        // where the rest lies; HoldsPayload: 0
  uint64_t offset = 0;         // there, in bytes; HoldsPayload: 0
  uint64_t payload_bytes = 0;  // kWhole: of the whole frame
};
static_assert(sizeof(RecordHead) == 32, "it is written as it lies in memory");

constexpr size_t kRecordAlignment = 8;
constexpr uint32_t kMaxRecordHeaderBytes = 16384;  // of header_bytes; longer ones are kWhole
constexpr uint64_t kMaxInlineBytes = 4096;         // of the payload where HoldsPayload
constexpr uint64_t kMaxRecordBytes = sizeof(RecordHead) + kMaxRecordHeaderBytes + kMaxInlineBytes;

// The segment of a record that says: in the sender's bounce area, in the segment of the rings.
constexpr uint32_t kBounceSegment = 0xffffffff;

// The size that a record with these numbers has.
uint64_t RecordBytes(RecordKind kind, uint64_t header_bytes, uint64_t payload_bytes);

// A record in private memory: nobody changes it any more.
struct Record {
  RecordHead head;
  std::shared_ptr<char[]> bytes;  // what followed the head
  size_t size = 0;                // of `bytes`
};

// Copies the record at `head` out of a ring of `ring_bytes` bytes (a power of two), whose bytes
// others may change meanwhile, and checks the copy; `tail` is where the ring's content ends. Both
// count bytes since the ring was made and are private copies. Reads nothing outside of the ring,
// whatever it holds and whatever head and tail are. Pure.
//
// INVALID_ARGUMENT, a sentence: head and tail do not belong together, the record reaches beyond
// tail, or its numbers contradict each other. RESOURCE_EXHAUSTED: a frame of more than
// `max_frame_bytes`. Where the described bytes lie is for whoever knows the segments to check.
absl::StatusOr<Record> ReadRecord(const char* ring, uint64_t ring_bytes, uint64_t head,
                                  uint64_t tail, uint64_t max_frame_bytes);

// Copies `size` bytes at position `at` of a ring to `out`, once: whatever is decided later is
// decided about the copy. REQUIRES: size <= ring_bytes.
void CopyFromRing(const char* ring, uint64_t ring_bytes, uint64_t at, void* out, size_t size);
// The reverse.
void CopyToRing(char* ring, uint64_t ring_bytes, uint64_t at, const void* data, size_t size);

}  // namespace weir

#endif  // WEIR_NET_SHM_RECORD_H_
