// SPDX-License-Identifier: Apache-2.0
#include "net/shm_record.h"

#include <algorithm>
#include <atomic>
#include <cstring>

#include "absl/strings/str_cat.h"

namespace weir {
namespace {

absl::Status Wrong(absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat("a record in shared memory is wrong: ", what));
}

absl::Status CheckKind(const RecordHead& head) {
  switch (head.kind) {
    case RecordKind::kInline:
    case RecordKind::kHurried:
      if (head.payload_bytes > kMaxInlineBytes)
        return Wrong(absl::StrCat("it holds ", head.payload_bytes, " bytes of payload"));
      if (head.segment != 0 || head.offset != 0) return Wrong("it holds and describes a payload");
      return absl::OkStatus();
    case RecordKind::kDescribed:
      return head.payload_bytes > 0 ? absl::OkStatus() : Wrong("it describes nothing");
    case RecordKind::kWhole:
      if (head.header_bytes != 0) return Wrong("its frame lies in two places");
      return head.payload_bytes > 0 ? absl::OkStatus() : Wrong("it describes nothing");
  }
  return Wrong(absl::StrCat("kind ", static_cast<uint32_t>(head.kind)));
}

absl::Status CheckHead(const RecordHead& head, uint64_t available, uint64_t max_frame_bytes) {
  const absl::Status status = CheckKind(head);
  if (!status.ok()) return status;
  if (head.header_bytes > kMaxRecordHeaderBytes)
    return Wrong(absl::StrCat("a header of ", head.header_bytes, " bytes"));
  // Neither sum can overflow: header_bytes is small.
  if (head.payload_bytes > max_frame_bytes ||
      head.payload_bytes + head.header_bytes > max_frame_bytes) {
    return absl::ResourceExhaustedError(
        absl::StrCat("a frame of more than ", max_frame_bytes, " bytes in shared memory"));
  }
  const uint64_t bytes = RecordBytes(head.kind, head.header_bytes, head.payload_bytes);
  if (head.bytes != bytes) {
    return Wrong(absl::StrCat("it claims ", head.bytes, " bytes where it has ", bytes));
  }
  if (bytes > available) {
    return Wrong(absl::StrCat("it has ", bytes, " bytes where ", available, " were written"));
  }
  return absl::OkStatus();
}

}  // namespace

uint64_t RecordBytes(RecordKind kind, uint64_t header_bytes, uint64_t payload_bytes) {
  const uint64_t bytes =
      sizeof(RecordHead) + header_bytes + (HoldsPayload(kind) ? payload_bytes : 0);
  return (bytes + kRecordAlignment - 1) / kRecordAlignment * kRecordAlignment;
}

absl::StatusOr<Record> ReadRecord(const char* ring, uint64_t ring_bytes, uint64_t head,
                                  uint64_t tail, uint64_t max_frame_bytes) {
  const uint64_t available = tail - head;
  if (available > ring_bytes || available < sizeof(RecordHead) || head % kRecordAlignment != 0 ||
      tail % kRecordAlignment != 0) {
    return Wrong(absl::StrCat("the ring of ", ring_bytes, " bytes ends at ", tail,
                              " and is read from ", head));
  }
  Record record;
  CopyFromRing(ring, ring_bytes, head, &record.head, sizeof(record.head));
  const absl::Status status = CheckHead(record.head, available, max_frame_bytes);
  if (!status.ok()) return status;
  record.size =
      record.head.header_bytes + (HoldsPayload(record.head.kind) ? record.head.payload_bytes : 0);
  if (record.size > 0) {
    record.bytes = std::shared_ptr<char[]>(new char[record.size]);
    CopyFromRing(ring, ring_bytes, head + sizeof(RecordHead), record.bytes.get(), record.size);
  }
  return record;
}

void CopyFromRing(const char* ring, uint64_t ring_bytes, uint64_t at, void* out, size_t size) {
  const uint64_t from = at & (ring_bytes - 1);
  const size_t first = std::min<uint64_t>(size, ring_bytes - from);
  std::memcpy(out, ring + from, first);
  std::memcpy(static_cast<char*>(out) + first, ring, size - first);
  // Keeps the compiler from going back to the ring for what it has in the copy.
  std::atomic_signal_fence(std::memory_order_seq_cst);
}

void CopyToRing(char* ring, uint64_t ring_bytes, uint64_t at, const void* data, size_t size) {
  const uint64_t to = at & (ring_bytes - 1);
  const size_t first = std::min<uint64_t>(size, ring_bytes - to);
  std::memcpy(ring + to, data, first);
  std::memcpy(ring, static_cast<const char*>(data) + first, size - first);
}

}  // namespace weir
