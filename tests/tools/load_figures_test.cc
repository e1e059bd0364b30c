// SPDX-License-Identifier: Apache-2.0
#include "tools/load_figures.h"

#include <cmath>

#include "gtest/gtest.h"
#include "tools/load_slo.h"

namespace weir {
namespace {

LoadReport TwoWorkers() {
  LoadReport report;
  report.workers = 2;
  report.steps.Record(200000000, 3);
  report.pulls.Record(60000, 99);
  report.pulls.Record(900000);
  report.changed.Record(40000000);
  report.unchanged.Record(1000000);
  report.seconds = 0.5;
  report.bytes_per_second = 1e9;
  report.moved_bytes = 2000000000;
  report.wire_bytes = 1000000000;
  report.cpu_seconds = 3;
  report.checked = 10;
  return report;
}

LoadFigures Figures(double throughput, double wrong) {
  LoadFigures figures;
  figures.throughput_mb_s = throughput;
  figures.wrong = wrong;
  return figures;
}

TEST(LoadFiguresTest, FiguresAreWhatTheirNamesSay) {
  const LoadFigures figures =
      FiguresOf(TwoWorkers(), {{"ps-0", ProcessRole::kServer, 1.0, 5000000},
                               {"ps-1", ProcessRole::kServer, 0.5, 7000000},
                               {"worker-0", ProcessRole::kWorker, 3.0, 9000000}});
  EXPECT_NEAR(figures.step_ms_p50, 200, 1);
  EXPECT_NEAR(figures.pull_us_p50, 60, 0.5);
  EXPECT_NEAR(figures.pull_us_p99, 60, 0.5);
  EXPECT_DOUBLE_EQ(figures.throughput_mb_s, 1000);
  EXPECT_DOUBLE_EQ(figures.wire_mb_s, 500);
  EXPECT_NEAR(figures.unchanged_speedup, 40, 0.5);
  EXPECT_DOUBLE_EQ(figures.worker_cpu_s_per_gb, 1.5);
  EXPECT_DOUBLE_EQ(figures.server_cpu_s_per_gb, 0.75);
  EXPECT_DOUBLE_EQ(figures.server_peak_rss_mb, 7);
  EXPECT_TRUE(std::isnan(figures.copies_per_byte));
  EXPECT_TRUE(std::isnan(figures.applied_per_s));
  EXPECT_TRUE(std::isnan(figures.server_peak_growth));
  EXPECT_TRUE(std::isnan(figures.each_pull_us_p99));
}

TEST(LoadFiguresTest, TheServersOwnCountOfCopiesIsOverAllThatTheyMoved) {
  LoadReport report = TwoWorkers();
  EXPECT_TRUE(std::isnan(FiguresOf(report, {}).servers_copies_per_byte));
  report.servers.received_bytes = 300;
  report.servers.received_copied_bytes = 30;
  report.servers.sent_bytes = 100;
  report.servers.sent_copied_bytes = 10;
  EXPECT_DOUBLE_EQ(FiguresOf(report, {}).servers_copies_per_byte, 0.1);
}

TEST(LoadFiguresTest, AServersGrowthIsOfOneProcessAndTheLargestCounts) {
  const LoadFigures figures =
      FiguresOf(TwoWorkers(), {{"ps-0", ProcessRole::kServer, 1.0, 50000000, 40000000},
                               {"ps-1", ProcessRole::kServer, 0.5, 60000000, 60000000},
                               {"worker-0", ProcessRole::kWorker, 3.0, 90000000, 10000000}});
  EXPECT_DOUBLE_EQ(figures.server_peak_growth, 1.25);
  EXPECT_DOUBLE_EQ(figures.early_server_peak_rss_mb, 40);
  EXPECT_DOUBLE_EQ(figures.server_peak_rss_mb, 60);
}

TEST(LoadFiguresTest, ConflictsAreCountedInSlices) {
  LoadReport report;
  report.applied = 30;
  report.stale = 10;
  report.resync_bytes = 5000000;
  report.conflict_seconds = 2;
  const LoadFigures figures = FiguresOf(report, {});
  EXPECT_DOUBLE_EQ(figures.applied_per_s, 15);
  EXPECT_DOUBLE_EQ(figures.stale_share, 0.25);
  EXPECT_DOUBLE_EQ(figures.resync_mb, 5);
  EXPECT_TRUE(std::isnan(figures.throughput_mb_s));
}

TEST(LoadFiguresTest, AMedianHasItsLowestAndHighestBesideIt) {
  EXPECT_EQ(FormatSpread(SpreadOf({3, 1, 2}), 1), "2.0 (1.0..3.0)");
  EXPECT_EQ(FormatSpread(SpreadOf({4, 1, 2, 3}), 1), "2.5 (1.0..4.0)");
  EXPECT_EQ(FormatSpread(SpreadOf({7}), 0), "7");
  EXPECT_EQ(FormatSpread(SpreadOf({}), 0), "-");
  EXPECT_EQ(FormatSpread(SpreadOf({kNotMeasured, 5}), 0), "5");
}

TEST(LoadFiguresTest, ARatioIsTakenRunByRun) {
  const Spread ratio = RatioOf({10, 40, 90}, {10, 20, 30});
  EXPECT_EQ(ratio.low, 1);
  EXPECT_EQ(ratio.median, 2);
  EXPECT_EQ(ratio.high, 3);
}

TEST(LoadFiguresTest, ARatioWhoseSpreadCoversTheClaimIsUndecided) {
  const Spread spread = SpreadOf({1.2, 1.5, 1.9});
  EXPECT_EQ(JudgeAtLeast(spread, 1.2), Verdict::kMet);
  EXPECT_EQ(JudgeAtLeast(spread, 1.5), Verdict::kUndecided);
  EXPECT_EQ(JudgeAtLeast(spread, 1.9), Verdict::kUndecided);
  EXPECT_EQ(JudgeAtLeast(spread, 2), Verdict::kMissed);
  EXPECT_EQ(JudgeAtMost(spread, 1.9), Verdict::kMet);
  EXPECT_EQ(JudgeAtMost(spread, 1.5), Verdict::kUndecided);
  EXPECT_EQ(JudgeAtMost(spread, 1.2), Verdict::kUndecided);
  EXPECT_EQ(JudgeAtMost(spread, 1.1), Verdict::kMissed);
  EXPECT_EQ(JudgeAtLeast(Spread{}, 1), Verdict::kUndecided);
  EXPECT_EQ(JudgeAtMost(Spread{}, 1), Verdict::kUndecided);
}

TEST(LoadSloTest, EveryRelationIsRead) {
  const auto slo = ParseSlo(
      "pull_us_p99<500,wrong=0,checked==3, step_ms_p50 <= 1e2 ,throughput_mb_s>1.5,wire_mb_s>=2");
  ASSERT_TRUE(slo.ok()) << slo.status();
  ASSERT_EQ(slo->size(), 6u);
  using Relation = LoadObjective::Relation;
  const Relation relations[] = {Relation::kLess,   Relation::kEqual, Relation::kEqual,
                                Relation::kAtMost, Relation::kMore,  Relation::kAtLeast};
  const double bounds[] = {500, 0, 3, 100, 1.5, 2};
  for (size_t i = 0; i < 6; ++i) {
    EXPECT_EQ((*slo)[i].relation, relations[i]) << i;
    EXPECT_EQ((*slo)[i].bound, bounds[i]) << i;
  }
  EXPECT_STREQ((*slo)[3].figure->name, "step_ms_p50");
  EXPECT_TRUE(ParseSlo("")->empty());
}

TEST(LoadSloTest, WhatIsNoObjectiveIsRefusedAndNamed) {
  for (const char* text :
       {"wrong", "wrong<", "wrong<x", "<5", "pull_us_p98<5", "wrong=0,", "wrong=nan"}) {
    const auto slo = ParseSlo(text);
    EXPECT_EQ(slo.status().code(), absl::StatusCode::kInvalidArgument) << text;
    EXPECT_NE(slo.status().message().find("--slo"), absl::string_view::npos);
  }
  EXPECT_NE(ParseSlo("pull_us_p98<5").status().message().find("pull_us_p99"),
            absl::string_view::npos);
}

TEST(LoadSloTest, AMedianThatMissesItsBoundIsSaid) {
  const auto slo = ParseSlo("throughput_mb_s>=100,wrong=0");
  ASSERT_TRUE(slo.ok());
  EXPECT_TRUE(CheckSlo(*slo, "tcp", {Figures(90, 0), Figures(110, 0), Figures(120, 0)}).ok());
  const absl::Status missed = CheckSlo(*slo, "tcp", {Figures(90, 0), Figures(95, 0)});
  EXPECT_EQ(missed.message(),
            "--slo: throughput_mb_s>=100 does not hold for tcp: throughput_mb_s is 92");
}

TEST(LoadSloTest, OneWrongAnswerOfAnyRunIsAWrongAnswer) {
  const auto slo = ParseSlo("wrong=0");
  EXPECT_FALSE(CheckSlo(*slo, "tcp", {Figures(1, 0), Figures(1, 0), Figures(1, 1)}).ok());
}

TEST(LoadSloTest, AFigureThatWasNotMeasuredDoesNotHold) {
  const auto slo = ParseSlo("pull_us_p99<500");
  const absl::Status missed = CheckSlo(*slo, "tcp", {Figures(1, 0)});
  EXPECT_NE(missed.message().find("was not measured"), absl::string_view::npos);
}

TEST(LoadSloTest, AnObjectiveWithinTheSpreadIsUndecided) {
  const LoadObjective objective = ParseSlo("throughput_mb_s>=100")->front();
  EXPECT_EQ(JudgeObjective(objective, {Figures(100, 0), Figures(120, 0)}), Verdict::kMet);
  EXPECT_EQ(JudgeObjective(objective, {Figures(99, 0), Figures(120, 0)}), Verdict::kUndecided);
  EXPECT_EQ(JudgeObjective(objective, {Figures(99, 0), Figures(98, 0)}), Verdict::kMissed);
  EXPECT_EQ(JudgeObjective(objective, {LoadFigures{}}), Verdict::kUndecided);
}

}  // namespace
}  // namespace weir
