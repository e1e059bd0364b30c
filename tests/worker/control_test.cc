// SPDX-License-Identifier: Apache-2.0
// The lease of a worker whose wall clock goes wrong.
#include "worker/control.h"

#include <gtest/gtest.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <memory>
#include <string>

#include "absl/synchronization/notification.h"
#include "net/server_host.h"

namespace {

int64_t Nanoseconds(const timespec& time) {
  return time.tv_sec * int64_t{1000000000} + time.tv_nsec;
}

timespec Read(clockid_t clock) {
  timespec time{};
  syscall(SYS_clock_gettime, clock, &time);
  return time;
}

}  // namespace

// Takes the place of the C library's: in this program the wall clock goes backwards, as fast as it
// should go forwards.
extern "C" int clock_gettime(clockid_t clock, timespec* time) noexcept {
  static const int64_t begin = Nanoseconds(Read(CLOCK_REALTIME));
  *time = Read(clock);
  if (clock != CLOCK_REALTIME) return 0;
  const int64_t turned = 2 * begin - Nanoseconds(*time);
  time->tv_sec = turned / 1000000000;
  time->tv_nsec = turned % 1000000000;
  return 0;
}

namespace weir {
namespace {

std::string AddressWhereNobodyListens() {
  auto server = ServerHost::Start(ServerHost::Options()).value();
  return server->address();
}

TEST(ControlTest, TheLeaseEndsThoughTheWallClockIsSetBack) {
  absl::Notification stopped;
  Status why;
  Control::Options options;
  options.client = std::make_unique<CoordinatorClient>(AddressWhereNobodyListens());
  options.lease = absl::Milliseconds(300);
  options.stop = [&](Status status) {
    why = std::move(status);
    stopped.Notify();
  };
  options.layout = [](const Layout&) {};
  options.waits_for = [] { return std::string(); };
  options.log = [](LogLevel, const std::string&) {};
  Control control(std::move(options));
  // Not a wait with a limit: its end would be by the clock that goes backwards.
  const timespec begin = Read(CLOCK_MONOTONIC);
  while (!stopped.HasBeenNotified() &&
         Nanoseconds(Read(CLOCK_MONOTONIC)) - Nanoseconds(begin) < int64_t{10000000000}) {
    sched_yield();
  }
  ASSERT_TRUE(stopped.HasBeenNotified());
  EXPECT_EQ(why.code(), StatusCode::kCancelled);
  EXPECT_NE(why.message().find("the lease is lost"), std::string::npos) << why.message();
}

}  // namespace
}  // namespace weir
