// SPDX-License-Identifier: Apache-2.0
#include "tests/core/fake_clocks.h"

#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <atomic>

namespace weir {
namespace {

constexpr int64_t kNanoseconds = 1000000000;

// Nanoseconds. Atomic: any thread of the program may ask.
std::atomic<int64_t> wall_moved{0};
std::atomic<int64_t> boot_moved{0};

}  // namespace

void MoveWallClock(absl::Duration by) { wall_moved += absl::ToInt64Nanoseconds(by); }

void SuspendMachine(absl::Duration time) {
  wall_moved += absl::ToInt64Nanoseconds(time);
  boot_moved += absl::ToInt64Nanoseconds(time);
}

}  // namespace weir

extern "C" int clock_gettime(clockid_t clock, timespec* now) noexcept {
  const int failed = static_cast<int>(syscall(SYS_clock_gettime, clock, now));
  if (failed != 0) return failed;
  int64_t moved = 0;
  if (clock == CLOCK_REALTIME) moved = weir::wall_moved;
  if (clock == CLOCK_BOOTTIME) moved = weir::boot_moved;
  const int64_t time = now->tv_sec * weir::kNanoseconds + now->tv_nsec + moved;
  now->tv_sec = time / weir::kNanoseconds;
  now->tv_nsec = time % weir::kNanoseconds;
  return 0;
}
