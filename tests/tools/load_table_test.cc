// SPDX-License-Identifier: Apache-2.0
#include "tools/load_table.h"

#include <cmath>

#include "gtest/gtest.h"

namespace weir {
namespace {

LoadResult Result(const std::string& transport, std::vector<double> throughputs) {
  LoadResult result;
  result.row.transport = transport;
  for (double throughput : throughputs) {
    LoadFigures figures;
    figures.throughput_mb_s = figures.wire_mb_s = throughput;
    figures.pull_us_p50 = 60;
    figures.wrong = 0;
    result.runs.push_back(figures);
  }
  result.report.steps.Record(5);
  return result;
}

Roofline Limits() {
  Roofline roofline;
  roofline.raw_tcp_mb_s = 200;
  roofline.raw_uds_mb_s = 400;
  roofline.raw_rtt_us = 30;
  roofline.memcpy_mb_s = 1000;
  roofline.memcpy_huge_mb_s = 2000;
  return roofline;
}

TEST(LoadTableTest, EachRowIsHeldAgainstTheLimitOfItsOwnTransport) {
  for (const auto& [transport, share] :
       {std::pair<std::string, double>{"tcp", 0.5}, {"uds", 0.25}, {"shm", 0.05}}) {
    LoadResult result = Result(transport, {100});
    AddShares(result.row, Limits(), &result.runs[0]);
    EXPECT_DOUBLE_EQ(result.runs[0].raw_tcp_share, 0.5) << transport;
    EXPECT_DOUBLE_EQ(result.runs[0].limit_share, share) << transport;
    EXPECT_DOUBLE_EQ(result.runs[0].raw_rtt_ratio, 2) << transport;
  }
}

TEST(LoadTableTest, ATableHasMediansSpreadsAndNoFigureThatNobodyMeasured) {
  const std::string table = FormatTable({Result("tcp", {100, 120, 90})}, {}, {});
  EXPECT_NE(table.find("throughput_mb_s           100 (90..120)\n"), std::string::npos) << table;
  EXPECT_EQ(table.find("each_pull"), std::string::npos);
  EXPECT_EQ(table.find("roofline"), std::string::npos);
}

TEST(LoadTableTest, ARatioThatIsMoreAndLessInTurnIsUndecided) {
  const std::string table = FormatTable(
      {Result("tcp", {100, 100}), Result("uds", {90, 120}), Result("shm", {200, 300})}, {}, {});
  EXPECT_NE(table.find("1.05 (0.90..1.20) undecided"), std::string::npos) << table;
  EXPECT_NE(table.find("2.50 (2.00..3.00)\n"), std::string::npos) << table;
}

TEST(LoadTableTest, ObjectivesAreMetMissedOrUndecided) {
  const auto slo = ParseSlo("throughput_mb_s>=100");
  const std::string table =
      FormatTable({Result("tcp", {100, 120}), Result("uds", {90, 120})}, {}, *slo);
  EXPECT_NE(table.find("throughput_mb_s>=100      met                         undecided\n"),
            std::string::npos)
      << table;
}

TEST(LoadTableTest, ARowSaysWhatCarriedItsSessions) {
  LoadResult result = Result("shm", {100});
  EXPECT_EQ(FormatTable({result}, {}, {}).find("transport_used"), std::string::npos);
  result.report.servers.shm_sessions = 3;
  EXPECT_NE(FormatTable({result}, {}, {}).find("transport_used            shm\n"),
            std::string::npos);
  result.report.servers.uds_sessions = 1;
  EXPECT_NE(FormatTable({result}, {}, {}).find("uds 1, shm 3 (fell back)\n"), std::string::npos);
}

TEST(LoadTableTest, ARowOfAJobThatItAttachedToClaimsNoTransportAndNoLimitOfOne) {
  LoadResult result = Result("tcp", {100});
  result.row.connect = "host:1";
  AddShares(result.row, Limits(), &result.runs[0]);
  EXPECT_TRUE(std::isnan(result.runs[0].limit_share));
  EXPECT_NE(FormatTable({result}, {}, {}).find("as the job has it"), std::string::npos);
  EXPECT_TRUE(ToJson({result}, {}, {})["rows"][0]["transport"].is_null());
}

TEST(LoadTableTest, JsonHasTheServersTotalsOrNullWhereNobodyAsked) {
  LoadResult result = Result("shm", {100});
  EXPECT_TRUE(ToJson({result}, {}, {})["rows"][0]["transport_used"].is_null());
  EXPECT_TRUE(ToJson({result}, {}, {})["rows"][0]["server_totals"].is_null());
  result.report.servers.uds_sessions = 2;
  result.report.servers.sent_bytes = 50;
  const nlohmann::json row = ToJson({result}, {}, {})["rows"][0];
  EXPECT_EQ(row["transport_used"], "uds");
  EXPECT_EQ(row["fell_back"], true);
  EXPECT_EQ(row["server_totals"]["sent_bytes"], 50);
}

TEST(LoadTableTest, JsonHasTheMedianUnderTheFiguresNameAndTheBuckets) {
  const nlohmann::json json =
      ToJson({Result("tcp", {100, 120, 90})}, {Limits()}, {{"processor", "p"}});
  const nlohmann::json& row = json["rows"][0];
  EXPECT_EQ(row["throughput_mb_s"], 100);
  EXPECT_EQ(row["spread"]["throughput_mb_s"], nlohmann::json({90, 120}));
  EXPECT_EQ(row["runs"].size(), 3u);
  EXPECT_TRUE(row["pull_us_p99"].is_null());
  EXPECT_EQ(row["raw_tcp_mb_s"], 200);
  EXPECT_EQ(row["transport"], "tcp");
  EXPECT_EQ(row["histograms"]["steps_ns"], nlohmann::json::parse("[[5,5,1]]"));
  EXPECT_EQ(json["roofline"]["raw_rtt_us"]["median"], 30);
  EXPECT_EQ(json["machine"]["processor"], "p");
}

}  // namespace
}  // namespace weir
