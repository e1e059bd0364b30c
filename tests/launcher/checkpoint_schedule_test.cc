// SPDX-License-Identifier: Apache-2.0
#include "launcher/checkpoint_schedule.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace weir {
namespace {

using ::testing::HasSubstr;
using Kind = CheckpointSchedule::Work::Kind;
using State = CutReport::State;

// Two servers, a checkpoint every 100 steps; the job does 100 steps a second.
class CheckpointScheduleTest : public testing::Test {
 protected:
  static CheckpointSchedule::Options Bsp() {
    CheckpointSchedule::Options options;
    options.every_steps = 100;
    options.servers = 2;
    return options;
  }
  static CheckpointSchedule::Options Asp() {
    CheckpointSchedule::Options options = Bsp();
    options.by_step = false;
    return options;
  }

  // Lets the job run to `step`, half a second at a time.
  void RunTo(CheckpointSchedule* schedule, uint64_t step) {
    while (step_ < step) {
      now_ += absl::Milliseconds(500);
      step_ = std::min(step_ + 50, step);
      schedule->OnProgress(step_, true, now_);
      if (schedule->order() != 0) return;
    }
  }
  // Does the work that is to be done. Says what it was.
  std::optional<CheckpointSchedule::Work> Do(CheckpointSchedule* schedule,
                                             absl::Status status = absl::OkStatus()) {
    const std::optional<CheckpointSchedule::Work> work = schedule->TakeWork();
    if (work.has_value()) schedule->OnWorkDone(status, epoch_, now_);
    return work;
  }
  void Report(CheckpointSchedule* schedule, uint32_t server, State state, std::string why = "") {
    schedule->OnReport(server, {schedule->order(), state, std::move(why)}, now_);
  }
  // From idle to a checkpoint. Returns its number.
  uint64_t Checkpoint(CheckpointSchedule* schedule) {
    while (!Do(schedule).has_value()) RunTo(schedule, step_ + 50);
    const uint64_t cut = schedule->order();
    RunTo(schedule, cut);
    Report(schedule, 0, State::kWritten);
    Report(schedule, 1, State::kWritten);
    EXPECT_EQ(Do(schedule)->kind, Kind::kCommit);
    return cut;
  }

