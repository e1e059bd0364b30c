// SPDX-License-Identifier: Apache-2.0
#include "tools/roofline.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace weir {
namespace {

constexpr size_t kWriteBytes = size_t{1} << 20;

double Now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

double Median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
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

// The two ends of one loopback TCP connection, without delay.
struct Connection {
  Descriptor a;
  Descriptor b;
};

absl::StatusOr<Connection> Connect() {
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

bool SendAll(int fd, uint64_t bytes) {
  const std::vector<char> block(kWriteBytes, 'w');
  while (bytes > 0) {
    const ssize_t n = send(fd, block.data(), std::min<uint64_t>(bytes, block.size()), MSG_NOSIGNAL);
    if (n <= 0) return false;
    bytes -= static_cast<uint64_t>(n);
  }
  return true;
}

bool ReceiveAll(int fd, uint64_t bytes) {
  std::vector<char> block(kWriteBytes);
  while (bytes > 0) {
    const ssize_t n = recv(fd, block.data(), std::min<uint64_t>(bytes, block.size()), 0);
    if (n <= 0) return false;
    bytes -= static_cast<uint64_t>(n);
  }
  return true;
}

// Moves `bytes` from a to b, and with `both_ways` as many back at once; the rate is the sum.
absl::StatusOr<double> Stream(uint64_t bytes, bool both_ways) {
  auto connection = Connect();
  if (!connection.ok()) return connection.status();
  const int a = connection->a.get();
  const int b = connection->b.get();
  bool sent = true, received = true, sent_back = true, received_back = true;
  const double start = Now();
  std::vector<std::thread> threads;
  threads.emplace_back([&] { sent = SendAll(a, bytes); });
  threads.emplace_back([&] { received = ReceiveAll(b, bytes); });
  if (both_ways) {
    threads.emplace_back([&] { sent_back = SendAll(b, bytes); });
    threads.emplace_back([&] { received_back = ReceiveAll(a, bytes); });
  }
  for (std::thread& thread : threads) thread.join();
  const double seconds = Now() - start;
  if (!sent || !received || !sent_back || !received_back) return Failed("stream");
  return static_cast<double>(bytes) * (both_ways ? 2 : 1) / seconds / 1e6;
}

absl::StatusOr<double> RoundTrip(int count) {
  auto connection = Connect();
  if (!connection.ok()) return connection.status();
  const int a = connection->a.get();
  const int b = connection->b.get();
  std::thread echo([b, count] {
    char byte = 0;
    for (int i = 0; i < count; ++i) {
      if (recv(b, &byte, 1, 0) != 1 || send(b, &byte, 1, MSG_NOSIGNAL) != 1) return;
    }
  });
  std::vector<double> times;
  char byte = 'w';
  bool good = true;
  for (int i = 0; i < count && good; ++i) {
    const double start = Now();
    good = send(a, &byte, 1, MSG_NOSIGNAL) == 1 && recv(a, &byte, 1, 0) == 1;
    times.push_back((Now() - start) * 1e6);
  }
  if (!good) shutdown(b, SHUT_RDWR);
  echo.join();
  if (!good) return Failed("round trip");
  return Median(std::move(times));
}

double Copy(uint64_t bytes) {
  std::vector<char> from(bytes, 'w');
  std::vector<char> to(bytes, 'e');
  const double start = Now();
  std::memcpy(to.data(), from.data(), bytes);
  const double seconds = Now() - start;
  asm volatile("" : : "r"(to.data()) : "memory");
  return static_cast<double>(bytes) / seconds / 1e6;
}

double Triad(uint64_t bytes) {
  const size_t n = bytes / sizeof(float);
  std::vector<float> w(n, 1.0f);
  std::vector<float> g(n, 0.5f);
  const double start = Now();
  for (size_t i = 0; i < n; ++i) w[i] -= 0.125f * g[i];
  const double seconds = Now() - start;
  asm volatile("" : : "r"(w.data()) : "memory");
  return static_cast<double>(n) * 12 / seconds / 1e6;
}

constexpr RooflineName kNames[] = {
    {"raw_tcp_mb_s", &Roofline::raw_tcp_mb_s, 0},
    {"raw_tcp_one_way_mb_s", &Roofline::raw_tcp_one_way_mb_s, 0},
    {"raw_rtt_us", &Roofline::raw_rtt_us, 1},
    {"memcpy_mb_s", &Roofline::memcpy_mb_s, 0},
    {"triad_mb_s", &Roofline::triad_mb_s, 0},
};

}  // namespace

absl::Span<const RooflineName> RooflineNames() { return kNames; }

absl::StatusOr<Roofline> MeasureRoofline(const RooflineOptions& options) {
  std::vector<double> both, one, rtt, copy, triad;
  for (int i = 0; i < options.repetitions; ++i) {
    const auto streamed_both = Stream(options.tcp_bytes, true);
    if (!streamed_both.ok()) return streamed_both.status();
    const auto streamed_one = Stream(options.tcp_bytes, false);
    if (!streamed_one.ok()) return streamed_one.status();
    const auto round_trip = RoundTrip(options.round_trips);
    if (!round_trip.ok()) return round_trip.status();
    both.push_back(*streamed_both);
    one.push_back(*streamed_one);
    rtt.push_back(*round_trip);
    copy.push_back(Copy(options.memory_bytes));
    triad.push_back(Triad(options.memory_bytes));
  }
  Roofline roofline;
  roofline.raw_tcp_mb_s = Median(both);
  roofline.raw_tcp_one_way_mb_s = Median(one);
  roofline.raw_rtt_us = Median(rtt);
  roofline.memcpy_mb_s = Median(copy);
  roofline.triad_mb_s = Median(triad);
  return roofline;
}

}  // namespace weir
