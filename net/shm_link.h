// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_NET_SHM_LINK_H_
#define WEIR_NET_SHM_LINK_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "core/payload.h"
#include "net/shm_arena.h"
#include "net/shm_doorbell.h"
#include "net/shm_inbound.h"
#include "net/shm_listener.h"
#include "net/shm_outbound.h"
#include "net/shm_read_ahead.h"

namespace weir {

// Whoever uses a link. Calls come one at a time and under no lock, on the thread that runs the
// link's poller; OnSent comes also on threads within Send.
class ShmLinkHandler {
 public:
  virtual ~ShmLinkHandler() = default;

  // The peer has taken the link up: frames may be sent. First; only for the side that offered.
  virtual void OnUp() = 0;
  // A frame, its header first: see ShmInbound about its bytes. In the order in which they were
  // sent, but for those sent in a hurry: see ShmReadAhead. `payload_bytes` is what the peer says
  // its payload has: what is decoded from the header may differ, which the handler checks.
  virtual void OnWire(Payload&& wire, uint64_t payload_bytes) = 0;
  // A frame of `payload_bytes` bytes of payload has left: the peer has let go of the payload, or
  // holds a copy of it. Not called for what is dropped when the link ends.
  virtual void OnSent(uint64_t payload_bytes) = 0;
  // The link has ended; the last call, made once. CANCELLED: Close was called on this side.
  // UNAVAILABLE: the peer has gone. Otherwise what it has done wrong.
  virtual void OnClosed(const absl::Status& status) = 0;
};

// One end of a link: frames both ways through shared memory, in order, between two processes of one
// user on one machine.
//
// It owns the segment of the rings and the socket that hands memory over (net/shm_handover.h). No
// thread of its own: Send and Close may be called on any thread, the rest is the poller's
// (net/shm_poller.h). Nothing here waits.
class ShmLink {
 public:
  struct Options {
    ShmGeometry geometry;  // of the side that offers
    uint64_t max_frame_bytes = uint64_t{4} << 20;
    uint64_t max_peer_bytes = uint64_t{64} << 30;  // of segments that the peer hands over
    size_t max_queued_frames = 262144;             // that wait for room
    uint64_t max_queued_bytes = uint64_t{320} << 20;
    std::shared_ptr<ShmArena> arena;  // payloads in it travel uncopied; may be null
    // Asked before the segment of the rings is made.
    std::function<uint64_t()> available_bytes = AvailableMemoryBytes;
  };

  // The client's end: makes the segment of the rings and offers it at `path`, to the session named
  // by `key`. REQUIRES: nothing is sent before OnUp. RESOURCE_EXHAUSTED, UNAVAILABLE: there is no
  // memory for it, nobody listens; do without, the session is untouched. INVALID_ARGUMENT: options
  // or path are wrong, or the process there is of another user.
  static absl::StatusOr<std::shared_ptr<ShmLink>> Offer(const std::string& path, const ShmKey& key,
                                                        Options options);
  // The server's end: checks and maps what was offered, and says that the link is up. REQUIRES: the
  // offer's key is of a session that waits for it. INVALID_ARGUMENT, FAILED_PRECONDITION,
  // RESOURCE_EXHAUSTED: the offer is unsuitable; the peer is hung up on. UNAVAILABLE: it has gone.
  static absl::StatusOr<std::shared_ptr<ShmLink>> Accept(ShmListener::Offer offer, Options options);

  ~ShmLink();
  ShmLink(const ShmLink&) = delete;
  ShmLink& operator=(const ShmLink&) = delete;

  // As ShmOutbound::Send; whatever error it returns ends the link. `handler` may be called.
  absl::Status Send(Payload wire, uint64_t payload_bytes, ShmLinkHandler* handler) {
    return SendFrame(std::move(wire), payload_bytes, /*hurry=*/false, handler);
  }
  // The same of a frame that the peer may hand on before those that were sent earlier.
  absl::Status SendInHurry(Payload wire, uint64_t payload_bytes, ShmLinkHandler* handler) {
    return SendFrame(std::move(wire), payload_bytes, /*hurry=*/true, handler);
  }
  // Ends the link on both sides. The poller calls OnClosed(status), unless it has ended before.
  void Close(const absl::Status& status) ABSL_LOCKS_EXCLUDED(mu_);

  // As ShmOutbound::Drain: true when the link can be closed and the peer misses nothing.
  bool Drain() { return outbound_.Drain(); }
  // Frames wait, or the peer holds payloads; how much it has taken so far. For timeouts.
  bool waiting() const { return outbound_.waiting(); }
  uint64_t progress() const { return outbound_.progress(); }
  ShmOutbound::Statistics sent() const { return outbound_.statistics(); }

  // What follows is the poller's.

  int socket() const { return doorbell_->socket(); }
  // Does what there is to do, but only a bounded part of it; false: there was nothing. An error
  // ends the link: the poller calls OnClosed with it.
  absl::StatusOr<bool> Poll(ShmLinkHandler* handler);
  // Takes the messages of the socket, when it is readable. Errors as Poll.
  absl::Status ReadSocket(ShmLinkHandler* handler);
  // Asks the peer for a bell. False: there is something to do already; do not sleep.
  bool PrepareSleep();
  void Wake();
  // Hands on what the peer has sent before it went, up to the first payload that lies in a segment
  // of its own, which it may be using for something else by now; and drops what waits. Returns what
  // OnClosed is to be called with, when Poll or ReadSocket gave `status`.
  absl::Status Finish(const absl::Status& status, ShmLinkHandler* handler) ABSL_LOCKS_EXCLUDED(mu_);

 private:
  ShmLink(ShmSide side, std::shared_ptr<const ShmDoorbell> doorbell, const ShmGeometry& geometry,
          Options options);

  absl::Status SendFrame(Payload wire, uint64_t payload_bytes, bool hurry, ShmLinkHandler* handler);
  absl::Status Carry(ShmOutbound::Outcome* outcome, ShmLinkHandler* handler);
  absl::Status HandOver(uint32_t segment);
  absl::Status Handle(ReceivedHandover received, ShmLinkHandler* handler);
  absl::Status ReadAhead();
  absl::StatusOr<bool> HandOn(ShmLinkHandler* handler);
  void ReadLastFrames(ShmLinkHandler* handler);

  const Options options_;
  const std::shared_ptr<const ShmDoorbell> doorbell_;
  const ShmFlags flags_;  // ours
  ShmOutbound outbound_;  // self-synchronised

  ShmInbound inbound_;        // the poller's
  ShmReadAhead ahead_;        // the poller's
  absl::Status ahead_broke_;  // the poller's: what was wrong with the record behind those in ahead_
  bool up_;                   // the poller's

  mutable absl::Mutex mu_;
  absl::Status ended_ ABSL_GUARDED_BY(mu_);  // why this side has ended the link
};

}  // namespace weir

#endif  // WEIR_NET_SHM_LINK_H_
