// SPDX-License-Identifier: Apache-2.0
// Which workers share a job's steps: who inherits, who is added, who retires.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "launcher/job_limits.h"
#include "launcher/membership.h"

namespace weir {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr MemberRole kWorker = MemberRole::kWorker;
constexpr uint64_t kSteps = 100;

// A bsp job of one server and three workers of six parts, all of which have joined and declared.
class RosterTest : public ::testing::Test {
 protected:
  static Membership::Options JobOptions() {
    Membership::Options options;
    options.job_id = {1, 2, 3};
    options.settings.name = "digits";
    options.settings.workers = 3;
    options.settings.gradient_shards = 6;
    options.inherit = true;
    return options;
  }

  void Begin(const Membership::Options& options) {
    membership = std::make_unique<Membership>(options, now);
    workers.clear();
    for (uint32_t rank = 0; rank < 3; ++rank) workers.push_back(Works(rank));
  }
  void SetUp() override { Begin(JobOptions()); }

  JobKey Key() const { return {std::string(1, 1) + "\2\3" + std::string(13, 0), ""}; }

  absl::StatusOr<JoinAnswer> Join(uint32_t rank) {
    JoinEvent event;
    event.protocol_min = event.protocol_max = kProtocol;
    event.role = kWorker;
    event.has_rank = true;
    event.rank = rank;
    event.host = "alpha";
    event.process_id = ++last_process;
    return membership->Join(event, now);
  }
  MemberId Works(uint32_t rank) {
    const auto joined = Join(rank);
    EXPECT_TRUE(joined.ok()) << joined.status();
    const MemberId who{kWorker, rank, joined.ok() ? joined->incarnation : 0};
    EXPECT_TRUE(membership->Declare(Key(), who, {{"w", {4, 3}, {}}}, now).ok());
    return who;
  }
  HeartbeatAnswer Beat(const MemberId& who, uint64_t step = 0, uint64_t known = 0) {
    HeartbeatEvent event;
    event.step = step;
    event.steps = kSteps;
    event.roster_generation = known;
    const auto answer = membership->Heartbeat(Key(), who, event, now);
    EXPECT_TRUE(answer.ok()) << answer.status();
    return answer.value_or(HeartbeatAnswer());
  }
  void Leave(const MemberId& who, uint64_t step) {
    LeaveEvent event;
    event.step = step;
    event.steps = kSteps;
    EXPECT_TRUE(membership->Leave(Key(), who, event, now).ok());
  }
  LossAnswer Lose(uint32_t rank, uint64_t restarts = 0) {
    return *membership->ReportLoss(Key(), kWorker, rank, restarts, "killed", now);
  }
  absl::StatusOr<ScaleAnswer> Scale(uint32_t count) { return membership->Scale(Key(), count, now); }

  const std::vector<uint32_t>& owners() const { return membership->roster().owners; }
  uint64_t generation() const { return membership->roster().generation; }
  MemberState state(uint32_t rank) { return Status().members[1 + rank].state; }
  JobStatus Status() { return *membership->GetStatus(Key(), now); }

