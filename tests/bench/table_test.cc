// SPDX-License-Identifier: Apache-2.0
#include "bench/table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace weir::bench {
namespace {

using ::testing::DoubleEq;
using ::testing::DoubleNear;
using ::testing::HasSubstr;

std::vector<Measured> Two() {
  return {{"slow limit", 1'000'000'000, {}, {}},
          {"fast limit", 2'000'000'000, {}, {}},
          {"kernel", 3'000'000'000, {}, {"slow limit", "fast limit"}}};
}

TEST(TableTest, ARowIsTheMedianBesideItsFastestLimit) {
  const std::vector<Row> rows = MakeRows(
      Two(), {{"slow limit", {1, 1, 1}}, {"fast limit", {0.5, 0.1, 9}}, {"kernel", {3, 1, 1.5}}});
  ASSERT_EQ(rows.size(), 1);
  EXPECT_EQ(rows[0].what, "kernel");
  EXPECT_THAT(rows[0].us, DoubleEq(1.5e6));
  EXPECT_THAT(rows[0].gb_s, DoubleEq(2));
  EXPECT_THAT(rows[0].limit_gb_s, DoubleEq(4));
  EXPECT_THAT(rows[0].share, DoubleEq(0.5));
}

TEST(TableTest, TheSpreadIsThatOfBothBetweenTheirQuartiles) {
  const std::vector<Row> rows = MakeRows(Two(), {{"slow limit", {100}},
                                                 {"fast limit", {8, 10, 10, 10, 13}},
                                                 {"kernel", {1, 9, 10, 12, 500}}});
  ASSERT_EQ(rows.size(), 1);
  EXPECT_THAT(rows[0].spread, DoubleNear(0.3, 1e-12));
}

TEST(TableTest, WhatWasNotMeasuredHasNoRow) {
  EXPECT_TRUE(MakeRows(Two(), {{"slow limit", {1}}, {"fast limit", {1}}}).empty());
}

TEST(TableTest, TheTableAndTheJsonHaveTheSameColumns) {
  const std::vector<Row> rows = {{"kernel", 12.25, 8.5, 10, 0.85, 0.031}};
  EXPECT_THAT(FormatTable(rows), HasSubstr("what "));
  EXPECT_THAT(FormatTable(rows),
              HasSubstr("        12.2       8.50      10.00     0.85     3.1%\n"));
  const nlohmann::json read = nlohmann::json::parse(FormatJson(rows));
  ASSERT_EQ(read.size(), 1);
  EXPECT_EQ(read[0]["what"], "kernel");
  EXPECT_EQ(read[0]["share"], 0.85);
  EXPECT_EQ(read[0]["limit_gb_s"], 10);
}

}  // namespace
}  // namespace weir::bench
