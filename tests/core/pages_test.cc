// SPDX-License-Identifier: Apache-2.0
#include "core/pages.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <limits>
#include <vector>

namespace weir {
namespace {

TEST(PagesTest, BlocksAreZeroedWritableAndDoNotOverlap) {
  std::vector<std::shared_ptr<void>> blocks;
  for (const size_t bytes : {size_t{1}, size_t{4096}, size_t{4097}, kHugePageBytes - 1,
                             kHugePageBytes, kHugePageBytes + 1, 3 * kHugePageBytes + 12345}) {
    absl::StatusOr<std::shared_ptr<void>> block = MapPages(bytes);
    ASSERT_TRUE(block.ok()) << block.status();
    char* data = static_cast<char*>(block->get());
    for (size_t i = 0; i < bytes; ++i) ASSERT_EQ(data[i], 0) << "byte " << i << " of " << bytes;
    for (size_t i = 0; i < bytes; ++i) data[i] = static_cast<char>(blocks.size() + 1);
    blocks.push_back(*block);
  }
  for (size_t i = 0; i < blocks.size(); ++i)
    EXPECT_EQ(*static_cast<char*>(blocks[i].get()), static_cast<char>(i + 1));
}

TEST(PagesTest, LargeBlocksBeginAtAHugePageOthersAtAPage) {
  EXPECT_EQ(reinterpret_cast<uintptr_t>(MapPages(kHugePageBytes)->get()) % kHugePageBytes, 0u);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(MapPages(5)->get()) % 4096, 0u);
}

TEST(PagesTest, NoBytesAndMoreThanThereIsAreRefused) {
  EXPECT_EQ(MapPages(0).status().code(), absl::StatusCode::kInvalidArgument);
  for (const size_t bytes :
       {std::numeric_limits<size_t>::max(), size_t{1} << 60, size_t{1} << 50}) {
    const absl::Status status = MapPages(bytes).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted) << bytes;
    EXPECT_NE(std::string(status.message()).find(std::to_string(bytes)), std::string::npos)
        << status;
  }
}

}  // namespace
}  // namespace weir
