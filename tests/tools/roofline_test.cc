// SPDX-License-Identifier: Apache-2.0
#include "tools/roofline.h"

#include "gtest/gtest.h"

namespace weir {
namespace {

TEST(RooflineTest, EveryFigureIsMeasured) {
  RooflineOptions small;
  small.tcp_bytes = 3 << 20;
  small.round_trips = 50;
  small.memory_bytes = 1 << 20;
  small.repetitions = 1;
  const auto roofline = MeasureRoofline(small);
  ASSERT_TRUE(roofline.ok()) << roofline.status();
  EXPECT_GT(roofline->raw_tcp_mb_s, 0);
  EXPECT_GT(roofline->raw_tcp_one_way_mb_s, 0);
  EXPECT_GT(roofline->raw_rtt_us, 0);
  EXPECT_GT(roofline->memcpy_mb_s, 0);
  EXPECT_GT(roofline->triad_mb_s, 0);
}

}  // namespace
}  // namespace weir
