// SPDX-License-Identifier: Apache-2.0
#include "launcher/nearest_name.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace weir {
namespace {

TEST(EditDistanceTest, CountsLettersToInsertDeleteReplaceAndSwap) {
  EXPECT_EQ(EditDistance("count", "count"), 0);
  EXPECT_EQ(EditDistance("cout", "count"), 1);
  EXPECT_EQ(EditDistance("countt", "count"), 1);
  EXPECT_EQ(EditDistance("coumt", "count"), 1);
  EXPECT_EQ(EditDistance("cuont", "count"), 1);
  EXPECT_EQ(EditDistance("kitten", "sitting"), 3);
  EXPECT_EQ(EditDistance("", "abc"), 3);
  EXPECT_EQ(EditDistance("abc", ""), 3);
}

TEST(NearestNameTest, NearestWinsAndTheFirstOfEquals) {
  const std::vector<std::string> names = {"hidden", "batch", "path", "bath"};
  EXPECT_EQ(NearestName("bacth", names), "batch");
  EXPECT_EQ(NearestName("xath", names), "path");
}

TEST(NearestNameTest, WhatIsLikeNothingIsNearNothing) {
  const std::vector<std::string> names = {"count", "shards", "a"};
  EXPECT_EQ(NearestName("flavour", names), "");
  EXPECT_EQ(NearestName("", names), "");
  EXPECT_EQ(NearestName(std::string(100000, 'c'), names), "");
}

}  // namespace
}  // namespace weir
