// SPDX-License-Identifier: Apache-2.0
#include "launcher/summary.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "launcher/progress.h"

namespace weir {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;
using ::testing::UnorderedElementsAre;

const absl::Time kStart = absl::FromUnixSeconds(1000);

MemberStatus Member(MemberRole role, uint32_t rank, MemberState state) {
  MemberStatus member;
  member.role = role;
  member.rank = rank;
  member.state = state;
  return member;
}

// Two servers and two workers in the middle of training.
JobStatus Training() {
  JobStatus job;
  job.settings.name = "digits";
  job.settings.mode = 2;
  job.layout_ready = true;
  job.step = 12;
  job.steps = 100;
  for (uint32_t rank = 0; rank < 2; ++rank) {
    job.members.push_back(Member(MemberRole::kServer, rank, MemberState::kServing));
    job.members.back().pushes = PushCounts{30, 10, 1, 2, 3, 4, 5, rank == 0 ? 200u : 0u};
    job.members.back().sessions = SessionCounts{rank, 2, 0};
    job.members.back().payload = PayloadCounts{1000, 1, 2000, rank};
  }
  for (uint32_t rank = 0; rank < 2; ++rank) {
    job.members.push_back(Member(MemberRole::kWorker, rank, MemberState::kJoined));
    job.members.back().values = {
        {"loss", 0.5 + rank}, {"examples", 100}, {"examples_recomputed", 7}, {"slices_pushed", 55}};
    job.members.back().restarts = 1 + rank;
  }
  return job;
}

TEST(SummaryTest, ItHasExactlyTheKeysThatAreReliedOn) {
  RunSummary summary;
  summary.status = RunSummary::Status::kOk;
  summary.job = Training();
  summary.job.members[2].values.push_back({"test_accuracy", 0.97});
  summary.wall = absl::Milliseconds(1234);
  summary.weights_sha256 = "abc";
  const auto json = nlohmann::json::parse(SummaryJson(summary));
  std::vector<std::string> keys;
  for (const auto& [key, value] : json.items()) keys.push_back(key);
  EXPECT_THAT(keys, UnorderedElementsAre("status", "mode", "steps", "wall_seconds", "train_loss",
                                         "test_accuracy", "weights_sha256", "pushes", "transports",
                                         "payload_bytes", "slices_pushed", "examples", "restarts",
                                         "rewinds", "failure"));
  EXPECT_EQ(json["status"], "ok");
  EXPECT_EQ(json["mode"], "asp");
  EXPECT_EQ(json["steps"], 12);
  EXPECT_EQ(json["wall_seconds"], 1.234);
  EXPECT_EQ(json["train_loss"], 1.0);
  EXPECT_EQ(json["test_accuracy"], 0.97);
  EXPECT_EQ(json["weights_sha256"], "abc");
  EXPECT_EQ(json["pushes"]["applied"], 60);
  EXPECT_EQ(json["pushes"]["fenced"], 10);
  EXPECT_EQ(json["pushes"].size(), 7u);
  EXPECT_EQ(json["transports"], nlohmann::json({{"tcp", 1}, {"uds", 4}, {"shm", 0}}));
  EXPECT_EQ(json["payload_bytes"],
            nlohmann::json(
                {{"received", 2000}, {"received_copied", 2}, {"sent", 4000}, {"sent_copied", 1}}));
  EXPECT_EQ(json["slices_pushed"], 110);
  EXPECT_EQ(json["examples"]["counted"], 200);
  EXPECT_EQ(json["examples"]["recomputed"], 14);
  EXPECT_EQ(json["examples"]["dropped"], 0);
  EXPECT_EQ(json["restarts"], nlohmann::json({{"workers", 3}, {"servers", 0}}));
  EXPECT_EQ(json["rewinds"], 0);
  EXPECT_TRUE(json["failure"].is_null());
}

TEST(SummaryTest, WhatIsNotKnownIsNull) {
  RunSummary summary;
  summary.job.members.push_back(Member(MemberRole::kWorker, 0, MemberState::kJoined));
  summary.job.members.back().values = {{"loss", std::nan("")}, {"examples", -1}};
  const auto json = nlohmann::json::parse(SummaryJson(summary));
  EXPECT_EQ(json["status"], "failed");
  EXPECT_TRUE(json["train_loss"].is_null());
  EXPECT_TRUE(json["test_accuracy"].is_null());
  EXPECT_TRUE(json["weights_sha256"].is_null());
  EXPECT_EQ(json["examples"]["counted"], 0);
}

TEST(SummaryTest, AFailureNamesTheProcess) {
  RunSummary summary;
  summary.failure = RunFailure{
      "ps-1", "ps", 1, "alpha", 4711, 137, "killed by signal 9 (SIGKILL)", "/r/ps-1.log"};
  const auto json = nlohmann::json::parse(SummaryJson(summary));
  EXPECT_EQ(json["failure"]["role"], "ps");
  EXPECT_EQ(json["failure"]["rank"], 1);
  EXPECT_EQ(json["failure"]["host"], "alpha");
  EXPECT_EQ(json["failure"]["exit"], 137);
  const std::string report = FailureReport(*summary.failure, "one\ntwo");
  for (const char* word :
       {"ps-1", "rank 1", "host alpha", "4711", "SIGKILL", "  one\n  two", "/r/ps-1.log"}) {
    EXPECT_THAT(report, HasSubstr(word));
  }
}

TEST(SummaryTest, TextThatIsNotUtf8DoesNotBreakIt) {
  RunSummary summary;
  summary.failure = RunFailure{"ps-1", "ps", 1, "alpha", 1, 1, "a\xff", ""};
  EXPECT_FALSE(nlohmann::json::parse(SummaryJson(summary), nullptr, false).is_discarded());
}

TEST(SummaryTest, TheAccuracyOfTheSavedWeightsWinsOverAWorkersReport) {
  RunSummary summary;
  summary.job = Training();
  summary.job.members[3].values.push_back({"test_accuracy", 0.5});
  EXPECT_EQ(TestAccuracy(summary), 0.5);
  summary.test_accuracy = 0.75;
  EXPECT_EQ(TestAccuracy(summary), 0.75);
  EXPECT_THAT(FinalTable(summary, "/r"), HasSubstr("0.7500"));
}

TEST(ProgressTest, ALineTellsStepLossRateAndStaleness) {
  Progress progress;
  JobStatus job = Training();
  progress.Line(job, kStart);
  double staleness = 1;
  for (MemberStatus& member : job.members) {
    if (member.role == MemberRole::kServer && member.rank == 0) member.pushes.examples += 1000;
    if (member.role != MemberRole::kWorker) continue;
    member.values.push_back({"staleness", staleness});
    staleness += 0.5;
  }
  EXPECT_EQ(progress.Line(job, kStart + absl::Seconds(2)),
            "step 12/100  loss 1.0000  500 examples/s  staleness 1.2  stale 25.0%");
}

TEST(ProgressTest, WhereClocksAreBoundALineTellsHowFarAheadWorkersAre) {
  Progress progress;
  JobStatus job = Training();
  for (MemberStatus& member : job.members) {
    if (member.role == MemberRole::kWorker) member.values.push_back({"clocks_ahead", 1.5});
  }
  const std::string line = progress.Line(job, kStart);
  EXPECT_THAT(line, HasSubstr("  ahead 1.5  stale "));
  EXPECT_THAT(line, Not(HasSubstr("staleness")));
}

TEST(ProgressTest, AStepThatTakesLongTellsWhoIsWaitedFor) {
  Progress progress;
  JobStatus job = Training();
  job.members[0].waits_for = "part 1 of step 12";
  EXPECT_THAT(progress.Line(job, kStart), Not(HasSubstr("waits")));
  EXPECT_THAT(progress.Line(job, kStart + absl::Seconds(2)),
              HasSubstr("ps-0 waits for part 1 of step 12"));
  job.step = 13;
  EXPECT_THAT(progress.Line(job, kStart + absl::Seconds(3)), Not(HasSubstr("waits")));
}

TEST(ProgressTest, BeforeTrainingItTellsWhoIsMissing) {
  Progress progress;
  JobStatus job = Training();
  job.layout_ready = false;
  job.members[1].state = MemberState::kExpected;
  job.members[3].state = MemberState::kExpected;
  EXPECT_EQ(progress.Line(job, kStart), "waits for ps-1 to join, worker-1 to join");
  job.members[1].state = MemberState::kJoined;
  job.members[3].state = MemberState::kJoined;
  EXPECT_THAT(progress.Line(job, kStart), StartsWith("waits for a worker to declare the model"));
  job.layout_ready = true;
  EXPECT_EQ(MissingMembers(job), "");
}

}  // namespace
}  // namespace weir