  absl::Time now = absl::FromUnixSeconds(1000);
  uint64_t last_process = 0;
  std::unique_ptr<Membership> membership;
  std::vector<MemberId> workers;
};

TEST_F(RosterTest, AllPlacesOwnPartsFromTheStartWhetherTheyHaveJoinedOrNot) {
  Membership fresh(JobOptions(), now);
  EXPECT_THAT(fresh.roster().owners, ElementsAre(0, 1, 2));
  EXPECT_THAT(fresh.roster().lost, IsEmpty());
  EXPECT_EQ(fresh.roster().generation, 1u);
  EXPECT_EQ(generation(), 1u) << "that they join changes nothing";
}

TEST_F(RosterTest, AMemberIsToldARosterThatIsNewerThanTheOneItNames) {
  EXPECT_FALSE(Beat(workers[0], 0, generation()).roster.has_value());
  const uint64_t known = generation();
  Lose(2);
  const HeartbeatAnswer told = Beat(workers[0], 0, known);
  ASSERT_TRUE(told.roster.has_value());
  EXPECT_EQ(*told.roster, membership->roster());
  EXPECT_FALSE(told.retire);
  EXPECT_EQ(Join(2).status().code(), absl::StatusCode::kAlreadyExists);
}

TEST_F(RosterTest, WhoJoinsIsToldTheRoster) {
  Membership::Options options = JobOptions();
  options.restart_workers.limit = 1;
  Begin(options);
  Lose(1);
  const auto joined = Join(1);
  ASSERT_TRUE(joined.ok());
  EXPECT_EQ(joined->roster, membership->roster());
  EXPECT_EQ(joined->settings.workers, 3u);
}

TEST_F(RosterTest, AWorkerThatWillBeReplacedKeepsItsPartsAndIsLostUntilItsSuccessorJoins) {
  Membership::Options options = JobOptions();
  options.restart_workers.limit = 1;
  Begin(options);
  EXPECT_TRUE(Lose(1).replace);
  EXPECT_THAT(owners(), ElementsAre(0, 1, 2));
  EXPECT_THAT(membership->roster().lost, ElementsAre(1));
  EXPECT_EQ(generation(), 2u);
  Works(1);
  EXPECT_THAT(membership->roster().lost, IsEmpty());
  EXPECT_EQ(generation(), 3u);
}

TEST_F(RosterTest, AWorkerLostBeyondTheLimitIsInheritedByTheOthers) {
  const LossAnswer lost = Lose(1);
  EXPECT_FALSE(lost.replace);
  EXPECT_TRUE(lost.inherited);
  EXPECT_THAT(owners(), ElementsAre(0, 2));
  EXPECT_EQ(membership->failure(), "");
  EXPECT_EQ(state(1), MemberState::kInherited);
  EXPECT_TRUE(Lose(1).inherited) << "told again: the same";
  EXPECT_THAT(membership->TakeWarnings(),
              ElementsAre(HasSubstr("killed; the job goes on with 2 workers")));
  EXPECT_EQ(Join(1).status().code(), absl::StatusCode::kAlreadyExists);
  EXPECT_FALSE(membership->Heartbeat(Key(), workers[1], HeartbeatEvent(), now).ok());
}

TEST_F(RosterTest, ALeaseThatRunsOutIsInheritedToo) {
  now += absl::Seconds(5);
  Beat(workers[0]);
  Beat(workers[2]);
  now += absl::Seconds(5);
  membership->Tick(now);
  EXPECT_THAT(owners(), ElementsAre(0, 2));
}

TEST_F(RosterTest, APlaceThatNobodyTakesInTimeIsInherited) {
  Membership::Options options = JobOptions();
  options.restart_workers.limit = 1;
  options.replace_within = absl::Seconds(5);
  Begin(options);
  EXPECT_TRUE(Lose(1).replace);
  now += absl::Seconds(5);
  membership->Tick(now);
  EXPECT_EQ(membership->failure(), "");
  EXPECT_THAT(owners(), ElementsAre(0, 2));
  EXPECT_THAT(membership->roster().lost, IsEmpty());
}

TEST_F(RosterTest, WithoutInheritTheLossFailsTheJob) {
  Membership::Options options = JobOptions();
  options.inherit = false;
  Begin(options);
  EXPECT_FALSE(Lose(1).inherited);
  EXPECT_THAT(membership->failure(), HasSubstr("worker 1"));
}

TEST_F(RosterTest, TheLastWorkerHasNoHeirs) {
  Lose(0);
  Lose(1);
  EXPECT_EQ(membership->failure(), "");
  EXPECT_FALSE(Lose(2).inherited);
  EXPECT_THAT(membership->failure(), HasSubstr("worker 2 (process 3 on host alpha) ended: killed"));
}

TEST_F(RosterTest, AWorkerThatNeverJoinedIsNotInherited) {
  membership = std::make_unique<Membership>(JobOptions(), now);
  EXPECT_FALSE(Lose(1).inherited);
  EXPECT_THAT(membership->failure(), HasSubstr("ended before it joined"));
}

TEST_F(RosterTest, AWorkerThatHasFinishedKeepsItsPartsSoThatNobodyDoesThemAgain) {
  Leave(workers[1], kSteps);
  EXPECT_THAT(owners(), ElementsAre(0, 1, 2));
  EXPECT_EQ(generation(), 1u);
}

TEST_F(RosterTest, AWorkerThatLeavesBeforeItsLastStepHandsItsPartsOn) {
  Beat(workers[0], 7);
  Beat(workers[2], 8);
  Leave(workers[1], 5);
  EXPECT_THAT(owners(), ElementsAre(0, 2));
  EXPECT_EQ(Status().step, 7u) << "of those that are in";
}

TEST_F(RosterTest, TheJobIsFinishedWhenAllThatRemainAre) {
  Lose(1);
  Leave(workers[0], kSteps);
  EXPECT_FALSE(membership->finished());
  Leave(workers[2], kSteps);
  EXPECT_TRUE(membership->finished());
  EXPECT_EQ(Status().step, kSteps);
}

TEST_F(RosterTest, InBspNothingIsLeftToInheritOnceOneHasFinished) {
  Lose(0);
  Leave(workers[1], kSteps);
  EXPECT_TRUE(Lose(2).inherited);
  EXPECT_TRUE(membership->finished());
}

TEST_F(RosterTest, AnAddedWorkerOwnsPartsOnceItHasDeclared) {
  const auto scaled = Scale(5);
  ASSERT_TRUE(scaled.ok()) << scaled.status();
  EXPECT_EQ(scaled->from, 3u);
  EXPECT_EQ(scaled->to, 5u);
  EXPECT_THAT(scaled->added, ElementsAre(3, 4));
  EXPECT_THAT(owners(), ElementsAre(0, 1, 2)) << "nobody waits for a program that starts";
  EXPECT_EQ(state(3), MemberState::kExpected);
  const auto joined = Join(4);
  ASSERT_TRUE(joined.ok());
  EXPECT_EQ(joined->settings.workers, 5u);
  EXPECT_THAT(owners(), SizeIs(3));
  EXPECT_TRUE(
      membership->Declare(Key(), {kWorker, 4, joined->incarnation}, {{"w", {4, 3}, {}}}, now).ok());
  EXPECT_THAT(owners(), ElementsAre(0, 1, 2, 4));
  Works(3);
  EXPECT_THAT(owners(), ElementsAre(0, 1, 2, 3, 4));
  EXPECT_EQ(Status().workers, 5u);
  EXPECT_THAT(Status().scaled, ElementsAre(ScaleEvent{0, 3, 5}));
}

TEST_F(RosterTest, AnAddedWorkerThatCannotStartIsDoneWithout) {
  Membership::Options options = JobOptions();
  options.inherit = false;
  Begin(options);
  ASSERT_TRUE(Scale(4).ok());
  EXPECT_TRUE(Lose(3).inherited);
  EXPECT_EQ(membership->failure(), "");
  EXPECT_EQ(Status().workers, 3u);
  EXPECT_THAT(membership->TakeWarnings(), ElementsAre(HasSubstr("ended before it joined: killed")));
}

TEST_F(RosterTest, TheHighestRanksRetireAtOnceAndAreToldSo) {
  const auto scaled = Scale(1);
  ASSERT_TRUE(scaled.ok());
  EXPECT_THAT(scaled->retired, ElementsAre(2, 1));
  EXPECT_THAT(owners(), ElementsAre(0));
  EXPECT_FALSE(Beat(workers[0]).retire);
  EXPECT_TRUE(Beat(workers[2], 9).retire);
  Leave(workers[2], 10);
  EXPECT_THAT(owners(), ElementsAre(0));
  EXPECT_EQ(Join(2).status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_TRUE(Lose(1).inherited) << "whoever dies while it retires has no parts any more";
  Leave(workers[0], kSteps);
  EXPECT_TRUE(membership->finished());
  EXPECT_EQ(Status().step, kSteps) << "not that at which a worker retired";
}

TEST_F(RosterTest, AWorkerThatWasExpectedAndRetiresMayNotJoin) {
  ASSERT_TRUE(Scale(5).ok());
  ASSERT_TRUE(Scale(3).ok());
  const auto late = Join(4);
  EXPECT_EQ(late.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(late.status().message()),
              HasSubstr("worker 4 has been retired: the job goes on with 3 workers"));
  EXPECT_TRUE(Lose(4).inherited);
  EXPECT_EQ(membership->failure(), "");
}

TEST_F(RosterTest, AWorkerAwaitedAgainThatRetiresIsNotAwaitedAnyMore) {
  Membership::Options options = JobOptions();
  options.restart_workers.limit = 1;
  Begin(options);
  EXPECT_TRUE(Lose(2).replace);
  ASSERT_TRUE(Scale(2).ok());
  EXPECT_THAT(owners(), ElementsAre(0, 1));
  EXPECT_TRUE(Lose(2, 1).inherited);
  now += absl::Seconds(5);
  Beat(workers[0]);
  Beat(workers[1]);
  EXPECT_EQ(membership->failure(), "");
}

TEST_F(RosterTest, PlacesThatNobodyHoldsAreTakenFirstWithALargerIncarnation) {
  Lose(1);
  ASSERT_TRUE(Scale(1).ok());  // rank 2 retires
  Leave(workers[2], 4);
  const auto scaled = Scale(4);
  ASSERT_TRUE(scaled.ok());
  EXPECT_THAT(scaled->added, ElementsAre(1, 2, 3));
  EXPECT_EQ(Works(1).incarnation, 2u);
  EXPECT_EQ(Works(2).incarnation, 2u);
  EXPECT_THAT(owners(), ElementsAre(0, 1, 2));
}

TEST_F(RosterTest, APlaceWhoseHolderStillRetiresIsNotTaken) {
  ASSERT_TRUE(Scale(2).ok());
  const auto scaled = Scale(3);
  ASSERT_TRUE(scaled.ok());
  EXPECT_THAT(scaled->added, ElementsAre(3));
}

TEST_F(RosterTest, AsManyAsThereAreChangesNothing) {
  const auto scaled = Scale(3);
  ASSERT_TRUE(scaled.ok());
  EXPECT_THAT(scaled->added, IsEmpty());
  EXPECT_THAT(Status().scaled, IsEmpty());
}

TEST_F(RosterTest, ScaleRefusesWhatCannotBe) {
  EXPECT_THAT(std::string(Scale(0).status().message()), HasSubstr("at least 1 worker"));
  EXPECT_EQ(Scale(kMaxMembers + 1).status().code(), absl::StatusCode::kInvalidArgument);
  const auto beyond = Scale(7);
  EXPECT_EQ(beyond.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(beyond.status().message()),
              HasSubstr("each step of the job has 6 parts"));
  Leave(workers[0], kSteps);
  EXPECT_THAT(std::string(Scale(4).status().message()), HasSubstr("finished its last step"));
  ASSERT_TRUE(membership->Stop(Key(), "enough", now).ok());
  EXPECT_EQ(Scale(4).status().code(), absl::StatusCode::kFailedPrecondition);
}

TEST_F(RosterTest, OnlyTheLastScalesAreRemembered) {
  for (size_t i = 0; i < kMaxScaleEvents + 3; ++i) ASSERT_TRUE(Scale(i % 2 == 0 ? 4 : 3).ok());
  EXPECT_THAT(Status().scaled, SizeIs(kMaxScaleEvents));
}

}  // namespace
}  // namespace weir