  absl::Time now_ = absl::UnixEpoch();
  uint64_t step_ = 0;
  uint64_t epoch_ = 3;
};

TEST_F(CheckpointScheduleTest, ACutIsMadeWrittenByEveryServerAndCommitted) {
  CheckpointSchedule schedule(Bsp());
  RunTo(&schedule, 50);  // how fast it is is not known yet
  EXPECT_FALSE(schedule.TakeWork().has_value());
  RunTo(&schedule, 100);
  EXPECT_EQ(schedule.order(), 0u);
  const auto begun = Do(&schedule);
  ASSERT_TRUE(begun.has_value());
  EXPECT_EQ(begun->kind, Kind::kBegin);
  EXPECT_EQ(schedule.order(), begun->cut);
  EXPECT_GE(begun->cut, 100u);
  Report(&schedule, 0, State::kWriting);
  Report(&schedule, 0, State::kWritten);
  EXPECT_FALSE(schedule.TakeWork().has_value());
  Report(&schedule, 0, State::kWritten);  // once more: heartbeats repeat what they said
  EXPECT_FALSE(schedule.TakeWork().has_value());
  Report(&schedule, 1, State::kWritten);
  const auto committed = Do(&schedule);
  ASSERT_TRUE(committed.has_value());
  EXPECT_EQ(committed->kind, Kind::kCommit);
  EXPECT_EQ(committed->cut, begun->cut);
  EXPECT_EQ(schedule.newest().cut, begun->cut);
  EXPECT_EQ(schedule.newest().epoch, 3u);
  EXPECT_EQ(schedule.order(), 0u);
}

TEST_F(CheckpointScheduleTest, InBspTheStepIsSoFarAheadThatEveryServerHearsOfItInTime) {
  CheckpointSchedule schedule(Bsp());
  const uint64_t first = Checkpoint(&schedule);
  while (!Do(&schedule).has_value()) RunTo(&schedule, step_ + 50);
  EXPECT_GE(schedule.order(), first + 100);
  EXPECT_GE(schedule.order(), step_ + 100);  // what it does in a second
}

TEST_F(CheckpointScheduleTest, ACutThatCameTooLateIsTriedAgainFurtherAhead) {
  CheckpointSchedule schedule(Bsp());
  Checkpoint(&schedule);
  while (!Do(&schedule).has_value()) RunTo(&schedule, step_ + 50);
  Report(&schedule, 1, State::kLate);
  EXPECT_EQ(schedule.order(), 0u);
  EXPECT_EQ(Do(&schedule)->kind, Kind::kDrop);
  EXPECT_TRUE(schedule.TakeWarnings().empty());
  EXPECT_EQ(Do(&schedule)->kind, Kind::kBegin);  // at once
  EXPECT_GE(schedule.order() - step_, 200u);     // what it does in two seconds, not in one
}

TEST_F(CheckpointScheduleTest, InTheOtherModesACutIsOfTheMomentAndItsNumberCounts) {
  CheckpointSchedule schedule(Asp());
  RunTo(&schedule, 50);
  EXPECT_FALSE(schedule.TakeWork().has_value());
  RunTo(&schedule, 100);
  EXPECT_EQ(Do(&schedule)->cut, 1u);
  Report(&schedule, 0, State::kWritten);
  Report(&schedule, 1, State::kWritten);
  EXPECT_EQ(Do(&schedule)->kind, Kind::kCommit);
  EXPECT_EQ(schedule.newest().step, 100u);
  RunTo(&schedule, 150);
  EXPECT_FALSE(schedule.TakeWork().has_value());
  RunTo(&schedule, 200);
  EXPECT_EQ(Do(&schedule)->cut, 2u);
}

TEST_F(CheckpointScheduleTest, AFailedCutIsRemovedSaidAndTriedAgainLater) {
  CheckpointSchedule schedule(Asp());
  RunTo(&schedule, 100);
  Do(&schedule);
  Report(&schedule, 1, State::kFailed, "no space left on device");
  EXPECT_EQ(Do(&schedule)->kind, Kind::kDrop);
  const std::vector<std::string> warnings = schedule.TakeWarnings();
  ASSERT_EQ(warnings.size(), 1u);
  EXPECT_THAT(warnings[0], HasSubstr("server 1: no space left on device"));
  EXPECT_EQ(schedule.newest().cut, 0u);
  RunTo(&schedule, 150);
  EXPECT_FALSE(schedule.TakeWork().has_value());
  RunTo(&schedule, 200);
  EXPECT_EQ(Do(&schedule)->kind, Kind::kBegin);
  EXPECT_EQ(schedule.order(), 2u);  // a number is never used twice
}

TEST_F(CheckpointScheduleTest, WhatTheCoordinatorCannotDoWithFilesGivesTheCutUpToo) {
  CheckpointSchedule schedule(Asp());
  RunTo(&schedule, 100);
  EXPECT_EQ(Do(&schedule, absl::PermissionDeniedError("/c"))->kind, Kind::kBegin);
  EXPECT_EQ(Do(&schedule, absl::PermissionDeniedError("/c"))->kind, Kind::kDrop);
  EXPECT_EQ(schedule.order(), 0u);
  RunTo(&schedule, 200);
  Do(&schedule);
  Report(&schedule, 0, State::kWritten);
  Report(&schedule, 1, State::kWritten);
  EXPECT_EQ(Do(&schedule, absl::DataLossError("parts disagree"))->kind, Kind::kCommit);
  EXPECT_EQ(Do(&schedule)->kind, Kind::kDrop);
  EXPECT_EQ(schedule.newest().cut, 0u);
  EXPECT_EQ(schedule.TakeWarnings().size(), 2u);
}

TEST_F(CheckpointScheduleTest, ACutThatTakesTooLongIsGivenUp) {
  CheckpointSchedule schedule(Asp());
  RunTo(&schedule, 100);
  Do(&schedule);
  Report(&schedule, 0, State::kWritten);
  EXPECT_EQ(schedule.deadline(), now_ + absl::Minutes(10));
  schedule.OnTick(schedule.deadline());
  EXPECT_EQ(Do(&schedule)->kind, Kind::kDrop);
  Report(&schedule, 1, State::kWritten);  // too late
  EXPECT_FALSE(schedule.TakeWork().has_value());
  EXPECT_EQ(schedule.deadline(), absl::InfiniteFuture());
}

TEST_F(CheckpointScheduleTest, ANewEpochGivesUpWhatIsUnderWayAndGoesOnFromTheNewestCheckpoint) {
  CheckpointSchedule schedule(Bsp());
  const uint64_t first = Checkpoint(&schedule);
  while (!Do(&schedule).has_value()) RunTo(&schedule, step_ + 50);
  schedule.OnEpoch(now_);
  EXPECT_EQ(schedule.order(), 0u);
  EXPECT_EQ(Do(&schedule)->kind, Kind::kDrop);
  EXPECT_TRUE(schedule.TakeWarnings().empty());
  EXPECT_EQ(schedule.newest().cut, first);
  step_ = first;
  epoch_ = 4;
  const uint64_t second = Checkpoint(&schedule);
  EXPECT_GE(second, first + 100);
  EXPECT_EQ(schedule.newest().epoch, 4u);
}

TEST_F(CheckpointScheduleTest, ANewEpochWhileTheDirectoryIsMadeDropsItWhenThatIsDone) {
  CheckpointSchedule schedule(Asp());
  RunTo(&schedule, 100);
  ASSERT_EQ(schedule.TakeWork()->kind, Kind::kBegin);
  schedule.OnEpoch(now_);
  EXPECT_FALSE(schedule.TakeWork().has_value());
  schedule.OnWorkDone(absl::OkStatus(), epoch_, now_);
  EXPECT_EQ(schedule.order(), 0u);
  EXPECT_EQ(Do(&schedule)->kind, Kind::kDrop);
}

TEST_F(CheckpointScheduleTest, ACheckpointThatIsWholeWhenANewEpochBeginsStays) {
  CheckpointSchedule schedule(Asp());
  RunTo(&schedule, 100);
  Do(&schedule);
  Report(&schedule, 0, State::kWritten);
  Report(&schedule, 1, State::kWritten);
  EXPECT_FALSE(schedule.settled());
  ASSERT_EQ(schedule.TakeWork()->kind, Kind::kCommit);
  schedule.OnEpoch(now_);
  EXPECT_FALSE(schedule.settled());
  schedule.OnWorkDone(absl::OkStatus(), epoch_, now_);
  EXPECT_TRUE(schedule.settled());
  EXPECT_EQ(schedule.newest().cut, 1u);
}

TEST_F(CheckpointScheduleTest, AskedForACutIsOfTheStepWhereTheJobStandsWhateverWasPlanned) {
  CheckpointSchedule schedule(Bsp());
  RunTo(&schedule, 100);
  Do(&schedule);
  EXPECT_GT(schedule.order(), 100u);  // of a step that never comes
  schedule.Ask(100, now_);
  EXPECT_EQ(Do(&schedule)->kind, Kind::kDrop);
  EXPECT_EQ(Do(&schedule)->kind, Kind::kBegin);
  EXPECT_EQ(schedule.order(), 100u);
  Report(&schedule, 0, State::kWritten);
  Report(&schedule, 1, State::kWritten);
  EXPECT_FALSE(schedule.asked_is_over());
  Do(&schedule);
  EXPECT_TRUE(schedule.asked_is_over());
  EXPECT_TRUE(schedule.asked_status().ok());
  RunTo(&schedule, 1000);
  EXPECT_FALSE(schedule.TakeWork().has_value());  // it was the last
}

TEST_F(CheckpointScheduleTest, AskedForACutThatFailsSaysSo) {
  CheckpointSchedule schedule(Bsp());
  RunTo(&schedule, 20);
  schedule.Ask(20, now_);
  Do(&schedule);
  Report(&schedule, 0, State::kFailed, "no space left on device");
  EXPECT_TRUE(schedule.asked_is_over());
  EXPECT_THAT(std::string(schedule.asked_status().message()), HasSubstr("no space"));
}

TEST_F(CheckpointScheduleTest, WithoutAnIntervalNothingIsCutUnlessAsked) {
  CheckpointSchedule::Options options = Bsp();
  options.every_steps = 0;
  CheckpointSchedule schedule(options);
  RunTo(&schedule, 1000);
  EXPECT_FALSE(schedule.TakeWork().has_value());
}

TEST_F(CheckpointScheduleTest, NothingIsBegunBeforeEveryShardServes) {
  CheckpointSchedule schedule(Asp());
  schedule.OnProgress(500, /*serving=*/false, now_);
  EXPECT_FALSE(schedule.TakeWork().has_value());
  schedule.OnProgress(500, /*serving=*/true, now_);
  EXPECT_TRUE(schedule.TakeWork().has_value());
}

}  // namespace
}  // namespace weir
