// SPDX-License-Identifier: Apache-2.0
#include "tools/rest_memory.h"

#include <string>

namespace weir {
namespace {

using ::testing::HasSubstr;

CompareOptions Sixteen(std::vector<uint32_t> in_flight) {
  CompareOptions options;
  options.sizes = {{16, 4}};
  options.in_flight = std::move(in_flight);
  return options;
}

TEST(RestMemoryTest, MoreInFlightWorkersTransportsAndFormsNeedMore) {
  const LoadProfile profile = *MakeLoadProfile("resnet50");
  const CompareOptions less = Sixteen({1});
  const uint64_t needed = CompareMemoryBytes(profile, less);
  EXPECT_GT(CompareMemoryBytes(profile, Sixteen({1, 8})), needed);
  CompareOptions fewer = less;
  fewer.sizes = {{15, 4}};
  EXPECT_LT(CompareMemoryBytes(profile, fewer), needed);
  fewer = less;
  fewer.transports = {"tcp"};
  EXPECT_LT(CompareMemoryBytes(profile, fewer), needed);
  fewer = less;
  fewer.forms = {"json-base64-fast"};
  EXPECT_LT(CompareMemoryBytes(profile, fewer), needed);
}

TEST(RestMemoryTest, OnlyTheLargestSizeCounts) {
  const LoadProfile profile = *MakeLoadProfile("resnet50");
  CompareOptions both = Sixteen({8});
  const uint64_t needed = CompareMemoryBytes(profile, both);
  both.sizes.push_back({1, 1});
  EXPECT_EQ(CompareMemoryBytes(profile, both), needed);
}

TEST(RestMemoryTest, MoreInFlightThanTensorsRepeatsThem) {
  const LoadProfile profile = *MakeLoadProfile("uniform:2x1000000");
  EXPECT_GT(CompareMemoryBytes(profile, Sixteen({64})),
            CompareMemoryBytes(profile, Sixteen({8})) * 3);
}

TEST(RestMemoryTest, TooLittleIsRefusedWithBothFigures) {
  EXPECT_TRUE(CheckMemory(1000, 1000).ok());
  EXPECT_TRUE(CheckMemory(1000, 0).ok());  // unknown
  const absl::Status refused = CheckMemory(12400000000, 3000000000);
  EXPECT_EQ(refused.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(refused.message()), HasSubstr("needs about 12.4 GB"));
  EXPECT_THAT(std::string(refused.message()), HasSubstr("3.0 GB are available"));
}

TEST(RestMemoryTest, MemoryThatIsNotUsedCanGoAtAnyTime) {
  std::string kept(1 << 20, 'x');
  ReturnFreeMemory();
  EXPECT_EQ(kept.back(), 'x');
}

}  // namespace
}  // namespace weir
