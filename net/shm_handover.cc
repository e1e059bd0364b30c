// SPDX-License-Identifier: Apache-2.0
#include "net/shm_handover.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"

namespace weir {
namespace {

constexpr char kMagic[8] = {'W', 'e', 'i', 'r', 's', 'h', 'm', '\0'};

// A message as it lies in memory; both ends are on one machine.
struct Wire {
  char magic[8];
  uint32_t version;
  uint32_t kind;
  uint8_t key[16];
  uint64_t ring_bytes;    // kOffer
  uint64_t bounce_bytes;  // kOffer
  uint64_t bytes;         // kSegment
  uint32_t segment;       // kSegment, kTaken, kRefused
  uint32_t zero;
};
static_assert(sizeof(Wire) == kHandoverBytes);

bool HasDescriptor(HandoverKind kind) {
  return kind == HandoverKind::kOffer || kind == HandoverKind::kSegment;
}
bool NamesSegment(HandoverKind kind) {
  return kind == HandoverKind::kSegment || kind == HandoverKind::kTaken ||
         kind == HandoverKind::kRefused;
}

absl::Status Wrong(absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat("a message about shared memory is wrong: ", what));
}

absl::Status CheckZeros(const Wire& wire, HandoverKind kind) {
  bool zeros = wire.zero == 0;
  if (kind != HandoverKind::kOffer) {
    zeros = zeros && wire.ring_bytes == 0 && wire.bounce_bytes == 0;
    for (const uint8_t byte : wire.key) zeros = zeros && byte == 0;
  }
  if (kind != HandoverKind::kSegment) zeros = zeros && wire.bytes == 0;
  if (!NamesSegment(kind)) zeros = zeros && wire.segment == 0;
  return zeros ? absl::OkStatus() : Wrong("a number where there must be none");
}

// The descriptors that came with a message; all are ours to close.
std::vector<ShmFd> TakeDescriptors(msghdr* message) {
  std::vector<ShmFd> taken;
  for (cmsghdr* part = CMSG_FIRSTHDR(message); part; part = CMSG_NXTHDR(message, part)) {
    if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS) continue;
    const size_t count = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count; ++i) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(part) + i * sizeof(int), sizeof(int));
      taken.emplace_back(fd);
    }
  }
  return taken;
}

bool WouldWait(int error) { return error == EAGAIN || error == EWOULDBLOCK; }

}  // namespace

HandoverBytes EncodeHandover(const HandoverMessage& message) {
  Wire wire{};
  std::memcpy(wire.magic, kMagic, sizeof(kMagic));
  wire.version = kHandoverVersion;
  wire.kind = static_cast<uint32_t>(message.kind);
  if (message.kind == HandoverKind::kOffer) {
    std::memcpy(wire.key, message.key.data(), message.key.size());
    wire.ring_bytes = message.geometry.ring_bytes;
    wire.bounce_bytes = message.geometry.bounce_bytes;
  }
  if (message.kind == HandoverKind::kSegment) wire.bytes = message.bytes;
  if (NamesSegment(message.kind)) wire.segment = message.segment;
  HandoverBytes bytes;
  std::memcpy(bytes.data(), &wire, sizeof(wire));
  return bytes;
}

absl::StatusOr<HandoverMessage> ParseHandover(absl::string_view bytes, size_t descriptors) {
  if (bytes.size() != kHandoverBytes) return Wrong(absl::StrCat("it has ", bytes.size(), " bytes"));
  Wire wire;
  std::memcpy(&wire, bytes.data(), sizeof(wire));
  if (std::memcmp(wire.magic, kMagic, sizeof(kMagic)) != 0) return Wrong("it is something else");
  if (wire.version != kHandoverVersion) {
    return Wrong(
        absl::StrCat("it is of version ", wire.version, ", this build speaks ", kHandoverVersion));
  }
  if (wire.kind < static_cast<uint32_t>(HandoverKind::kOffer) ||
      wire.kind > static_cast<uint32_t>(HandoverKind::kBell)) {
    return Wrong(absl::StrCat("kind ", wire.kind));
  }
  HandoverMessage message;
  message.kind = static_cast<HandoverKind>(wire.kind);
  const absl::Status zeros = CheckZeros(wire, message.kind);
  if (!zeros.ok()) return zeros;
  if (descriptors != (HasDescriptor(message.kind) ? 1 : 0)) {
    return Wrong(absl::StrCat("kind ", wire.kind, " with ", descriptors, " descriptors"));
  }
  std::memcpy(message.key.data(), wire.key, message.key.size());
  message.geometry = ShmGeometry{wire.ring_bytes, wire.bounce_bytes};
  message.segment = wire.segment;
  message.bytes = wire.bytes;
  return message;
}

