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
  const std::vector<Row> rows =
      MakeRows(Two(), {{"kernel", {{3, {1, 0.5}}, {1, {1, 0.1}}, {1.5, {1, 9}}}}});
  ASSERT_EQ(rows.size(), 1);
  EXPECT_EQ(rows[0].what, "kernel");
  EXPECT_THAT(rows[0].us, DoubleEq(1.5e6));
  EXPECT_THAT(rows[0].gb_s, DoubleEq(2));
  EXPECT_THAT(rows[0].limit_gb_s, DoubleEq(4));
}

TEST(TableTest, TheShareIsTheMedianOfTheSharesOfEachRepetition) {
  // Shares of the fast limit: 0.5, 0.75, 6; the machine was three times slower in the second.
  const std::vector<Row> rows =
      MakeRows(Two(), {{"kernel", {{1.5, {10, 0.5}}, {3, {30, 1.5}}, {1, {10, 4}}}}});
  ASSERT_EQ(rows.size(), 1);
  EXPECT_THAT(rows[0].share, DoubleEq(0.75));
  EXPECT_THAT(rows[0].spread, DoubleNear((3.375 - 0.625) / 0.75, 1e-12));
}

TEST(TableTest, WhatWasNotMeasuredHasNoRow) { EXPECT_TRUE(MakeRows(Two(), {}).empty()); }

TEST(TableTest, TheTableAndTheJsonHaveTheSameColumns) {
  const std::vector<Row> rows = {{"kernel", 12.25, 8.5, 10, 0.85, 0.031}};
  EXPECT_THAT(FormatTable(rows), HasSubstr("what "));
  EXPECT_THAT(FormatTable(rows),
              HasSubstr("       12.25       8.50      10.00     0.85     3.1%\n"));
  const nlohmann::json read = nlohmann::json::parse(FormatJson(rows));
  ASSERT_EQ(read.size(), 1);
  EXPECT_EQ(read[0]["what"], "kernel");
  EXPECT_EQ(read[0]["share"], 0.85);
  EXPECT_EQ(read[0]["limit_gb_s"], 10);
}

}  // namespace
}  // namespace weir::bench
