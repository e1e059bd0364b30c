// SPDX-License-Identifier: Apache-2.0
#include "tools/rest_connection.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"

namespace weir {
namespace {

constexpr int kBacklog = 1024;

absl::Status Gone(const char* what) {
  return absl::UnavailableError(absl::StrCat("HTTP connection: ", what));
}

absl::Status Failed(const char* call) {
  return absl::UnavailableError(
      absl::StrCat("HTTP connection: ", call, ": ", std::strerror(errno)));
}

sockaddr_in Loopback(int port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

// Bytes received, 0 at the end.
absl::StatusOr<size_t> ReceiveSome(int fd, char* into, size_t size) {
  for (;;) {
    const ssize_t got = recv(fd, into, size, 0);
    if (got >= 0) return static_cast<size_t>(got);
    if (errno == EINTR) continue;
    if (errno == ECONNRESET) return size_t{0};
    return Failed("recv");
  }
}

}  // namespace

absl::StatusOr<std::unique_ptr<RestConnection>> RestConnection::Connect(int port) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return Failed("socket");
  auto connection = std::make_unique<RestConnection>(fd);
  const sockaddr_in address = Loopback(port);
  int result;
  do {
    result = connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address));
  } while (result != 0 && errno == EINTR);
  if (result != 0) return Failed("connect");
  return connection;
}

RestConnection::RestConnection(int fd) : fd_(fd) {
  const int on = 1;
  setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

RestConnection::~RestConnection() { close(fd_); }

absl::Status RestConnection::Send(absl::string_view head, absl::string_view body) {
  iovec parts[2] = {{const_cast<char*>(head.data()), head.size()},
                    {const_cast<char*>(body.data()), body.size()}};
  msghdr message{};
  message.msg_iov = parts;
  message.msg_iovlen = 2;
  while (message.msg_iovlen > 0) {
    const ssize_t sent = sendmsg(fd_, &message, MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0) return Failed("sendmsg");
    auto left = static_cast<size_t>(sent);
    while (message.msg_iovlen > 0 && left >= message.msg_iov->iov_len) {
      left -= message.msg_iov->iov_len;
      ++message.msg_iov;
      --message.msg_iovlen;
    }
    if (message.msg_iovlen == 0) break;
    message.msg_iov->iov_base = static_cast<char*>(message.msg_iov->iov_base) + left;
    message.msg_iov->iov_len -= left;
  }
  return absl::OkStatus();
}

bool RestConnection::AwaitMessage() {
  char first;
  ssize_t got;
  do {
    got = recv(fd_, &first, 1, MSG_PEEK);
  } while (got < 0 && errno == EINTR);
  return got == 1;
}

// The length of the head that head_ begins with.
absl::StatusOr<size_t> RestConnection::ReceiveHead() {
  received_ = 0;
  for (;;) {
    const auto end = FindHttpHeadEnd(absl::string_view(head_, received_));
    if (!end.ok() || *end != absl::string_view::npos) return end;
    const auto got = ReceiveSome(fd_, head_ + received_, sizeof(head_) - received_);
    if (!got.ok()) return got.status();
    if (*got == 0 && received_ == 0)
      return absl::OutOfRangeError("HTTP connection: closed by the other side");
    if (*got == 0) return Gone("ended within a head");
    received_ += *got;
  }
}

absl::StatusOr<HttpHead> RestConnection::Receive(
    absl::StatusOr<HttpHead> (*parse)(absl::string_view), RestBuffer* body) {
  const auto end = ReceiveHead();
  if (!end.ok()) return end.status();
  auto head = parse(absl::string_view(head_, *end));
  if (!head.ok()) return head;
  const auto length = static_cast<size_t>(head->content_length);
  const size_t early = received_ - *end;
  if (early > length)
    return absl::InvalidArgumentError("bad HTTP message: more came than its length");
  body->Resize(length);
  if (early > 0) std::memcpy(body->data(), head_ + *end, early);
  for (size_t done = early; done < length;) {
    const auto got = ReceiveSome(fd_, body->data() + done, length - done);
    if (!got.ok()) return got.status();
    if (*got == 0) return Gone("ended within a body");
    done += *got;
  }
  return head;
}

absl::StatusOr<HttpHead> RestConnection::ReceiveRequest(RestBuffer* body) {
  return Receive(ParseHttpRequest, body);
}

absl::StatusOr<HttpHead> RestConnection::ReceiveReply(RestBuffer* body) {
  return Receive(ParseHttpReply, body);
}

absl::StatusOr<RestListener> ListenOnLoopback() {
  RestListener listener;
  listener.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (listener.fd < 0) return Failed("socket");
  sockaddr_in address = Loopback(0);
  socklen_t size = sizeof(address);
  if (bind(listener.fd, reinterpret_cast<sockaddr*>(&address), size) != 0 ||
      listen(listener.fd, kBacklog) != 0 ||
      getsockname(listener.fd, reinterpret_cast<sockaddr*>(&address), &size) != 0) {
    absl::Status status = Failed("listen");
    close(listener.fd);
    return status;
  }
  listener.port = ntohs(address.sin_port);
  return listener;
}

}  // namespace weir
