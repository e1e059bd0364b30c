// SPDX-License-Identifier: Apache-2.0
#include "tools/rest_table.h"

#include <string>
#include <vector>

namespace weir {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

CompareRow Row(const std::string& form, uint32_t workers, std::vector<double> mb_s,
               std::vector<double> p99_us) {
  CompareRow row;
  row.form = form;
  row.workers = workers;
  row.servers = 4;
  row.in_flight = 1;
  row.mb_s = std::move(mb_s);
  row.pull_us_p50 = p99_us;
  row.pull_us_p99 = std::move(p99_us);
  row.opened = {85, 84, 0};
  row.exchanges = 100000;
  return row;
}

const CompareClaim* FindClaim(const std::vector<CompareClaim>& claims, const std::string& what) {
  for (const CompareClaim& claim : claims) {
    if (claim.what == what) return &claim;
  }
  return nullptr;
}

TEST(RestTableTest, RatiosAreOfTheSameRunAndJudgedByTheirSpread) {
  const std::vector<CompareRow> rows = {
      Row("weir tcp", 16, {2000, 1000, 3000}, {10, 20, 30}),
      Row("json-base64", 16, {200, 200, 200}, {100, 100, 100}),
      Row("json-base64-fast", 16, {1000, 1000, 1000}, {10, 10, 10})};
  const std::vector<CompareClaim> claims = CompareClaims(rows);
  const CompareClaim* const usual = FindClaim(claims, "weir tcp / json-base64: throughput");
  ASSERT_NE(usual, nullptr);
  EXPECT_TRUE(usual->claimed);
  EXPECT_DOUBLE_EQ(usual->value.median, 10);
  EXPECT_DOUBLE_EQ(usual->value.low, 5);
  EXPECT_DOUBLE_EQ(usual->value.high, 15);
  EXPECT_EQ(JudgeAtLeast(usual->value, usual->at_least), Verdict::kUndecided);
  const CompareClaim* const latency = FindClaim(claims, "weir tcp / json-base64: p99, inverted");
  ASSERT_NE(latency, nullptr);
  EXPECT_DOUBLE_EQ(latency->value.median, 5);
  const CompareClaim* const reuse = FindClaim(claims, "weir tcp: connection reuse");
  ASSERT_NE(reuse, nullptr);
  EXPECT_DOUBLE_EQ(reuse->value.median, 1 - 85e-5);
  EXPECT_EQ(FindClaim(claims, "weir shm / json-base64-fast: throughput"), nullptr);
}

TEST(RestTableTest, NothingIsClaimedForAnotherSize) {
  const std::vector<CompareRow> rows = {Row("weir tcp", 1, {2000}, {10}),
                                        Row("json-base64", 1, {200}, {100})};
  for (const CompareClaim& claim : CompareClaims(rows)) EXPECT_FALSE(claim.claimed) << claim.what;
}

TEST(RestTableTest, FormsWithoutTheOtherSideHaveNoRatio) {
  const std::vector<CompareClaim> claims = CompareClaims({Row("weir tcp", 16, {2000}, {10})});
  ASSERT_EQ(claims.size(), 1u);
  EXPECT_EQ(claims[0].what, "weir tcp: connection reuse");
}

TEST(RestTableTest, TableSaysWhichTensorsAndWhoseConnections) {
  const LoadProfile profile = *MakeLoadProfile("resnet50");
  const std::vector<CompareRow> rows = {Row("weir tcp", 16, {2000}, {10})};
  const std::string text = FormatComparison(profile, rows, NetworkScope::kPrivate);
  EXPECT_THAT(text, HasSubstr("every 16th tensor of resnet50"));
  EXPECT_THAT(text, HasSubstr("layer4.0.conv3.weight"));
  EXPECT_THAT(text, HasSubstr("network namespace of our own."));
  EXPECT_THAT(text, HasSubstr("85/84"));
  EXPECT_THAT(FormatComparison(profile, rows, NetworkScope::kShared),
              HasSubstr("anybody on this machine"));
}

TEST(RestTableTest, JsonHasEveryRowWithItsRunsAndEveryClaimWithItsVerdict) {
  const nlohmann::json json = ToJson(
      {Row("weir tcp", 16, {2000, 2200}, {10, 11}), Row("json-base64", 16, {100, 100}, {99, 99})},
      NetworkScope::kPrivate);
  EXPECT_EQ(json["network"], "private");
  EXPECT_EQ(json["rows"][0]["runs"]["throughput_mb_s"], nlohmann::json({2000, 2200}));
  EXPECT_EQ(json["rows"][0]["active_opens"], 85);
  EXPECT_EQ(json["claims"][0]["verdict"], "met");
  EXPECT_DOUBLE_EQ(json["claims"][0]["median"], 21);
}

Roofline SomeRoofline(double both_ways, double one_way) {
  Roofline roofline;
  roofline.raw_tcp_mb_s = both_ways;
  roofline.raw_tcp_one_way_mb_s = one_way;
  return roofline;
}

TEST(SeedTableTest, FiguresStandBesideTheReference) {
  const std::string text =
      FormatSeedTable(*MakeLoadProfile("resnet50"),
                      {Row("weir tcp", 16, {2500}, {8000}), Row("json-base64", 16, {150}, {400000}),
                       Row("weir tcp", 1, {9999}, {1})},
                      SomeRoofline(4000, 3000));
  EXPECT_THAT(text, HasSubstr("gRPC (reference, 16 nodes)"));
  EXPECT_THAT(text, HasSubstr("2180"));
  EXPECT_THAT(text, HasSubstr("47.1"));
  EXPECT_THAT(text, HasSubstr("62.4%"));
  EXPECT_THAT(text, HasSubstr("400.0"));
  EXPECT_THAT(text, Not(HasSubstr("9999"))) << "the largest size alone is 16 nodes";
  EXPECT_THAT(text, HasSubstr("throughput met"));
  EXPECT_THAT(text, HasSubstr("p99 met"));
  EXPECT_THAT(text, HasSubstr("reuse met"));
}

TEST(SeedTableTest, WhatTheMachineCannotDoIsToldByItsOwnFigures) {
  CompareRow row = Row("weir tcp", 16, {1000}, {40000});
  row.exchanges = 1000;
  const std::string text =
      FormatSeedTable(*MakeLoadProfile("resnet50"), {row}, SomeRoofline(2000, 1000));
  EXPECT_THAT(text,
              HasSubstr("throughput missed: it cannot be met here, raw TCP itself moves 2000"));
  // 16 pulls are under way, of 102.23 MB / 161 in the mean, at 1,000 MB/s.
  EXPECT_THAT(text, HasSubstr("p99 missed, and cannot be met here: 16 pulls of 0.63 MB"));
  EXPECT_THAT(text, HasSubstr("take 10.2 ms in the mean at the 1000 MB/s"));
  EXPECT_THAT(text, HasSubstr("the largest, 9.4 MB, takes 9.4 ms"));
  EXPECT_THAT(text, HasSubstr("reuse missed: 85 connections for 1000 exchanges"));
}

TEST(SeedTableTest, WhatAFasterMachineAllowsIsCalledMissedAlone) {
  const std::string text =
      FormatSeedTable(*MakeLoadProfile("resnet50"), {Row("weir tcp", 16, {1000}, {40000})},
                      SomeRoofline(40000, 30000));
  EXPECT_THAT(text, Not(HasSubstr("cannot be met")));
  EXPECT_THAT(text, HasSubstr("throughput missed: it is 0.05 of the 40000 MB/s"));
}

TEST(SeedTableTest, SharedMemoryIsNotHeldAgainstARateThatItDoesNotHave) {
  const std::string text =
      FormatSeedTable(*MakeLoadProfile("resnet50"), {Row("weir shm", 16, {9000}, {40000, 4000})},
                      SomeRoofline(2000, 1000));
  EXPECT_THAT(text, HasSubstr("throughput met"));
  EXPECT_THAT(text, HasSubstr("p99 undecided: 16 pulls are always under way"));
  EXPECT_THAT(text, Not(HasSubstr("cannot be met")));
}

}  // namespace
}  // namespace weir
