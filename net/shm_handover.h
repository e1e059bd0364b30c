// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_NET_SHM_HANDOVER_H_
#define WEIR_NET_SHM_HANDOVER_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "net/shm_fd.h"
#include "net/shm_ring.h"

namespace weir {

// What travels over the socket of a link: a Unix socket of type SOCK_SEQPACKET, on which each
// message arrives whole. It hands memory over, it is the doorbell, and its end is the end of the
// link, so that either side learns at once that the other has died.
//
//   client                                    server
//   offer {key, sizes} + segment of rings -->
//                                          <-- accept
//   segment {number, size} + segment      -->          (either way, at any time)
//                                          <-- taken {number} | refused {number}
//   bell                                  -->          (either way, at any time)
//
// Bells are messages rather than a shared counter (eventfd), because the flags of that are shared
// as well: a peer could make a write to it wait. A message can be sent and received without
// waiting whatever the peer does.

using ShmKey = std::array<uint8_t, 16>;  // names a session; the server makes it up at random

enum class HandoverKind : uint32_t {
  kOffer = 1,    // with the segment of the rings
  kAccept = 2,   // the link is up
  kSegment = 3,  // with a segment whose creator alone may write
  kTaken = 4,    // records may describe bytes of that segment from now on
  kRefused = 5,  // they may not: send copies
  kBell = 6,
};

struct HandoverMessage {
  HandoverKind kind = HandoverKind::kBell;
  ShmKey key{};          // of an offer
  ShmGeometry geometry;  // of an offer
  uint32_t segment = 0;  // of kSegment, kTaken, kRefused: its sender's number for it
  uint64_t bytes = 0;    // of kSegment
};

constexpr uint32_t kHandoverVersion = 1;
constexpr size_t kHandoverBytes = 64;
using HandoverBytes = std::array<char, kHandoverBytes>;

HandoverBytes EncodeHandover(const HandoverMessage& message);

// `descriptors` is how many came with it. Pure. INVALID_ARGUMENT, a sentence: not such a message,
// of another version (both are named), not as many descriptors as it needs, or numbers where there
// must be zeros. What the numbers are worth is for the receiver to check.
absl::StatusOr<HandoverMessage> ParseHandover(absl::string_view bytes, size_t descriptors);

// Sends a message and, unless it is -1, a descriptor, without waiting. UNAVAILABLE: the peer has
// gone. RESOURCE_EXHAUSTED: it does not read what it is sent.
absl::Status SendHandover(int socket, const HandoverMessage& message, int descriptor);

struct ReceivedHandover {
  HandoverMessage message;
  ShmFd descriptor;  // kOffer, kSegment
};

// Takes the next message that has arrived, without waiting. NOT_FOUND: none has. UNAVAILABLE: the
// peer has gone. Otherwise as ParseHandover. Descriptors beyond the one are closed.
absl::StatusOr<ReceivedHandover> ReceiveHandover(int socket);

// INVALID_ARGUMENT, a sentence that names both: the process at the other end of `socket` is of
// another user.
absl::Status CheckPeerUser(int socket);

// Connects to the socket that a ShmListener listens at, without waiting, and makes sure who is
// there. UNAVAILABLE: nobody listens there, or has no room; do without. INVALID_ARGUMENT: the path
// is too long for a socket, or the peer is of another user.
absl::StatusOr<ShmFd> ConnectHandover(const std::string& path);

}  // namespace weir

#endif  // WEIR_NET_SHM_HANDOVER_H_
