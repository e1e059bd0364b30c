// SPDX-License-Identifier: Apache-2.0
#include "launcher/membership.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"

namespace weir {
namespace {

using ::testing::ElementsAre;
using ::testing::Field;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

const absl::Time kStart = absl::FromUnixSeconds(1000);
constexpr MemberRole kServer = MemberRole::kServer;
constexpr MemberRole kWorker = MemberRole::kWorker;

std::vector<TensorShape> Model(int64_t columns = 3) {
  return {{"w", {4, columns}, {}}, {"b", {columns}, {}}};
}

// A job of two servers with two shards each and two workers, and what its members would call.
class MembershipTest : public ::testing::Test {
 protected:
  static Membership::Options JobOptions() {
    Membership::Options options;
    options.job_id = {1, 2, 3};
    options.job_token = "secret";
    options.settings.name = "digits";
    options.settings.servers = 2;
    options.settings.shards = 4;
    options.settings.workers = 2;
    return options;
  }

  void Restart(Membership::Options options) {
    membership = std::make_unique<Membership>(options, now);
  }

  JobKey Key() const {
    const JobId& id = membership->options().job_id;
    return {std::string(id.begin(), id.end()), "secret"};
  }

  JoinEvent JoinAs(MemberRole role, int rank = -1) {
    JoinEvent event;
    event.job.job_token = "secret";
    event.protocol_min = event.protocol_max = kProtocol;
    event.role = role;
    event.has_rank = rank >= 0;
    event.rank = rank >= 0 ? rank : 0;
    event.host = "alpha";
    event.process_id = next_process++;
    if (role == kServer) event.address = absl::StrCat("alpha:", 7000 + event.process_id);
    return event;
  }

  // Joins or fails the test.
  MemberId Joined(MemberRole role, int rank = -1) {
    auto answer = membership->Join(JoinAs(role, rank), now);
    EXPECT_TRUE(answer.ok()) << answer.status();
    if (!answer.ok()) return {};
    return {role, answer->rank, answer->incarnation};
  }

  void JoinAll() {
    for (int rank = 0; rank < 2; ++rank) {
      servers.push_back(Joined(kServer, rank));
      workers.push_back(Joined(kWorker, rank));
    }
  }

  absl::StatusOr<HeartbeatAnswer> Beat(const MemberId& who, bool serving = false) {
    HeartbeatEvent event;
    event.serving = serving;
    return membership->Heartbeat(Key(), who, event, now);
  }

  void Serve() {
    for (const MemberId& server : servers) EXPECT_TRUE(Beat(server, /*serving=*/true).ok());
  }

  void Ask(uint64_t wait_id, const MemberId& who, absl::Duration wait = absl::Seconds(5)) {
    membership->GetLayout(wait_id, Key(), who, wait, /*newer_than=*/0, now);
  }

  JobStatus Status() { return *membership->GetStatus(Key(), now); }

