// SPDX-License-Identifier: Apache-2.0
#include "tools/link_speed.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

namespace weir {
namespace {

class LinkSpeedTest : public ::testing::Test {
 protected:
  void SetUp() override { ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, ends_), 0); }
  void TearDown() override {
    for (int end : ends_) close(end);
  }

  int ends_[2] = {-1, -1};
};

TEST_F(LinkSpeedTest, MeasuresBothRatesAndTheRoundTrip) {
  const auto speed = MeasureLink(ends_[0], ends_[1], 3 << 20, 10);
  ASSERT_TRUE(speed.ok()) << speed.status();
  EXPECT_GT(speed->one_way_mb_s, 0);
  EXPECT_GT(speed->both_ways_mb_s, 0);
  EXPECT_GT(speed->round_trip_us, 0);
}

TEST_F(LinkSpeedTest, NothingToMoveIsRefused) {
  EXPECT_EQ(MeasureLink(ends_[0], ends_[1], 0, 10).status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(MeasureLink(ends_[0], ends_[1], 1, 0).status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST_F(LinkSpeedTest, ConnectionThatClosesIsAnErrorAndNoWait) {
  shutdown(ends_[1], SHUT_RDWR);
  EXPECT_EQ(MeasureLink(ends_[0], ends_[1], 1 << 20, 10).status().code(),
            absl::StatusCode::kUnavailable);
}

}  // namespace
}  // namespace weir
