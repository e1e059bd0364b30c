// SPDX-License-Identifier: Apache-2.0
#include "net/socket_listener.h"

#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"

namespace weir {
namespace {

constexpr int kBacklog = 1024;
// A few frames; the kernel gives at most net.core.wmem_max.
constexpr int kSendBufferBytes = 4 << 20;
// No descriptor is left: tried again after so long.
constexpr int kPauseMs = 100;

absl::Status Failed(const std::string& path, const char* what) {
  return absl::UnavailableError(absl::StrCat(what, " ", path, ": ", std::strerror(errno)));
}

absl::StatusOr<sockaddr_un> AddressOf(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof(address.sun_path)) {
    return absl::UnavailableError(absl::StrCat("'", path, "' has ", path.size(),
                                               " bytes; the path of a socket has 1 to ",
                                               sizeof(address.sun_path) - 1));
  }
  std::memcpy(address.sun_path, path.data(), path.size());
  return address;
}

void EnlargeSendBuffer(int fd) {
  // Less is slower, not wrong.
  setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &kSendBufferBytes, sizeof(kSendBufferBytes));
}

bool IsOfThisUser(int fd) {
  ucred peer{};
  socklen_t size = sizeof(peer);
  return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 && peer.uid == geteuid();
}

}  // namespace

absl::StatusOr<std::unique_ptr<SocketListener>> SocketListener::Start(const std::string& path,
                                                                      Accepted accepted) {
  const absl::StatusOr<sockaddr_un> address = AddressOf(path);
  if (!address.ok()) return address.status();
  const int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (listener < 0) return Failed(path, "cannot make a socket for");
  if (bind(listener, reinterpret_cast<const sockaddr*>(&*address), sizeof(*address)) != 0 ||
      listen(listener, kBacklog) != 0) {
    absl::Status status = Failed(path, "cannot listen on");
    close(listener);
    return status;
  }
  const int stop = eventfd(0, EFD_CLOEXEC);
  if (stop < 0) {
    absl::Status status = Failed(path, "cannot make an eventfd for");
    close(listener);
    return status;
  }
  return std::unique_ptr<SocketListener>(new SocketListener(listener, stop, std::move(accepted)));
}

SocketListener::SocketListener(int listener, int stop, Accepted accepted)
    : listener_(listener), stop_(stop), accepted_(std::move(accepted)), thread_([this] { Run(); }) {
  pthread_setname_np(thread_.native_handle(), "weir-accept");
}

SocketListener::~SocketListener() {
  eventfd_write(stop_, 1);
  thread_.join();
  close(listener_);
  close(stop_);
}

void SocketListener::Run() {
  pollfd waits[2] = {{stop_, POLLIN, 0}, {listener_, POLLIN, 0}};
  for (;;) {
    if (poll(waits, 2, -1) < 0) continue;  // a signal
    if (waits[0].revents != 0) return;
    const int fd = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0) {
      // What remains is a lack of descriptors or memory.
      if (errno != EAGAIN && errno != ECONNABORTED && errno != EINTR) poll(waits, 1, kPauseMs);
      continue;
    }
    if (!IsOfThisUser(fd)) {
      close(fd);
      continue;
    }
    EnlargeSendBuffer(fd);
    accepted_(fd);
  }
}

absl::StatusOr<int> ConnectSocket(const std::string& path) {
  const absl::StatusOr<sockaddr_un> address = AddressOf(path);
  if (!address.ok()) return address.status();
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return Failed(path, "cannot make a socket for");
  if (connect(fd, reinterpret_cast<const sockaddr*>(&*address), sizeof(*address)) != 0) {
    absl::Status status = Failed(path, "cannot connect to");
    close(fd);
    return status;
  }
  EnlargeSendBuffer(fd);
  return fd;
}

}  // namespace weir
