// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_NET_SHM_INBOUND_H_
#define WEIR_NET_SHM_INBOUND_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "absl/status/statusor.h"
#include "absl/types/optional.h"
#include "core/payload.h"
#include "net/shm_arena.h"
#include "net/shm_doorbell.h"
#include "net/shm_ring.h"
#include "net/shm_segment.h"

namespace weir {

// The frames that arrive by one link.
//
// A frame's payload borrows the peer's memory: dropping its owners, on any thread, lets go of it,
// and the peer is told in the order in which the frames came, so that one frame that is held keeps
// the peer's memory of all later ones pinned. The peer may change the payload's bytes at any time;
// the bytes of the header are in private memory. Not synchronised, but for the owners.
class ShmInbound {
 public:
  struct Limits {
    uint64_t max_frame_bytes = 0;
    uint64_t max_segment_bytes = 0;  // of all segments that the peer hands over
    size_t max_held = 65536;         // payloads that are not let go of
  };

  struct Frame {
    Payload wire;  // the header first
    uint64_t payload_bytes = 0;
    bool lent = false;          // the payload lies in a segment that the peer handed over
    bool hurry = false;         // it may go before frames that came earlier
    uint64_t copied_bytes = 0;  // of `wire`, in private memory
  };

  // `direction` is the peer's, in the rings' segment of the doorbell.
  ShmInbound(const ShmDirection& direction, std::shared_ptr<const ShmDoorbell> doorbell,
             Limits limits);
  ~ShmInbound();

  // Maps a segment of the peer's, for reading. INVALID_ARGUMENT: the peer breaks the rules: the
  // number is out of range or taken. Otherwise as ShmSegment::Adopt: answer kRefused and go on.
  absl::Status AddSegment(uint32_t id, uint64_t bytes, ShmFd descriptor);

  bool HasNext() const { return reader_.HasNext(); }
  // Takes the next frame; nothing when there is none. INVALID_ARGUMENT: the peer breaks the rules:
  // see ReadRecord, or bytes are described that lie in no segment of its. RESOURCE_EXHAUSTED: too
  // large a frame, or more payloads are held than may be. Either ends the link.
  absl::StatusOr<absl::optional<Frame>> Next();
  // Tells the peer what has been read; after a few frames.
  void Publish();

 private:
  class Releases;
  class Held;

  // The described bytes, in the memory that `*memory` keeps.
  absl::StatusOr<const char*> Locate(const RecordHead& head,
                                     std::shared_ptr<ShmSegment>* memory) const;

  const ShmDirection direction_;
  const std::shared_ptr<const ShmDoorbell> doorbell_;
  const Limits limits_;
  const std::shared_ptr<Releases> releases_;
  ShmRingReader reader_;
  std::array<std::shared_ptr<ShmSegment>, ShmArena::kMaxSegments> segments_;
  uint64_t segment_bytes_ = 0;
};

}  // namespace weir

#endif  // WEIR_NET_SHM_INBOUND_H_
