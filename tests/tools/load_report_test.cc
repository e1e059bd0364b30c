// SPDX-License-Identifier: Apache-2.0
#include "tools/load_report.h"

#include "gtest/gtest.h"

namespace weir {
namespace {

LoadReport OneReport() {
  LoadReport report;
  report.steps.Record(100000000);
  report.steps.Record(300000000);
  report.pulls.Record(50000);
  report.seconds = 0.4;
  report.bytes_per_second = 1e7;
  report.moved_bytes = 4000000;
  report.wire_bytes = 2000000;
  report.checked = 12;
  report.cpu_seconds = 0.2;
  report.peak_rss_bytes = 5000000;
  report.servers.shm_sessions = 4;
  report.servers.sent_bytes = 700;
  report.servers.sent_copied_bytes = 30;
  return report;
}

TEST(LoadReportTest, MergingAddsCountsAndRatesAndKeepsTheLargest) {
  LoadReport slow = OneReport();
  slow.seconds = 0.5;
  slow.peak_rss_bytes = 7000000;
  slow.wrong = 3;
  const LoadReport all = Merge({OneReport(), slow});
  EXPECT_EQ(all.workers, 2u);
  EXPECT_EQ(all.steps.count(), 4u);
  EXPECT_EQ(all.pulls.count(), 2u);
  EXPECT_DOUBLE_EQ(all.seconds, 0.5);
  EXPECT_DOUBLE_EQ(all.bytes_per_second, 2e7);
  EXPECT_DOUBLE_EQ(all.cpu_seconds, 0.4);
  EXPECT_EQ(all.moved_bytes, 8000000u);
  EXPECT_EQ(all.peak_rss_bytes, 7000000u);
  EXPECT_EQ(all.checked, 24u);
  EXPECT_EQ(all.servers.sessions(), 8u);
  EXPECT_EQ(all.servers.sent_copied_bytes, 60u);
  EXPECT_EQ(all.wrong, 3u);
}

TEST(LoadReportTest, AReportSurvivesItsWayThroughJson) {
  const auto back = LoadReportFromJson(ToJson(OneReport()));
  ASSERT_TRUE(back.ok()) << back.status();
  EXPECT_EQ(ToJson(*back), ToJson(OneReport()));
  // A value is known to its bucket, 1/128 of it.
  EXPECT_NEAR(static_cast<double>(back->steps.Percentile(50)), 1e8, 1e6);
}

TEST(LoadReportTest, ASessionOverAnythingElseIsAFallbackUnlessItWasLeftOpen) {
  ServerTotals servers;
  EXPECT_FALSE(FellBack("shm", servers));
  servers.uds_sessions = 2;
  EXPECT_TRUE(FellBack("shm", servers));
  EXPECT_FALSE(FellBack("uds", servers));
  EXPECT_FALSE(FellBack("auto", servers));
  servers.tcp_sessions = 1;
  EXPECT_TRUE(FellBack("uds", servers));
}

TEST(LoadReportTest, WhatIsNoReportIsRefused) {
  EXPECT_FALSE(LoadReportFromJson(nlohmann::json::parse("{\"steps\": 3}")).ok());
  EXPECT_FALSE(LoadReportFromJson(nlohmann::json::parse("[]")).ok());
  LoadReport empty = OneReport();
  empty.seconds = 0;
  EXPECT_EQ(LoadReportFromJson(ToJson(empty)).status().code(), absl::StatusCode::kDataLoss);
  nlohmann::json without = ToJson(OneReport());
  without["servers"].erase("sent_bytes");
  EXPECT_EQ(LoadReportFromJson(without).status().code(), absl::StatusCode::kDataLoss);
  nlohmann::json upside_down = ToJson(OneReport());
  upside_down["steps_ns"] = {{5, 4, 1}};
  EXPECT_EQ(LoadReportFromJson(upside_down).status().code(), absl::StatusCode::kDataLoss);
}

}  // namespace
}  // namespace weir
