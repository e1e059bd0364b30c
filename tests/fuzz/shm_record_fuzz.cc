// SPDX-License-Identifier: Apache-2.0
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <vector>

#include "net/shm_record.h"
#include "tests/fuzz/expect.h"

namespace weir {
namespace {

constexpr uint64_t kMaxFrameBytes = uint64_t{4} << 20;

// What the peer may put into the words beside the ring, and how large the ring is.
struct Control {
  uint64_t head = 0;
  uint64_t tail = 0;
  uint8_t ring_bits = 0;
};

void CheckRecord(const Record& record, uint64_t available) {
  const RecordHead& head = record.head;
  const bool is_inline = HoldsPayload(head.kind);
  WEIR_EXPECT(head.bytes <= available && head.bytes <= kMaxRecordBytes, "within what was written");
  WEIR_EXPECT(head.bytes == RecordBytes(head.kind, head.header_bytes, head.payload_bytes), "bytes");
  WEIR_EXPECT(record.size == head.header_bytes + (is_inline ? head.payload_bytes : 0), "size");
  WEIR_EXPECT(head.header_bytes + head.payload_bytes <= kMaxFrameBytes, "a frame");
  WEIR_EXPECT(is_inline || head.payload_bytes > 0, "describes something");
}

void Check(const Control& control, const char* content, size_t size) {
  const uint64_t ring_bytes = uint64_t{64} << (control.ring_bits % 9);
  // Exactly as long as the ring, so that a byte beyond it is seen.
  const std::unique_ptr<char[]> ring(new char[ring_bytes]());
  for (size_t i = 0; i < ring_bytes && size > 0; ++i) ring[i] = content[i % size];

  // Reads all there is, as the receiving end does, until something is wrong.
  uint64_t head = control.head;
  while (head != control.tail) {
    const absl::StatusOr<Record> record =
        ReadRecord(ring.get(), ring_bytes, head, control.tail, kMaxFrameBytes);
    if (!record.ok()) {
      WEIR_EXPECT(record.status().code() == absl::StatusCode::kInvalidArgument ||
                      record.status().code() == absl::StatusCode::kResourceExhausted,
                  record.status().ToString());
      return;
    }
    CheckRecord(*record, control.tail - head);
    if (record->size > 0) {
      std::vector<char> again(record->size);
      CopyFromRing(ring.get(), ring_bytes, head + sizeof(RecordHead), again.data(), again.size());
      WEIR_EXPECT(std::memcmp(again.data(), record->bytes.get(), again.size()) == 0,
                  "the bytes behind the head");
    }
    head += record->head.bytes;
  }
}

}  // namespace
}  // namespace weir

// The input is head, tail, the ring's size and what lies in it, over and over.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  weir::Control control;
  if (size < 17) return 0;
  std::memcpy(&control.head, data, 8);
  std::memcpy(&control.tail, data + 8, 8);
  control.ring_bits = data[16];
  weir::Check(control, reinterpret_cast<const char*>(data) + 17, size - 17);
  return 0;
}
