// SPDX-License-Identifier: Apache-2.0
#include "core/allocator.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace weir {
namespace {

TEST(AllocatorTest, ATestRunsOnTheSystemsAllocatorAndItsVersionIsTold) {
  EXPECT_THAT(AllocatorName(), ::testing::MatchesRegex("glibc 2\\.[0-9]+"));
}

}  // namespace
}  // namespace weir
