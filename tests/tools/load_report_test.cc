// SPDX-License-Identifier: Apache-2.0
#include "tools/load_report.h"

#include "gtest/gtest.h"

namespace weir {
namespace {

LoadReport OneReport() {
  LoadReport report;
  report.steps = {0.1, 0.3};
  report.pulls = {50e-6, 60e-6, 70e-6};
  report.loaded_pulls = {1e-3};
  report.seconds = 0.4;
  report.model_bytes = 1000000;
  report.checked = 12;
  report.cpu_seconds = 0.2;
  report.peak_rss_bytes = 5000000;
  return report;
}

TEST(LoadReportTest, ThroughputCountsPushedAndPulledBytesOfAllWorkers) {
  const LoadRow row = Summarize({OneReport(), OneReport()});
  EXPECT_DOUBLE_EQ(row.throughput_mb_s, 2 * (2 * 2 * 1.0 / 0.4));
  EXPECT_EQ(row.workers, 2u);
  EXPECT_EQ(row.steps, 4u);
  EXPECT_EQ(row.checked, 24u);
  EXPECT_NEAR(row.step_ms_p50, 100, 1e-9);
  EXPECT_NEAR(row.step_ms_p99, 300, 1e-9);
  EXPECT_NEAR(row.pull_us_p50, 60, 1e-9);
  EXPECT_NEAR(row.loaded_pull_us_p99, 1000, 1e-9);
}

TEST(LoadReportTest, AWrongAnswerOfAnyWorkerIsCounted) {
  LoadReport bad = OneReport();
  bad.wrong = 3;
  EXPECT_EQ(Summarize({OneReport(), bad}).wrong, 3u);
}

TEST(LoadReportTest, AReportSurvivesItsWayThroughJson) {
  const auto back = LoadReportFromJson(ToJson(OneReport()));
  ASSERT_TRUE(back.ok()) << back.status();
  EXPECT_EQ(ToJson(*back), ToJson(OneReport()));
}

TEST(LoadReportTest, WhatIsNoReportIsRefused) {
  EXPECT_FALSE(LoadReportFromJson(nlohmann::json::parse("{\"steps\": 3}")).ok());
  EXPECT_FALSE(LoadReportFromJson(nlohmann::json::parse("[]")).ok());
  LoadReport empty = OneReport();
  empty.steps.clear();
  EXPECT_EQ(LoadReportFromJson(ToJson(empty)).status().code(), absl::StatusCode::kDataLoss);
}

TEST(LoadReportTest, PercentilesAreNearestRanks) {
  EXPECT_EQ(Percentile({}, 50), 0);
  EXPECT_EQ(Percentile({3}, 99), 3);
  EXPECT_EQ(Percentile({4, 1, 3, 2}, 50), 2);
  EXPECT_EQ(Percentile({4, 1, 3, 2}, 99), 4);
}

TEST(LoadReportTest, TheTableHasTheRowAndTheShareOfTheRoofline) {
  LoadRow row = Summarize({OneReport()});
  row.profile = "mlp";
  Roofline roofline;
  roofline.raw_tcp_mb_s = 20;
  roofline.raw_rtt_us = 30;
  const std::string table = FormatTable(row, roofline);
  EXPECT_NE(table.find("throughput 0.50 of raw TCP; smallest pull 2.0 x the raw round trip"),
            std::string::npos)
      << table;
  EXPECT_EQ(ToJson(row, roofline)["rows"][0]["raw_tcp_mb_s"], 20);
}

}  // namespace
}  // namespace weir