  absl::Time now = kStart;
  uint64_t next_process = 100;
  std::unique_ptr<Membership> membership = std::make_unique<Membership>(JobOptions(), now);
  std::vector<MemberId> servers, workers;
};

TEST_F(MembershipTest, AServerIsGivenItsShardsAndAWorkerItsRank) {
  auto server = membership->Join(JoinAs(kServer, 1), now);
  ASSERT_TRUE(server.ok()) << server.status();
  EXPECT_EQ(server->rank, 1u);
  EXPECT_THAT(server->shards, ElementsAre(2, 3));
  EXPECT_EQ(server->incarnation, 1u);
  EXPECT_EQ(server->epoch, 1u);
  EXPECT_EQ(server->lease, absl::Seconds(10));
  auto worker = membership->Join(JoinAs(kWorker), now);
  ASSERT_TRUE(worker.ok());
  EXPECT_EQ(worker->rank, 0u);
  EXPECT_THAT(worker->shards, IsEmpty());
  EXPECT_EQ(worker->settings.name, "digits");
}

TEST_F(MembershipTest, MembersWithoutARankTakeTheFreePlacesInOrderUntilAllAreTaken) {
  EXPECT_EQ(Joined(kWorker, 1).rank, 1u);
  EXPECT_EQ(Joined(kWorker).rank, 0u);
  auto third = membership->Join(JoinAs(kWorker), now);
  EXPECT_EQ(third.status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(third.status().message()),
              HasSubstr("worker 0 (process 101 on host alpha)"));
}

TEST_F(MembershipTest, ASecondLivingProcessForOnePlaceIsRefusedNamingBoth) {
  Joined(kServer, 0);
  auto second = membership->Join(JoinAs(kServer, 0), now);
  EXPECT_EQ(second.status().code(), absl::StatusCode::kAlreadyExists);
  EXPECT_THAT(std::string(second.status().message()),
              HasSubstr("held by server 0 (process 100 on host alpha)"));
  EXPECT_THAT(std::string(second.status().message()), HasSubstr("process 101"));
}

TEST_F(MembershipTest,
       AProcessThatNeverSawItsAnswerMayJoinItsPlaceAgainAndItsOldIncarnationIsFenced) {
  const JoinEvent event = JoinAs(kWorker, 1);
  auto first = membership->Join(event, now);
  auto again = membership->Join(event, now);
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(again->incarnation, first->incarnation + 1);
  auto beat = Beat({kWorker, 1, first->incarnation});
  EXPECT_EQ(beat.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(beat.status().message()), HasSubstr("fenced"));
}

TEST_F(MembershipTest, AWrongTokenIsRefusedWithoutTellingTheRightOne) {
  for (const char* token : {"", "secreT", "secret2"}) {
    JoinEvent event = JoinAs(kWorker);
    event.job.job_token = token;
    auto answer = membership->Join(event, now);
    EXPECT_EQ(answer.status().code(), absl::StatusCode::kUnauthenticated) << token;
    EXPECT_THAT(std::string(answer.status().message()), HasSubstr("job 'digits'"));
    EXPECT_THAT(std::string(answer.status().message()), ::testing::Not(HasSubstr("secret")));
  }
  EXPECT_EQ(Status().members[2].state, MemberState::kExpected);
}

TEST_F(MembershipTest, AnotherJobsMemberIsToldBothJobs) {
  const MemberId worker = Joined(kWorker);
  JobKey other = Key();
  other.job_id[0] = 9;
  auto beat = membership->Heartbeat(other, worker, {}, now);
  EXPECT_EQ(beat.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(beat.status().message()), HasSubstr("01020300"));
  EXPECT_THAT(std::string(beat.status().message()), HasSubstr("09020300"));
  other.job_id.clear();
  EXPECT_FALSE(membership->Heartbeat(other, worker, {}, now).ok())
      << "only Join and GetStatus may leave the id out";
}

TEST_F(MembershipTest, AnotherProtocolIsRefusedNamingBothSides) {
  JoinEvent event = JoinAs(kWorker);
  event.protocol_min = 2;
  event.protocol_max = 3;
  auto answer = membership->Join(event, now);
  EXPECT_EQ(answer.status().code(), absl::StatusCode::kUnimplemented);
  EXPECT_THAT(std::string(answer.status().message()),
              HasSubstr("speaks protocol 1 and the caller 2 to 3"));
}

TEST_F(MembershipTest, APlaceThatTheJobDoesNotHaveIsRefused) {
  auto answer = membership->Join(JoinAs(kWorker, 2), now);
  EXPECT_EQ(answer.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(answer.status().message()), HasSubstr("2 worker places"));
  JoinEvent unknown = JoinAs(kWorker);
  unknown.role = static_cast<MemberRole>(7);
  EXPECT_EQ(membership->Join(unknown, now).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(MembershipTest, AnAddressThatNobodyCanConnectToIsRefused) {
  for (const char* address :
       {"", "alpha", "alpha:", ":80", "alpha:0", "alpha:65536", "0.0.0.0:80", "[::]:80"}) {
    JoinEvent event = JoinAs(kServer, 0);
    event.address = address;
    EXPECT_EQ(membership->Join(event, now).status().code(), absl::StatusCode::kInvalidArgument)
        << address;
  }
}

TEST_F(MembershipTest, ASocketThatIsNoAbsolutePathOrTooLongIsRefused) {
  for (const std::string& path :
       {std::string("relative"), "/" + std::string(107, 'x'), std::string("/with space")}) {
    JoinEvent event = JoinAs(kServer, 0);
    event.uds_path = path;
    EXPECT_EQ(membership->Join(event, now).status().code(), absl::StatusCode::kInvalidArgument)
        << path;
  }
  JoinEvent event = JoinAs(kServer, 0);
  event.host_key = std::string(256, 'k');
  EXPECT_EQ(membership->Join(event, now).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(MembershipTest, TheLayoutTellsEachShardsSocketUnlessTheJobWantsTcp) {
  for (const bool tcp : {false, true}) {
    auto options = JobOptions();
    options.settings.transport = tcp ? 2 : 0;
    Restart(options);
    for (int rank = 0; rank < 2; ++rank) {
      JoinEvent event = JoinAs(kServer, rank);
      event.uds_path = absl::StrCat("/run/s", rank);
      event.host_key = "here";
      auto joined = membership->Join(event, now);
      ASSERT_TRUE(joined.ok()) << joined.status();
      ASSERT_TRUE(Beat({kServer, joined->rank, joined->incarnation}, true).ok());
    }
    const MemberId worker = Joined(kWorker);
    ASSERT_TRUE(membership->Declare(Key(), worker, Model(), now).ok());
    Ask(7, worker);
    auto answers = membership->TakeAnswers();
    ASSERT_THAT(answers, SizeIs(1));
    ASSERT_TRUE(answers[0].layout.ok()) << answers[0].layout.status();
    const auto& shards = (*answers[0].layout)->shard_addresses;
    EXPECT_EQ(shards.front().uds_path, tcp ? "" : "/run/s0");
    EXPECT_EQ(shards.back().uds_path, tcp ? "" : "/run/s1");
    EXPECT_EQ(shards.back().host_key, "here");
  }
}

TEST_F(MembershipTest, TheFirstDeclarationMakesTheLayoutAndTheSameAgainIsWelcome) {
  JoinAll();
  auto first = membership->Declare(Key(), workers[0], Model(), now);
  ASSERT_TRUE(first.ok()) << first.status();
  EXPECT_EQ(*first, 1u);
  EXPECT_TRUE(membership->Declare(Key(), workers[1], Model(), now).ok());
}

TEST_F(MembershipTest, TheLayoutHoldsTheCodecsThatAreChosenForItsTensors) {
  auto options = JobOptions();
  options.codecs.all = {Codec::kInt8, Codec::kBf16, true};
  options.codecs.tensors = {{"b*", {Codec::kF32, Codec::kF32, false}}};
  Restart(options);
  JoinAll();
  ASSERT_TRUE(membership->Declare(Key(), workers[0], Model(), now).ok());
  Ask(1, servers[0]);
  const auto answers = membership->TakeAnswers();
  ASSERT_THAT(answers, SizeIs(1));
  const Layout& layout = **answers[0].layout;
  EXPECT_EQ(layout.codec(1), options.codecs.all);
  EXPECT_EQ(layout.codec(2), TensorCodec());
  EXPECT_THAT(membership->TakeWarnings(), IsEmpty());
}

TEST_F(MembershipTest, APatternOfTheCodecsThatFitsNoTensorIsWarnedOfOnce) {
  auto options = JobOptions();
  options.codecs.tensors = {{"w", {}}, {"nope*", {}}};
  Restart(options);
  JoinAll();
  for (const MemberId& worker : workers) {
    ASSERT_TRUE(membership->Declare(Key(), worker, Model(), now).ok());
  }
  EXPECT_THAT(membership->TakeWarnings(),
              ElementsAre("codec.tensors: no tensor of the model fits 'nope*'"));
  EXPECT_THAT(membership->TakeWarnings(), IsEmpty());
}

TEST_F(MembershipTest, ADifferingDeclarationIsRefusedNamingTheDifference) {
  JoinAll();
  ASSERT_TRUE(membership->Declare(Key(), workers[0], Model(3), now).ok());
  auto differs = membership->Declare(Key(), workers[1], Model(5), now);
  EXPECT_EQ(differs.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(differs.status().message()),
              HasSubstr("tensor 1 is 'w' [4, 3] there and 'w' [4, 5] here"));
  EXPECT_THAT(std::string(differs.status().message()), HasSubstr("worker 1"));
  auto longer = Model(3);
  longer.push_back({"extra", {1}, {}});
  EXPECT_THAT(std::string(membership->Declare(Key(), workers[1], longer, now).status().message()),
              HasSubstr("2 tensors there and 3 here; the first that only one has is 'extra' [1]"));
  auto initialised = Model(3);
  initialised[1].initializer = {InitializerSpec::Kind::kConstant, 1, 0};
  EXPECT_THAT(
      std::string(membership->Declare(Key(), workers[1], initialised, now).status().message()),
      HasSubstr("initializer of tensor 2"));
}

TEST_F(MembershipTest, AMalformedDeclarationIsRefusedAndARightOneMayFollow) {
  JoinAll();
  EXPECT_EQ(membership->Declare(Key(), workers[0], {{"w", {0}, {}}}, now).status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_TRUE(membership->Declare(Key(), workers[0], Model(), now).ok());
}

TEST_F(MembershipTest, ALayoutTooLargeForAMessageIsRefused) {
  auto options = JobOptions();
  options.settings.slice_bytes = 64;
  options.max_layout_bytes = 20000;
  Restart(options);
  JoinAll();
  auto answer = membership->Declare(Key(), workers[0], {{"w", {1000000}, {}}}, now);
  EXPECT_EQ(answer.status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(answer.status().message()), HasSubstr("larger slice_bytes"));
}

TEST_F(MembershipTest, AServerGetsTheLayoutAtOnceAndAWorkerWhenEveryShardServes) {
  JoinAll();
  Ask(1, servers[0]);
  Ask(2, workers[0]);
  EXPECT_THAT(membership->TakeAnswers(), IsEmpty());
  ASSERT_TRUE(membership->Declare(Key(), workers[1], Model(), now).ok());
  auto answers = membership->TakeAnswers();
  ASSERT_THAT(answers, SizeIs(1));
  EXPECT_EQ(answers[0].wait_id, 1u);
  ASSERT_TRUE(answers[0].layout.ok());
  EXPECT_EQ((*answers[0].layout)->tensors.size(), 2u);

  EXPECT_TRUE(Beat(servers[0], true).ok());
  EXPECT_THAT(membership->TakeAnswers(), IsEmpty()) << "server 1 does not serve yet";
  EXPECT_FALSE(Status().layout_ready);
  EXPECT_TRUE(Beat(servers[1], true).ok());
  answers = membership->TakeAnswers();
  ASSERT_THAT(answers, SizeIs(1));
  EXPECT_EQ(answers[0].wait_id, 2u);
  ASSERT_TRUE(answers[0].layout.ok());
  EXPECT_THAT((*answers[0].layout)->shard_addresses,
              ElementsAre(Field(&ShardAddress::address, "alpha:7100"),
                          Field(&ShardAddress::address, "alpha:7100"),
                          Field(&ShardAddress::address, "alpha:7102"),
                          Field(&ShardAddress::address, "alpha:7102")));
  EXPECT_TRUE(Status().layout_ready);
  EXPECT_EQ(Status().layout.slices.size(), (*answers[0].layout)->slices.size());
}

TEST_F(MembershipTest, AWaitThatIsOverNamesWhomItWaitsFor) {
  servers.push_back(Joined(kServer, 0));
  workers.push_back(Joined(kWorker, 0));
  Ask(1, workers[0], absl::Seconds(5));
  now += absl::Seconds(5);
  membership->Tick(now);
  auto answers = membership->TakeAnswers();
  ASSERT_THAT(answers, SizeIs(1));
  EXPECT_EQ(answers[0].layout.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(answers[0].layout.status().message()),
              HasSubstr("no worker has declared the model yet: server 1 has not joined, worker 1 "
                        "has not joined"));

  ASSERT_TRUE(membership->Declare(Key(), workers[0], Model(), now).ok());
  Ask(2, workers[0], absl::ZeroDuration());
  answers = membership->TakeAnswers();
  ASSERT_THAT(answers, SizeIs(1));
  EXPECT_THAT(
      std::string(answers[0].layout.status().message()),
      HasSubstr("server 0 (process 100 on host alpha) is not ready, server 1 has not joined"));
}

TEST_F(MembershipTest, ALayoutNewerThanThePresentOneIsWaitedForInVain) {
  JoinAll();
  ASSERT_TRUE(membership->Declare(Key(), workers[0], Model(), now).ok());
  Serve();
  membership->GetLayout(1, Key(), workers[0], absl::Seconds(1), /*newer_than=*/1, now);
  EXPECT_THAT(membership->TakeAnswers(), IsEmpty());
  EXPECT_EQ(membership->NextTick(), now + absl::Seconds(1));
  now += absl::Seconds(1);
  membership->Tick(now);
  auto answers = membership->TakeAnswers();
  ASSERT_THAT(answers, SizeIs(1));
  EXPECT_THAT(std::string(answers[0].layout.status().message()), HasSubstr("epoch 1"));
}

TEST_F(MembershipTest, AMemberHasOneWaitAndTheNewerOneEndsTheOlder) {
  JoinAll();
  Ask(1, workers[0]);
  Ask(2, workers[0]);
  auto answers = membership->TakeAnswers();
  ASSERT_THAT(answers, SizeIs(1));
  EXPECT_EQ(answers[0].wait_id, 1u);
  EXPECT_EQ(answers[0].layout.status().code(), absl::StatusCode::kAborted);
  membership->CancelWait(2);
  now += absl::Seconds(6);
  membership->Tick(now);
  EXPECT_THAT(membership->TakeAnswers(), IsEmpty());
}

TEST_F(MembershipTest, AWaitIsNeverLongerThanTheLimit) {
  JoinAll();
  Ask(1, workers[0], absl::Hours(5));
  for (int i = 0; i < 12; ++i) {
    now += absl::Seconds(5);
    for (const auto& who : {servers[0], servers[1], workers[0], workers[1]})
      ASSERT_TRUE(Beat(who).ok());
  }
  EXPECT_THAT(membership->TakeAnswers(), SizeIs(1)) << "after a minute";
}

TEST_F(MembershipTest, AMemberThatIsHeardInTimeKeepsItsPlaceAndASilentOneIsLost) {
  JoinAll();
  now += absl::Seconds(9);
  for (const auto& who : {servers[0], servers[1], workers[0]}) ASSERT_TRUE(Beat(who).ok());
  EXPECT_EQ(membership->NextTick(), kStart + absl::Seconds(10));
  now = kStart + absl::Seconds(10);
  membership->Tick(now);
  EXPECT_EQ(membership->failure(), "worker 1 (process 103 on host alpha) was not heard for 10s");
  EXPECT_EQ(Status().members[3].state, MemberState::kLost);
  auto beat = Beat(workers[0]);
  ASSERT_TRUE(beat.ok());
  EXPECT_TRUE(beat->stop);
  EXPECT_EQ(beat->reason, membership->failure());
}

TEST_F(MembershipTest, ALeaseEndsByTheTimeOfTheEventThoughNobodyTicked) {
  JoinAll();
  now += absl::Seconds(10);
  auto late = Beat(workers[1]);
  ASSERT_TRUE(late.ok());
  EXPECT_TRUE(late->stop) << "its lease had run out before it was heard";
}

TEST_F(MembershipTest, ACoordinatorThatWasPausedItselfBlamesNobody) {
  JoinAll();
  now += absl::Minutes(5);
  membership->Tick(now);
  EXPECT_EQ(membership->failure(), "");
  for (const auto& who : {servers[0], servers[1], workers[0], workers[1]})
    EXPECT_FALSE(Beat(who)->stop);
  EXPECT_GT(membership->NextTick(), now) << "and leases go on";
}

TEST_F(MembershipTest, TheLossOfAnyMemberFailsTheJobOnceAndEndsAllWaits) {
  JoinAll();
  Ask(7, workers[0]);
  ASSERT_TRUE(
      membership->ReportLoss(Key(), kServer, 1, 0, "killed by signal 9 (SIGKILL)", now).ok());
  const std::string reason =
      "server 1 (process 102 on host alpha) ended: killed by signal 9 (SIGKILL)";
  EXPECT_EQ(membership->failure(), reason);
  auto answers = membership->TakeAnswers();
  ASSERT_THAT(answers, SizeIs(1));
  EXPECT_EQ(answers[0].layout.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(answers[0].layout.status().message()), HasSubstr(reason));
  ASSERT_TRUE(membership->ReportLoss(Key(), kWorker, 0, 0, "exit 1", now).ok());
  EXPECT_EQ(membership->failure(), reason) << "the first reason stays";
  EXPECT_EQ(membership->Join(JoinAs(kServer, 1), now).status().code(),
            absl::StatusCode::kFailedPrecondition);
}

TEST_F(MembershipTest, AProcessThatEndsBeforeItJoinedFailsTheJobToo) {
  ASSERT_TRUE(membership->ReportLoss(Key(), kWorker, 1, 0, "exit 127", now).ok());
  EXPECT_EQ(membership->failure(), "worker 1 ended before it joined: exit 127");
  EXPECT_FALSE(membership->ReportLoss(Key(), kWorker, 9, 0, "", now).ok());
}

TEST_F(MembershipTest, AReportedFailureFailsTheJobNamingTheMember) {
  JoinAll();
  HeartbeatEvent event;
  event.failure = "loss is not finite at step 12";
  ASSERT_TRUE(membership->Heartbeat(Key(), workers[1], event, now).ok());
  EXPECT_EQ(membership->failure(),
            "worker 1 (process 103 on host alpha) failed: loss is not finite at step 12");
}

TEST_F(MembershipTest, ALostWorkerIsReplacedWhereTheJobSaysSoAndThePredecessorIsFenced) {
  auto options = JobOptions();
  options.restart_workers.limit = 3;
  Restart(options);
  JoinAll();
  ASSERT_TRUE(membership->ReportLoss(Key(), kWorker, 0, 0, "killed", now).ok());
  EXPECT_EQ(membership->failure(), "");
  const MemberId successor = Joined(kWorker);
  EXPECT_EQ(successor.rank, 0u);
  EXPECT_EQ(successor.incarnation, 2u);
  EXPECT_THAT(std::string(Beat(workers[0]).status().message()), HasSubstr("fenced"));
  EXPECT_TRUE(Beat(successor).ok());
}

TEST_F(MembershipTest, ALostWorkerThatComesBackIsToldSo) {
  auto options = JobOptions();
  options.restart_workers.limit = 3;
  Restart(options);
  JoinAll();
  ASSERT_TRUE(membership->ReportLoss(Key(), kWorker, 0, 0, "killed", now).ok());
  auto beat = Beat(workers[0]);
  EXPECT_EQ(beat.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(beat.status().message()), HasSubstr("is lost"));
}

TEST_F(MembershipTest, ALostWorkerWhosePlaceNobodyTookLeavesInOrder) {
  auto options = JobOptions();
  options.restart_workers.limit = 3;
  Restart(options);
  JoinAll();
  ASSERT_TRUE(membership->ReportLoss(Key(), kWorker, 0, 0, "killed", now).ok());
  for (const MemberId& worker : workers) {
    EXPECT_FALSE(membership->finished());
    EXPECT_TRUE(membership->Leave(Key(), worker, LeaveEvent(), now).ok());
  }
  EXPECT_TRUE(membership->finished());
}

TEST_F(MembershipTest, EachReplacementWaitsLongerAndBeyondTheLimitTheJobFails) {
  auto options = JobOptions();
  options.restart_workers.limit = 2;
  options.restart_workers.window = absl::Minutes(1);
  options.restart_workers.backoff = absl::Seconds(4);
  Restart(options);
  JoinAll();
  auto lost = membership->ReportLoss(Key(), kWorker, 0, 0, "killed", now);
  ASSERT_TRUE(lost.ok());
  EXPECT_TRUE(lost->replace);
  EXPECT_EQ(lost->delay, absl::ZeroDuration());
  EXPECT_EQ(lost->restarts, 1u);
  (void)Joined(kWorker);
  lost = membership->ReportLoss(Key(), kWorker, 0, 1, "killed", now);
  ASSERT_TRUE(lost.ok());
  EXPECT_EQ(lost->delay, absl::Seconds(4));
  now += absl::Seconds(1);
  lost = membership->ReportLoss(Key(), kWorker, 0, 1, "killed", now);
  EXPECT_EQ(lost->delay, absl::Seconds(3)) << "told again: the same loss";
  EXPECT_EQ(lost->restarts, 2u);
  (void)Joined(kWorker);
  EXPECT_EQ(Status().members[2].restarts, 2u);
  lost = membership->ReportLoss(Key(), kWorker, 0, 2, "killed", now);
  EXPECT_FALSE(lost->replace);
  EXPECT_THAT(membership->failure(),
              HasSubstr("ended: killed; it has been replaced 2 times within 1m, as often as "
                        "restart.workers allows"));
}

TEST_F(MembershipTest, ALossOfAPredecessorIsNoLossOfItsSuccessor) {
  auto options = JobOptions();
  options.restart_workers.limit = 3;
  Restart(options);
  JoinAll();
  ASSERT_TRUE(membership->ReportLoss(Key(), kWorker, 0, 0, "killed", now)->replace);
  const MemberId successor = Joined(kWorker);
  const auto late = membership->ReportLoss(Key(), kWorker, 0, 0, "killed", now);
  ASSERT_TRUE(late.ok());
  EXPECT_FALSE(late->replace);
  EXPECT_TRUE(Beat(successor).ok());
}

TEST_F(MembershipTest, ASuccessorThatEndsBeforeItJoinedIsALossMore) {
  auto options = JobOptions();
  options.restart_workers.limit = 2;
  Restart(options);
  JoinAll();
  ASSERT_TRUE(membership->ReportLoss(Key(), kWorker, 0, 0, "killed", now)->replace);
  const auto again = membership->ReportLoss(Key(), kWorker, 0, 1, "exit 1", now);
  ASSERT_TRUE(again.ok());
  EXPECT_TRUE(again->replace);
  EXPECT_EQ(again->restarts, 2u);
  EXPECT_EQ(membership->ReportLoss(Key(), kWorker, 0, 1, "exit 1", now)->restarts, 2u)
      << "told again: the same loss";
  EXPECT_FALSE(membership->ReportLoss(Key(), kWorker, 0, 2, "exit 1", now)->replace);
  EXPECT_THAT(membership->failure(),
              HasSubstr("was lost, and its successor ended before it joined: exit 1"));
}

TEST_F(MembershipTest, APlaceThatNobodyTakesInTimeFailsTheJob) {
  auto options = JobOptions();
  options.restart_workers.limit = 3;
  options.replace_within = absl::Seconds(5);
  Restart(options);
  JoinAll();
  ASSERT_TRUE(membership->ReportLoss(Key(), kWorker, 1, 0, "killed", now)->replace);
  EXPECT_LE(membership->NextTick(), now + absl::Seconds(5));
  now += absl::Seconds(4);
  for (const auto& who : {servers[0], servers[1], workers[0]}) ASSERT_TRUE(Beat(who).ok());
  EXPECT_EQ(membership->failure(), "");
  now += absl::Seconds(1);
  membership->Tick(now);
  EXPECT_THAT(membership->failure(),
              HasSubstr("was lost, and nobody has taken its place within 5s"));
}

TEST_F(MembershipTest, AWorkerWhoseLeaseHasRunOutIsReplacedToo) {
  auto options = JobOptions();
  options.restart_workers.limit = 3;
  Restart(options);
  JoinAll();
  now += absl::Seconds(9);
  for (const auto& who : {servers[0], servers[1], workers[0]}) ASSERT_TRUE(Beat(who).ok());
  now += absl::Seconds(2);
  membership->Tick(now);
  EXPECT_EQ(membership->failure(), "");
  EXPECT_TRUE(membership->ReportLoss(Key(), kWorker, 1, 0, "killed", now)->replace)
      << "its agent ends it, and asks what is to be done";
  EXPECT_EQ(Joined(kWorker).rank, 1u);
}

TEST_F(MembershipTest, TheJobIsFinishedWhenEveryWorkerHasLeftAndServersGoOnUntilTheyAreStopped) {
  JoinAll();
  LeaveEvent event;
  event.step = 40;
  event.values = {{"loss", 0.25}};
  ASSERT_TRUE(membership->Leave(Key(), workers[0], event, now).ok());
  EXPECT_FALSE(Status().finished);
  ASSERT_TRUE(membership->Leave(Key(), workers[0], event, now).ok())
      << "leaving twice is leaving once";
  ASSERT_TRUE(membership->Leave(Key(), workers[1], event, now).ok());
  EXPECT_TRUE(Status().finished);
  EXPECT_EQ(Status().step, 40u);
  EXPECT_FALSE(Beat(servers[0])->stop);
  EXPECT_EQ(membership->Join(JoinAs(kWorker, 0), now).status().code(),
            absl::StatusCode::kFailedPrecondition);
  ASSERT_TRUE(membership->Stop(Key(), "all done", now).ok());
  EXPECT_TRUE(Beat(servers[0])->stop);
  EXPECT_EQ(Beat(servers[1])->reason, "all done");
  LeaveEvent totals;
  totals.pushes.applied = 11;
  for (const auto& server : servers)
    ASSERT_TRUE(membership->Leave(Key(), server, totals, now).ok());
  EXPECT_EQ(Status().members[0].pushes.applied, 11u);
  EXPECT_EQ(Status().failure, "");
  EXPECT_TRUE(membership->empty());
}

TEST_F(MembershipTest, AServerThatLeavesWhileWorkersNeedItFailsTheJob) {
  JoinAll();
  ASSERT_TRUE(membership->Leave(Key(), servers[1], {}, now).ok());
  EXPECT_THAT(membership->failure(), HasSubstr("left while workers still needed it"));
}

TEST_F(MembershipTest, AMemberThatHasLeftIsNotMissedWhenItFallsSilent) {
  JoinAll();
  ASSERT_TRUE(membership->Leave(Key(), workers[0], {}, now).ok());
  ASSERT_TRUE(membership->ReportLoss(Key(), kWorker, 0, 0, "exit 0", now).ok());
  now += absl::Seconds(9);
  for (const auto& who : {servers[0], servers[1], workers[1]}) ASSERT_TRUE(Beat(who).ok());
  now += absl::Seconds(2);
  membership->Tick(now);
  EXPECT_EQ(membership->failure(), "");
}

TEST_F(MembershipTest, AnOrderToStopReachesEverybodyAndWhoEndsThenIsNoLoss) {
  JoinAll();
  Ask(3, workers[1]);
  ASSERT_TRUE(membership->Stop(Key(), "interrupted", now).ok());
  EXPECT_THAT(membership->TakeAnswers(), SizeIs(1));
  EXPECT_EQ(Beat(workers[0])->reason, "interrupted");
  ASSERT_TRUE(membership->ReportLoss(Key(), kWorker, 0, 0, "killed by signal 15", now).ok());
  EXPECT_EQ(membership->failure(), "");
  Ask(4, workers[1]);
  EXPECT_THAT(std::string(membership->TakeAnswers()[0].layout.status().message()),
              HasSubstr("stopping: interrupted"));
}

TEST_F(MembershipTest, WhatMembersReportIsBounded) {
  JoinAll();
  HeartbeatEvent event;
  event.values.assign(kMaxValues + 1, {"loss", 1});
  EXPECT_EQ(membership->Heartbeat(Key(), workers[0], event, now).status().code(),
            absl::StatusCode::kInvalidArgument);
  event.values = {{std::string(kMaxValueNameBytes + 1, 'x'), 1}};
  EXPECT_EQ(membership->Heartbeat(Key(), workers[0], event, now).status().code(),
            absl::StatusCode::kInvalidArgument);
  event.values = {{"loss", 1}};
  event.waits_for = std::string(1 << 20, 'x');
  ASSERT_TRUE(membership->Heartbeat(Key(), workers[0], event, now).ok());
  EXPECT_LT(Status().members[2].waits_for.size(), 2000u);
}

TEST_F(MembershipTest, TheStepOfTheJobIsTheSlowestWorkers) {
  JoinAll();
  HeartbeatEvent event;
  event.steps = 100;
  event.step = 7;
  ASSERT_TRUE(membership->Heartbeat(Key(), workers[0], event, now).ok());
  event.step = 5;
  ASSERT_TRUE(membership->Heartbeat(Key(), workers[1], event, now).ok());
  EXPECT_EQ(Status().step, 5u);
  EXPECT_EQ(Status().steps, 100u);
}

TEST_F(MembershipTest, WhoNeverJoinedCannotCallInAMembersName) {
  EXPECT_EQ(Beat({kWorker, 0, 0}).status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(Beat({kWorker, 0, 5}).status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(Beat({kWorker, 5, 1}).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_FALSE(membership->Declare(Key(), {kWorker, 0, 1}, Model(), now).ok());
  EXPECT_FALSE(membership->Leave(Key(), {kWorker, 0, 1}, {}, now).ok());
}

TEST(MembershipSettingsTest, AbsurdCountsAreRefused) {
  JobSettings settings;
  EXPECT_TRUE(Membership::CheckSettings(settings).ok());
  settings.servers = 0;
  EXPECT_FALSE(Membership::CheckSettings(settings).ok());
  settings.servers = 2;
  settings.shards = 3;
  EXPECT_THAT(std::string(Membership::CheckSettings(settings).message()), HasSubstr("evenly"));
  settings.shards = 2;
  settings.workers = 1000000;
  EXPECT_FALSE(Membership::CheckSettings(settings).ok());
}

}  // namespace
}  // namespace weir
