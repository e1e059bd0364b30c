// SPDX-License-Identifier: Apache-2.0
#include "tools/roofline.h"

#include "gtest/gtest.h"
#include "tools/roofline_memory.h"
#include "tools/roofline_sockets.h"

namespace weir {
namespace {

TEST(RooflineTest, EveryFigureIsMeasured) {
  RooflineOptions small;
  small.tcp_bytes = 3 << 20;
  small.cold_bytes = 2 << 20;
  small.round_trips = 50;
  small.memory_bytes = 8 << 20;
  const auto roofline = MeasureRoofline(small);
  ASSERT_TRUE(roofline.ok()) << roofline.status();
  for (const RooflineName& limit : RooflineNames())
    EXPECT_GT((*roofline).*limit.value, 0) << limit.name;
}

TEST(RooflineTest, TheLimitIsTheFastestWayMeasured) {
  RooflineOptions small;
  small.tcp_bytes = 3 << 20;
  small.cold_bytes = 2 << 20;
  small.round_trips = 5;
  small.memory_bytes = 8 << 20;
  const auto roofline = MeasureRoofline(small);
  ASSERT_TRUE(roofline.ok()) << roofline.status();
  EXPECT_GE(roofline->raw_tcp_mb_s, roofline->raw_tcp_cold_mb_s);
}

TEST(RooflineTest, StreamsEndWhateverTheFormAndTheSizeOfTheirBuffers) {
  for (const SocketKind kind : {SocketKind::kTcp, SocketKind::kUnix}) {
    for (const StreamForm form :
         {StreamForm::kOneWay, StreamForm::kFourThreads, StreamForm::kTwoThreads}) {
      for (const uint64_t buffer : {uint64_t{0}, (uint64_t{3} << 20) + 7}) {
        const auto speed = MeasureStream({kind, form, (uint64_t{5} << 20) + 13, buffer, false});
        ASSERT_TRUE(speed.ok()) << speed.status();
        EXPECT_GT(speed->mb_s, 0);
      }
    }
  }
}

TEST(RooflineTest, MemoryThatIsNotThereIsSaid) {
  EXPECT_EQ(MeasureMemory(0, false).status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(MeasureMemory(uint64_t{1} << 60, false).status().code(),
            absl::StatusCode::kResourceExhausted);
}

}  // namespace
}  // namespace weir
