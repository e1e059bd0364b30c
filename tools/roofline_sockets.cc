// SPDX-License-Identifier: Apache-2.0
#include "tools/roofline_sockets.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <functional>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "tools/load_memory_use.h"
#include "tools/load_pin.h"

namespace weir {
namespace {

constexpr size_t kWriteBytes = size_t{1} << 20;
constexpr int kStuckMs = 10000;  // nothing moves for so long: it never will

double Now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

absl::Status Failed(const char* call) {
  return absl::UnavailableError(absl::StrCat("roofline: ", call, ": ", std::strerror(errno)));
}

// A file descriptor that is closed once.
class Descriptor {
 public:
  explicit Descriptor(int fd = -1) : fd_(fd) {}
  Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~Descriptor() {
    if (fd_ >= 0) close(fd_);
  }
  int get() const { return fd_; }

 private:
  int fd_;
};

// The two ends of one connection.
struct Connection {
  Descriptor a;
  Descriptor b;
};

absl::StatusOr<Connection> ConnectUnix() {
  int fds[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) != 0) return Failed("socketpair");
  return Connection{Descriptor(fds[0]), Descriptor(fds[1])};
}

absl::StatusOr<Connection> ConnectTcp() {
  Descriptor listener(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (listener.get() < 0) return Failed("socket");
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  auto* generic = reinterpret_cast<sockaddr*>(&address);
  if (bind(listener.get(), generic, size) != 0 || listen(listener.get(), 1) != 0)
    return Failed("listen");
  if (getsockname(listener.get(), generic, &size) != 0) return Failed("getsockname");
  Connection connection;
  connection.a = Descriptor(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (connection.a.get() < 0) return Failed("socket");
  if (connect(connection.a.get(), generic, size) != 0) return Failed("connect");
  connection.b = Descriptor(accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
  if (connection.b.get() < 0) return Failed("accept");
  const int on = 1;
  for (int fd : {connection.a.get(), connection.b.get()})
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  return connection;
}

absl::StatusOr<Connection> Connect(SocketKind kind) {
  return kind == SocketKind::kUnix ? ConnectUnix() : ConnectTcp();
}

// Memory that is walked through in blocks of a write, from the front again at its end.
class Walk {
 public:
  explicit Walk(uint64_t bytes) : memory_(std::max<uint64_t>(bytes, kWriteBytes), 'w') {}
  char* at() { return memory_.data() + at_; }
  // What may be moved at once, of `left` bytes.
  size_t room(uint64_t left) const {
    return static_cast<size_t>(std::min<uint64_t>({left, kWriteBytes, memory_.size() - at_}));
  }
  void Advance(size_t bytes) {
    at_ += bytes;
    if (at_ == memory_.size()) at_ = 0;
  }

 private:
  std::vector<char> memory_;
  size_t at_ = 0;
};

bool SendAll(int fd, uint64_t bytes, Walk* walk) {
  while (bytes > 0) {
    const ssize_t n = send(fd, walk->at(), walk->room(bytes), MSG_NOSIGNAL);
    if (n <= 0) return false;
    walk->Advance(static_cast<size_t>(n));
    bytes -= static_cast<uint64_t>(n);
  }
  return true;
}

bool ReceiveAll(int fd, uint64_t bytes, Walk* walk) {
  while (bytes > 0) {
    const ssize_t n = recv(fd, walk->at(), walk->room(bytes), 0);
    if (n <= 0) return false;
    walk->Advance(static_cast<size_t>(n));
    bytes -= static_cast<uint64_t>(n);
  }
  return true;
}

// Sends and receives `bytes` each, whatever is ready, and sleeps when nothing is.
bool Exchange(int fd, uint64_t bytes, Walk* out, Walk* in) {
  uint64_t to_send = bytes, to_receive = bytes;
  const auto moved = [](ssize_t n, Walk* walk, uint64_t* left) {
    if (n <= 0) return false;
    walk->Advance(static_cast<size_t>(n));
    *left -= static_cast<uint64_t>(n);
    return true;
  };
  while (to_send > 0 || to_receive > 0) {
    bool progress = false;
    if (to_send > 0) {
      progress = moved(send(fd, out->at(), out->room(to_send), MSG_NOSIGNAL | MSG_DONTWAIT), out,
                       &to_send);
    }
    if (to_receive > 0) {
      const ssize_t n = recv(fd, in->at(), in->room(to_receive), MSG_DONTWAIT);
      if (n == 0) return false;
      progress = moved(n, in, &to_receive) || progress;
    }
    if (progress) continue;
    if (errno != EAGAIN && errno != EWOULDBLOCK) return false;
    pollfd ready = {
        fd, static_cast<short>((to_receive > 0 ? POLLIN : 0) | (to_send > 0 ? POLLOUT : 0)), 0};
    if (poll(&ready, 1, kStuckMs) <= 0) return false;
  }
  return true;
}

}  // namespace

absl::StatusOr<StreamSpeed> MeasureStream(const StreamOptions& options) {
  auto connection = Connect(options.kind);
  if (!connection.ok()) return connection.status();
  const int a = connection->a.get();
  const int b = connection->b.get();
  const uint64_t bytes = options.bytes;
  std::vector<Walk> walks(4, Walk(options.buffer_bytes));
  std::vector<std::function<bool()>> ends;
  if (options.form == StreamForm::kTwoThreads) {
    ends = {[&] { return Exchange(a, bytes, &walks[0], &walks[1]); },
            [&] { return Exchange(b, bytes, &walks[2], &walks[3]); }};
  } else {
    ends = {[&] { return SendAll(a, bytes, &walks[0]); },
            [&] { return ReceiveAll(b, bytes, &walks[1]); }};
  }
  if (options.form == StreamForm::kFourThreads) {
    ends.push_back([&] { return SendAll(b, bytes, &walks[2]); });
    ends.push_back([&] { return ReceiveAll(a, bytes, &walks[3]); });
  }
  std::vector<char> good(ends.size(), 0);
  const double cpu = CpuSeconds();
  const double start = Now();
  std::vector<std::thread> threads;
  for (size_t i = 0; i < ends.size(); ++i) {
    threads.emplace_back([&, i] {
      if (options.apart) PinThread(CoreOf(LoadPin::kApart, i % 2 == 1));
      good[i] = ends[i]() ? 1 : 0;
      if (good[i] == 0) {  // the other end waits for what will not come
        shutdown(a, SHUT_RDWR);
        shutdown(b, SHUT_RDWR);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  const double seconds = Now() - start;
  if (std::count(good.begin(), good.end(), 1) != static_cast<std::ptrdiff_t>(good.size()))
    return Failed("stream");
  const int ways = options.form == StreamForm::kOneWay ? 1 : 2;
  const double total = static_cast<double>(bytes) * ways;
  return StreamSpeed{total / seconds / 1e6, (CpuSeconds() - cpu) / (total / 1e9)};
}

absl::StatusOr<double> MeasureRoundTrip(SocketKind kind, int count, int first_core,
                                        int second_core) {
  auto connection = Connect(kind);
  if (!connection.ok()) return connection.status();
  const int a = connection->a.get();
  const int b = connection->b.get();
  std::thread echo([=] {
    PinThread(first_core);
    char byte = 0;
    for (int i = 0; i < count; ++i) {
      if (recv(b, &byte, 1, 0) != 1 || send(b, &byte, 1, MSG_NOSIGNAL) != 1) break;
    }
  });
  std::vector<double> times;
  bool good = true;
  std::thread ask([&] {
    PinThread(second_core);
    char byte = 'w';
    for (int i = 0; i < count && good; ++i) {
      const double start = Now();
      good = send(a, &byte, 1, MSG_NOSIGNAL) == 1 && recv(a, &byte, 1, 0) == 1;
      times.push_back((Now() - start) * 1e6);
    }
    if (!good) shutdown(b, SHUT_RDWR);
  });
  ask.join();
  echo.join();
  if (!good || times.empty()) return Failed("round trip");
  const auto middle = times.begin() + static_cast<std::ptrdiff_t>(times.size() / 2);
  std::nth_element(times.begin(), middle, times.end());
  return *middle;
}

}  // namespace weir
