// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_NET_SHM_OUTBOUND_H_
#define WEIR_NET_SHM_OUTBOUND_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>

#include "absl/base/thread_annotations.h"
#include "absl/container/inlined_vector.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/types/optional.h"
#include "core/payload.h"
#include "net/shm_arena.h"
#include "net/shm_ring.h"

namespace weir {

// The frames that leave by one link: writes a record for each, waits where there is no room, and
// holds their payloads until the peer has let go of them.
//
// A payload that lies in one piece in a segment of the arena that the peer has taken is described
// where it lies; a small one travels within the record; any other is copied to the bounce area.
// Self-synchronised; waits for nobody; calls nobody.
class ShmOutbound {
 public:
  struct Limits {
    uint64_t max_frame_bytes = 0;
    size_t max_queued_frames = 0;   // that wait for room
    uint64_t max_queued_bytes = 0;  // the same
    size_t max_pinned = 65536;      // described and not let go of; further frames wait
  };

  struct Statistics {
    uint64_t frames = 0;
    uint64_t described_bytes = 0;  // of payloads that were not copied
    uint64_t copied_bytes = 0;     // of payloads that were
  };

  // What a call has led to, for the caller to carry out under no lock.
  struct Outcome {
    bool wrote = false;                             // ring the peer's bell
    absl::InlinedVector<uint64_t, 8> sent;          // payload bytes of frames that are through
    absl::InlinedVector<uint32_t, 2> to_hand_over;  // segments of the arena
    absl::InlinedVector<std::shared_ptr<const void>, 8> dropped;  // to be let go of
  };

  // The memory of `direction` and `starved` outlives this. `arena` may be null.
  ShmOutbound(const ShmDirection& direction, SharedWord* starved, std::shared_ptr<ShmArena> arena,
              Limits limits);

  // Sends `wire`, a frame whose last `payload_bytes` bytes are its payload; the owners of its
  // chunks are held until the peer has let go of them. `hurry`: the peer may hand it on before
  // frames that were sent earlier; without effect unless it travels within its record.
  // INVALID_ARGUMENT: larger than max_frame_bytes, or a word of the peer lies. RESOURCE_EXHAUSTED:
  // the peer does not read, the queue is full. Both end the link.
  absl::Status Send(Payload wire, uint64_t payload_bytes, bool hurry, Outcome* outcome)
      ABSL_LOCKS_EXCLUDED(mu_);

  // Looks at what the peer has read and let go of, and sends what waits. INVALID_ARGUMENT: a word
  // lies.
  absl::Status Advance(Outcome* outcome) ABSL_LOCKS_EXCLUDED(mu_);
  // Whether the peer has let go of something since the last Advance, or what waits may go now.
  bool HasWork() const ABSL_LOCKS_EXCLUDED(mu_);

  // The peer has answered to the segment: whether payloads in it may be described.
  // INVALID_ARGUMENT: it was not asked.
  absl::Status Answered(uint32_t segment, bool taken) ABSL_LOCKS_EXCLUDED(mu_);

  // For an end in order: asks the peer to ring when it lets go of payloads, from now on, and says
  // whether it has let go of all and nothing waits for room. When it has not, OnSent tells of more.
  bool Drain() ABSL_LOCKS_EXCLUDED(mu_);

  // Drops everything; nothing is sent after this.
  void Close(Outcome* outcome) ABSL_LOCKS_EXCLUDED(mu_);

  // Frames wait for room, or payloads are held.
  bool waiting() const ABSL_LOCKS_EXCLUDED(mu_);
  // Grows whenever the peer has read, or let go of, something that it was sent.
  uint64_t progress() const ABSL_LOCKS_EXCLUDED(mu_);
  Statistics statistics() const ABSL_LOCKS_EXCLUDED(mu_);

 private:
  enum class SegmentState : uint8_t { kUnknown, kOffered, kTaken, kRefused };

  struct Waiting {
    Payload wire;
    uint64_t payload_bytes;
    bool hurry;
  };
  // A described payload; `owner` is null for one in the bounce area.
  struct Pin {
    std::shared_ptr<const void> owner;
    uint64_t bounce_end;  // what is free in the bounce area after it
    uint64_t payload_bytes;
  };

  // Sends waiting frames while there is room; asks for a bell where there is none.
  absl::Status Flush(Outcome* outcome) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // False: no room for it now.
  absl::StatusOr<bool> Write(const Waiting& frame, Outcome* outcome)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  absl::StatusOr<bool> WriteBounced(const Waiting& frame, RecordHead head)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Where the payload lies, if the peer can read it there.
  absl::optional<ShmArena::Place> Shared(const Payload::Chunk& payload, Outcome* outcome)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  absl::Status Unpin(Outcome* outcome) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Room for `bytes` in one piece of the bounce area, as a position in it.
  absl::optional<uint64_t> TakeBounce(uint64_t bytes) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const ShmDirection direction_;
  SharedWord* const starved_;
  const std::shared_ptr<ShmArena> arena_;
  const Limits limits_;

  mutable absl::Mutex mu_;
  ShmRingWriter writer_ ABSL_GUARDED_BY(mu_);
  std::deque<Waiting> queue_ ABSL_GUARDED_BY(mu_);
  uint64_t queued_bytes_ ABSL_GUARDED_BY(mu_) = 0;
  std::deque<Pin> pins_ ABSL_GUARDED_BY(mu_);
  uint64_t released_ ABSL_GUARDED_BY(mu_) = 0;     // described payloads let go of
  uint64_t bounce_used_ ABSL_GUARDED_BY(mu_) = 0;  // both grow; in use is what lies between
  uint64_t bounce_free_ ABSL_GUARDED_BY(mu_) = 0;
  std::array<SegmentState, ShmArena::kMaxSegments> segments_ ABSL_GUARDED_BY(mu_){};
  bool answered_ ABSL_GUARDED_BY(mu_) = false;  // since the last Advance: may need no copy now
  bool draining_ ABSL_GUARDED_BY(mu_) = false;
  bool closed_ ABSL_GUARDED_BY(mu_) = false;
  uint64_t head_seen_ ABSL_GUARDED_BY(mu_) = 0;
  uint64_t progress_ ABSL_GUARDED_BY(mu_) = 0;
  Statistics statistics_ ABSL_GUARDED_BY(mu_);
};

}  // namespace weir

#endif  // WEIR_NET_SHM_OUTBOUND_H_
