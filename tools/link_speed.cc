// SPDX-License-Identifier: Apache-2.0
#include "tools/link_speed.h"

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace weir {
namespace {

constexpr size_t kWriteBytes = size_t{1} << 20;

double Now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

absl::Status Failed(const char* what) {
  return absl::UnavailableError(absl::StrCat("raw TCP: ", what, ": ", std::strerror(errno)));
}

// A failure shuts the connection down, so that nobody waits for the rest.
bool Send(int fd, uint64_t bytes) {
  const std::vector<char> block(std::min<uint64_t>(kWriteBytes, bytes), 'w');
  while (bytes > 0) {
    const ssize_t n = send(fd, block.data(), std::min<uint64_t>(bytes, block.size()), MSG_NOSIGNAL);
    if (n <= 0) shutdown(fd, SHUT_RDWR);
    if (n <= 0) return false;
    bytes -= static_cast<uint64_t>(n);
  }
  return true;
}

bool Receive(int fd, uint64_t bytes) {
  std::vector<char> block(std::min<uint64_t>(kWriteBytes, bytes));
  while (bytes > 0) {
    const ssize_t n = recv(fd, block.data(), std::min<uint64_t>(bytes, block.size()), 0);
    if (n <= 0) shutdown(fd, SHUT_RDWR);
    if (n <= 0) return false;
    bytes -= static_cast<uint64_t>(n);
  }
  return true;
}

absl::StatusOr<double> Stream(int a, int b, uint64_t bytes, bool both_ways) {
  bool good[4] = {true, true, true, true};
  const double start = Now();
  std::vector<std::thread> threads;
  threads.emplace_back([&] { good[0] = Send(a, bytes); });
  threads.emplace_back([&] { good[1] = Receive(b, bytes); });
  if (both_ways) {
    threads.emplace_back([&] { good[2] = Send(b, bytes); });
    threads.emplace_back([&] { good[3] = Receive(a, bytes); });
  }
  for (std::thread& thread : threads) thread.join();
  const double seconds = Now() - start;
  if (!std::all_of(good, good + 4, [](bool each) { return each; })) return Failed("stream");
  return static_cast<double>(bytes) * (both_ways ? 2 : 1) / seconds / 1e6;
}

absl::StatusOr<double> RoundTrip(int a, int b, int count) {
  std::thread echo([b, count] {
    char byte = 0;
    for (int i = 0; i < count; ++i) {
      if (!Receive(b, 1) || send(b, &byte, 1, MSG_NOSIGNAL) != 1) return;
    }
  });
  std::vector<double> times;
  bool good = true;
  for (int i = 0; i < count && good; ++i) {
    const double start = Now();
    good = Send(a, 1) && Receive(a, 1);
    times.push_back((Now() - start) * 1e6);
  }
  echo.join();
  if (!good) return Failed("round trip");
  std::nth_element(times.begin(), times.begin() + count / 2, times.end());
  return times[static_cast<size_t>(count) / 2];
}

}  // namespace

absl::StatusOr<LinkSpeed> MeasureLink(int a, int b, uint64_t bytes, int round_trips) {
  if (bytes == 0 || round_trips < 1)
    return absl::InvalidArgumentError("raw TCP: no bytes or no round trips to measure");
  const auto one_way = Stream(a, b, bytes, false);
  if (!one_way.ok()) return one_way.status();
  const auto both_ways = Stream(a, b, bytes, true);
  if (!both_ways.ok()) return both_ways.status();
  const auto round_trip = RoundTrip(a, b, round_trips);
  if (!round_trip.ok()) return round_trip.status();
  return LinkSpeed{*one_way, *both_ways, *round_trip};
}

}  // namespace weir
