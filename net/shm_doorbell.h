// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_NET_SHM_DOORBELL_H_
#define WEIR_NET_SHM_DOORBELL_H_

#include <sys/socket.h>

#include <memory>
#include <utility>

#include "net/shm_handover.h"
#include "net/shm_segment.h"

namespace weir {

// Wakes the other side of a link, when it sleeps. Who has changed a word of the rings' segment
// calls this after the change; who is about to sleep sets its flag first and then looks once more
// for changes: so no change is missed. Holds the socket and the memory. Any thread.
class ShmDoorbell {
 public:
  ShmDoorbell(ShmFd socket, std::shared_ptr<ShmSegment> rings, ShmSide peer)
      : socket_(std::move(socket)),
        rings_(std::move(rings)),
        flags_(FlagsOf(rings_->data(), peer)) {}

  int socket() const { return socket_.get(); }
  const std::shared_ptr<ShmSegment>& rings() const { return rings_; }

  // After writing something to the peer.
  void Ring() const {
    if (flags_.sleeping->load() == 0 || flags_.sleeping->exchange(0) == 0) return;
    // Fails where it does not matter: the peer has messages to wake up for, or has gone.
    SendHandover(socket_.get(), HandoverMessage{}, /*descriptor=*/-1).IgnoreError();
  }
  // After making room for what the peer wants to write.
  void RingIfStarved() const {
    if (flags_.starved->load() != 0) Ring();
  }

  // Makes the link end on both sides.
  void HangUp() const { shutdown(socket_.get(), SHUT_RDWR); }

 private:
  const ShmFd socket_;
  const std::shared_ptr<ShmSegment> rings_;
  const ShmFlags flags_;  // the peer's
};

}  // namespace weir

#endif  // WEIR_NET_SHM_DOORBELL_H_
