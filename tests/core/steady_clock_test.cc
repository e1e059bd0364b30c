// SPDX-License-Identifier: Apache-2.0
#include "core/steady_clock.h"

#include <gtest/gtest.h>

#include "absl/time/clock.h"
#include "tests/core/fake_clocks.h"

namespace weir {
namespace {

TEST(SteadyClockTest, ItGoesOnWhoeverSetsTheWallClock) {
  const absl::Time wall = absl::Now(), before = SteadyNow();
  MoveWallClock(-absl::Hours(1));
  EXPECT_LT(absl::Now(), wall - absl::Minutes(59));
  const absl::Time after = SteadyNow();
  EXPECT_GE(after, before);
  EXPECT_LT(after, before + absl::Minutes(30));
  MoveWallClock(absl::Hours(2));
  EXPECT_GE(SteadyNow(), after);
  EXPECT_LT(SteadyNow(), after + absl::Minutes(30));
  MoveWallClock(-absl::Hours(1));
}

TEST(SteadyClockTest, ItGoesOnWhileTheMachineIsSuspended) {
  const absl::Time before = SteadyNow();
  SuspendMachine(absl::Hours(1));
  EXPECT_GE(SteadyNow(), before + absl::Hours(1));
}

}  // namespace
}  // namespace weir
