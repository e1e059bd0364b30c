// SPDX-License-Identifier: Apache-2.0
#include "net/shm_listener.h"

#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace weir {
namespace {

constexpr int kBacklog = 128;
constexpr int kMostAtOnce = 64;  // connections, and messages, of one Run

}  // namespace

absl::StatusOr<std::unique_ptr<ShmListener>> ShmListener::Listen(const std::string& path,
                                                                 Options options) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof(address.sun_path)) {
    return absl::InvalidArgumentError(
        absl::StrCat("'", path, "' cannot be a socket: its name has ", path.size(), " bytes"));
  }
  std::memcpy(address.sun_path, path.data(), path.size());
  ShmFd socket(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  ShmFd poll(epoll_create1(EPOLL_CLOEXEC));
  if (!socket || !poll ||
      bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0 ||
      chmod(path.c_str(), 0600) != 0 || listen(socket.get(), kBacklog) != 0) {
    return absl::UnavailableError(
        absl::StrCat("shared memory: cannot listen at ", path, ": ", std::strerror(errno)));
  }
  std::unique_ptr<ShmListener> listener(
      new ShmListener(options, std::move(socket), std::move(poll)));
  if (!listener->Watch(listener->socket_.get())) {
    return absl::UnavailableError(
        absl::StrCat("shared memory: cannot watch ", path, ": ", std::strerror(errno)));
  }
  return listener;
}

std::vector<ShmListener::Offer> ShmListener::Run(absl::Time now) {
  if (paused_) paused_ = !Watch(socket_.get());
  std::vector<Offer> offers;
  std::array<epoll_event, kMostAtOnce> events;
  const int count = epoll_wait(poll_.get(), events.data(), kMostAtOnce, /*timeout=*/0);
  for (int i = 0; i < count; ++i) {
    if (events[i].data.fd == socket_.get()) {
      AcceptAll(now);
      continue;
    }
    const auto peer = peers_.find(events[i].data.fd);
    if (peer == peers_.end()) continue;
    absl::StatusOr<ReceivedHandover> received = ReceiveHandover(peer->second.socket.get());
    if (!received.ok() && absl::IsNotFound(received.status())) continue;
    if (received.ok() && received->message.kind == HandoverKind::kOffer) {
      epoll_ctl(poll_.get(), EPOLL_CTL_DEL, peer->first, nullptr);
      offers.push_back(Offer{received->message, std::move(peer->second.socket),
                             std::move(received->descriptor)});
      ++statistics_.offers;
    } else {
      ++statistics_.refused;
    }
    peers_.erase(peer);
  }
  DropLate(now);
  return offers;
}

void ShmListener::AcceptAll(absl::Time now) {
  for (int i = 0; i < kMostAtOnce; ++i) {
    ShmFd socket(accept4(socket_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!socket) {
      if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
        // It stays readable: do not come back at once.
        epoll_ctl(poll_.get(), EPOLL_CTL_DEL, socket_.get(), nullptr);
        paused_ = true;
      }
      return;
    }
    const int fd = socket.get();
    if (peers_.size() >= options_.max_waiting || !CheckPeerUser(fd).ok() || !Watch(fd)) {
      ++statistics_.refused;
      continue;
    }
    peers_[fd] = Peer{std::move(socket), now + options_.offer_timeout};
  }
}

void ShmListener::DropLate(absl::Time now) {
  for (auto peer = peers_.begin(); peer != peers_.end();) {
    if (now < peer->second.deadline) {
      ++peer;
      continue;
    }
    ++statistics_.refused;
    peer = peers_.erase(peer);
  }
}

bool ShmListener::Watch(int fd) {
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.fd = fd;
  return epoll_ctl(poll_.get(), EPOLL_CTL_ADD, fd, &event) == 0;
}

}  // namespace weir