absl::Status SendHandover(int socket, const HandoverMessage& message, int descriptor) {
  HandoverBytes bytes = EncodeHandover(message);
  iovec part{bytes.data(), bytes.size()};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  msghdr header{};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  if (descriptor >= 0) {
    header.msg_control = control;
    header.msg_controllen = sizeof(control);
    cmsghdr* rights = CMSG_FIRSTHDR(&header);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(sizeof(int));
    std::memcpy(CMSG_DATA(rights), &descriptor, sizeof(int));
  }
  while (sendmsg(socket, &header, MSG_DONTWAIT | MSG_NOSIGNAL) < 0) {
    if (errno == EINTR) continue;
    if (WouldWait(errno) || errno == ETOOMANYREFS || errno == ENOBUFS) {
      return absl::ResourceExhaustedError(
          "shared memory: the peer does not read what it is told about it");
    }
    return absl::UnavailableError(
        absl::StrCat("shared memory: the peer has gone: ", std::strerror(errno)));
  }
  return absl::OkStatus();
}

absl::StatusOr<ReceivedHandover> ReceiveHandover(int socket) {
  char bytes[kHandoverBytes + 1];
  iovec part{bytes, sizeof(bytes)};
  // Room for two, so that a message with too many is seen as such; the kernel keeps the others.
  alignas(cmsghdr) char control[CMSG_SPACE(2 * sizeof(int))] = {};
  msghdr header{};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  header.msg_control = control;
  header.msg_controllen = sizeof(control);
  ssize_t size = -1;
  do {
    size = recvmsg(socket, &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  } while (size < 0 && errno == EINTR);
  if (size < 0 && WouldWait(errno)) return absl::NotFoundError("no message");
  if (size <= 0) {
    return absl::UnavailableError(absl::StrCat("shared memory: the peer has gone",
                                               size < 0 ? ": " : "",
                                               size < 0 ? std::strerror(errno) : ""));
  }
  std::vector<ShmFd> descriptors = TakeDescriptors(&header);
  absl::StatusOr<HandoverMessage> message =
      ParseHandover(absl::string_view(bytes, static_cast<size_t>(size)), descriptors.size());
  if (!message.ok()) return message.status();
  ReceivedHandover received;
  received.message = *message;
  if (!descriptors.empty()) received.descriptor = std::move(descriptors.front());
  return received;
}

absl::Status CheckPeerUser(int socket) {
  ucred peer{};
  socklen_t size = sizeof(peer);
  if (getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) {
    return absl::InternalError(
        absl::StrCat("shared memory: cannot tell who the peer is: ", std::strerror(errno)));
  }
  if (peer.uid != geteuid()) {
    return absl::InvalidArgumentError(absl::StrCat("shared memory: the peer is of user ", peer.uid,
                                                   ", this process of user ", geteuid()));
  }
  return absl::OkStatus();
}

absl::StatusOr<ShmFd> ConnectHandover(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof(address.sun_path)) {
    return absl::InvalidArgumentError(
        absl::StrCat("'", path, "' cannot be a socket: its name has ", path.size(), " bytes"));
  }
  std::memcpy(address.sun_path, path.data(), path.size());
  ShmFd socket(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket ||
      connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
    return absl::UnavailableError(
        absl::StrCat("shared memory: cannot connect to ", path, ": ", std::strerror(errno)));
  }
  const absl::Status status = CheckPeerUser(socket.get());
  if (!status.ok()) return status;
  return socket;
}

}  // namespace weir
