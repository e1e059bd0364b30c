// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_NET_SHM_RING_H_
#define WEIR_NET_SHM_RING_H_

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/payload.h"
#include "net/shm_record.h"

namespace weir {

// The segment that carries a link, one ring of records each way:
//
//   0      control: the words below, each in cache lines of its own
//   4096   the client's ring, the server's ring, the client's bounce area, the server's bounce area
//
// A direction's words count bytes since the link was made, and grow:
//   tail      what its writer has written                       written by the writer
//   head      what its reader has read                          written by the reader
//   released  how many of its described records, in their       written by the reader
//             order, the reader has let go of
// A side's words are flags:
//   sleeping  it is about to wait, or waits: ring its bell after any change
//   starved   it waits for room: ring its bell also when head or released has changed
// All are read and written in one order that both sides agree on (sequentially consistent): who
// changes a word and then finds the other side awake can rely on its looking at the word again
// before it sleeps.
// A bounce area is its sender's: payloads that lie in no shared segment are copied there.
//
// Either side may write whatever it likes at any time. Values are copied before they are checked,
// and each side keeps its own copy of what it alone writes; a word that lies ends the link.

enum class ShmSide { kClient = 0, kServer = 1 };
inline ShmSide Other(ShmSide side) {
  return side == ShmSide::kClient ? ShmSide::kServer : ShmSide::kClient;
}

struct ShmGeometry {
  static constexpr uint64_t kControlBytes = 4096;
  static constexpr uint64_t kMinRingBytes = uint64_t{32} << 10;
  static constexpr uint64_t kMaxRingBytes = uint64_t{16} << 20;
  static constexpr uint64_t kMaxBounceBytes = uint64_t{64} << 20;

  uint64_t ring_bytes = uint64_t{256} << 10;  // of one ring; a power of two
  uint64_t bounce_bytes = uint64_t{4} << 20;  // of one area; whole pages; at least one frame

  uint64_t segment_bytes() const { return kControlBytes + 2 * (ring_bytes + bounce_bytes); }
};

// INVALID_ARGUMENT, a sentence: outside of the limits, or a bounce area smaller than
// `max_frame_bytes`, in which a large frame would wait for ever.
absl::Status CheckGeometry(const ShmGeometry& geometry, uint64_t max_frame_bytes);

using SharedWord = std::atomic<uint64_t>;
static_assert(SharedWord::is_always_lock_free && sizeof(SharedWord) == 8);

// Where the parts of one direction lie, named after its writer.
struct ShmDirection {
  SharedWord* tail;
  SharedWord* head;
  SharedWord* released;
  char* ring;
  uint64_t ring_bytes;
  char* bounce;
  uint64_t bounce_bytes;
};
struct ShmFlags {
  SharedWord* sleeping;
  SharedWord* starved;
};

// REQUIRES: the memory holds geometry.segment_bytes() bytes, page aligned, zeros when the link is
// made, and CheckGeometry has passed.
ShmDirection DirectionOf(char* segment, const ShmGeometry& geometry, ShmSide writer);
ShmFlags FlagsOf(char* segment, ShmSide side);

// The writing end of a ring. Not synchronised.
class ShmRingWriter {
 public:
  explicit ShmRingWriter(const ShmDirection& direction) : direction_(direction) {}

  // Whether a record of `bytes` bytes fits now. INVALID_ARGUMENT: head lies.
  absl::StatusOr<bool> HasRoom(uint64_t bytes);

  // Writes a record: `head`, and the first bytes of `wire` that belong behind it. The reader sees
  // it at once. REQUIRES: HasRoom(head.bytes).
  void Write(const RecordHead& head, const Payload& wire);

 private:
  const ShmDirection direction_;
  uint64_t tail_ = 0;
  uint64_t head_ = 0;  // as last seen
};

// The reading end of a ring. Not synchronised.
class ShmRingReader {
 public:
  ShmRingReader(const ShmDirection& direction, uint64_t max_frame_bytes)
      : direction_(direction), max_frame_bytes_(max_frame_bytes) {}

  bool HasNext() const { return direction_.tail->load() != head_; }
  // Takes the next record. REQUIRES: HasNext. Status as ReadRecord.
  absl::StatusOr<Record> Next();
  // Gives the room of what was taken back to the writer.
  void Publish() { direction_.head->store(head_); }

 private:
  const ShmDirection direction_;
  const uint64_t max_frame_bytes_;
  uint64_t head_ = 0;
};

}  // namespace weir

#endif  // WEIR_NET_SHM_RING_H_
