// SPDX-License-Identifier: Apache-2.0
#include "launcher/coordinator_service.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "launcher/coordinator_codec.h"
#include "net/coordinator_client.h"
#include "net/server_host.h"

namespace weir {
namespace {

using ::testing::HasSubstr;

constexpr absl::Duration kLimit = absl::Seconds(30);

// A coordinator of one server and one worker, reached over gRPC.
class CoordinatorServiceTest : public ::testing::Test {
 protected:
  CoordinatorServiceTest() { Start(absl::Seconds(10)); }
  ~CoordinatorServiceTest() override { host->Shutdown(absl::ZeroDuration()); }

  void Start(absl::Duration lease) {
    if (host != nullptr) host->Shutdown(absl::ZeroDuration());
    Membership::Options options;
    options.job_id = {7};
    options.job_token = "secret";
    options.lease = lease;
    service = std::make_unique<CoordinatorService>(options);
    ServerHost::Options server;
    server.services = {service->service()};
    server.has_token = true;
    auto started = ServerHost::Start(server);
    ASSERT_TRUE(started.ok()) << started.status();
    host = *std::move(started);
    client = std::make_unique<CoordinatorClient>(host->address());
  }

  v1::JoinReply Join(v1::MemberRole role) {
    v1::JoinRequest request;
    request.mutable_job()->set_job_token("secret");
    request.set_protocol_min(1);
    request.set_protocol_max(1);
    request.set_role(role);
    if (role == v1::MEMBER_ROLE_SERVER) request.set_address(":4711");
    auto reply = client->Join(request, kLimit);
    EXPECT_TRUE(reply.ok()) << reply.status();
    return reply.ok() ? *reply : v1::JoinReply();
  }

  template <typename Request>
  Request As(v1::MemberRole role) {
    Request request;
    request.mutable_job()->set_job_id(std::string("\7") + std::string(15, '\0'));
    request.mutable_job()->set_job_token("secret");
    request.set_role(role);
    request.set_incarnation(1);
    return request;
  }

  absl::Status Declare() {
    auto request = As<v1::DeclareRequest>(v1::MEMBER_ROLE_WORKER);
    v1::TensorSpec* tensor = request.add_tensors();
    tensor->set_name("w");
    tensor->add_shape(10);
    return client->Declare(request, kLimit).status();
  }

  absl::StatusOr<v1::GetLayoutReply> Layout(v1::MemberRole role, int wait_ms) {
    auto request = As<v1::GetLayoutRequest>(role);
    request.set_wait_ms(wait_ms);
    return client->GetLayout(request, kLimit);
  }

  absl::StatusOr<v1::HeartbeatReply> Beat(v1::MemberRole role, bool serving = false) {
    auto request = As<v1::HeartbeatRequest>(role);
    request.set_serving(serving);
    return client->Heartbeat(request, kLimit);
  }

  std::unique_ptr<CoordinatorService> service;
  std::unique_ptr<ServerHost> host;
  std::unique_ptr<CoordinatorClient> client;
};

TEST_F(CoordinatorServiceTest, AWorkerThatWaitsForTheLayoutIsAnsweredWhenTheServerServes) {
  Join(v1::MEMBER_ROLE_SERVER);
  Join(v1::MEMBER_ROLE_WORKER);
  absl::StatusOr<v1::GetLayoutReply> layout;
  std::thread waiting([&] { layout = Layout(v1::MEMBER_ROLE_WORKER, 60000); });
  ASSERT_TRUE(Declare().ok());
  ASSERT_TRUE(Layout(v1::MEMBER_ROLE_SERVER, 0).ok());
  ASSERT_TRUE(Beat(v1::MEMBER_ROLE_SERVER, /*serving=*/true).ok());
  waiting.join();
  ASSERT_TRUE(layout.ok()) << layout.status();
  EXPECT_EQ(layout->layout().tensors(0).name(), "w");
  EXPECT_EQ(layout->layout().shards(0).address(), "127.0.0.1:4711")
      << "the host as the coordinator sees it";
}

TEST_F(CoordinatorServiceTest, AWaitThatIsOverIsUnavailableAndNamesWhomItWaitsFor) {
  Join(v1::MEMBER_ROLE_WORKER);
  auto layout = Layout(v1::MEMBER_ROLE_WORKER, 1);
  EXPECT_EQ(layout.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(layout.status().message()), HasSubstr("server 0 has not joined"));
}

TEST_F(CoordinatorServiceTest, ACallerThatGoesAwayLeavesNoWaitBehind) {
  Join(v1::MEMBER_ROLE_WORKER);
  absl::StatusOr<v1::GetLayoutReply> layout;
  std::thread waiting([&] { layout = Layout(v1::MEMBER_ROLE_WORKER, 60000); });
  client->Cancel();
  waiting.join();
  EXPECT_EQ(layout.status().code(), absl::StatusCode::kCancelled);
  client = std::make_unique<CoordinatorClient>(host->address());
  EXPECT_TRUE(Beat(v1::MEMBER_ROLE_WORKER).ok());
}

TEST_F(CoordinatorServiceTest, AServerThatIsShutDownEndsItsWaits) {
  Join(v1::MEMBER_ROLE_WORKER);
  absl::StatusOr<v1::GetLayoutReply> layout;
  std::thread waiting([&] { layout = Layout(v1::MEMBER_ROLE_WORKER, 60000); });
  host->Shutdown(absl::ZeroDuration());
  waiting.join();
  EXPECT_FALSE(layout.ok());
}

TEST_F(CoordinatorServiceTest, AWrongTokenIsUnauthenticated) {
  v1::GetStatusRequest request;
  request.mutable_job()->set_job_token("wrong");
  EXPECT_EQ(client->GetStatus(request, kLimit).status().code(), absl::StatusCode::kUnauthenticated);
}

TEST_F(CoordinatorServiceTest, ASilentMemberIsLostThoughNobodyCalls) {
  Start(absl::Milliseconds(20));
  Join(v1::MEMBER_ROLE_WORKER);
  ASSERT_TRUE(service->AwaitEnd(kLimit));
  EXPECT_THAT(service->Status().failure, HasSubstr("worker 0"));
}

TEST_F(CoordinatorServiceTest, TheStatusTellsTheWholeStory) {
  Join(v1::MEMBER_ROLE_SERVER);
  Join(v1::MEMBER_ROLE_WORKER);
  ASSERT_TRUE(Declare().ok());
  ASSERT_TRUE(Beat(v1::MEMBER_ROLE_SERVER, true).ok());
  v1::GetStatusRequest request;
  request.mutable_job()->set_job_token("secret");
  auto reply = client->GetStatus(request, kLimit);
  ASSERT_TRUE(reply.ok()) << reply.status();
  auto status = FromProto(*reply);
  ASSERT_TRUE(status.ok()) << status.status();
  EXPECT_TRUE(status->layout_ready);
  EXPECT_EQ(status->layout.slices.size(), 1u);
  EXPECT_EQ(status->members.size(), 2u);
  EXPECT_EQ(status->members[0].state, MemberState::kServing);

  auto leave = As<v1::LeaveRequest>(v1::MEMBER_ROLE_WORKER);
  leave.set_step(12);
  ASSERT_TRUE(client->Leave(leave, kLimit).ok());
  EXPECT_TRUE(service->Status().finished);
  service->Stop("done");
  EXPECT_TRUE(Beat(v1::MEMBER_ROLE_SERVER)->stop());
  auto totals = As<v1::LeaveRequest>(v1::MEMBER_ROLE_SERVER);
  totals.mutable_pushes()->set_applied(5);
  totals.mutable_sessions()->set_uds(3);
  totals.mutable_payload()->set_sent(5);
  EXPECT_FALSE(service->AwaitEnd(absl::ZeroDuration()));
  ASSERT_TRUE(client->Leave(totals, kLimit).ok());
  EXPECT_TRUE(service->AwaitEnd(kLimit));
  EXPECT_EQ(service->Status().members[0].pushes.applied, 5u);
  EXPECT_EQ(service->Status().members[0].sessions.uds, 3u);
  EXPECT_EQ(service->Status().members[0].payload.sent, 5u);
}

TEST_F(CoordinatorServiceTest, ALossAndAStopReachTheMembership) {
  Join(v1::MEMBER_ROLE_SERVER);
  v1::ReportLossRequest loss;
  *loss.mutable_job() = As<v1::LeaveRequest>(v1::MEMBER_ROLE_SERVER).job();
  loss.set_role(v1::MEMBER_ROLE_SERVER);
  loss.set_reason("killed by signal 9 (SIGKILL)");
  ASSERT_TRUE(client->ReportLoss(loss, kLimit).ok());
  EXPECT_THAT(service->Status().failure, HasSubstr("SIGKILL"));
  v1::StopRequest stop;
  *stop.mutable_job() = loss.job();
  stop.set_reason("enough");
  ASSERT_TRUE(client->Stop(stop, kLimit).ok());
  EXPECT_TRUE(service->Status().stopping);
}

TEST_F(CoordinatorServiceTest, AScaleReachesTheMembershipAndAHeartbeatBringsTheRoster) {
  Join(v1::MEMBER_ROLE_WORKER);
  auto beat = As<v1::HeartbeatRequest>(v1::MEMBER_ROLE_WORKER);
  auto told = client->Heartbeat(beat, kLimit);
  ASSERT_TRUE(told.ok()) << told.status();
  EXPECT_EQ(told->roster().owners_size(), 1);
  beat.set_roster_generation(told->roster().generation());
  EXPECT_FALSE(client->Heartbeat(beat, kLimit)->has_roster());
  v1::ScaleRequest scale;
  *scale.mutable_job() = beat.job();
  EXPECT_EQ(client->Scale(scale, kLimit).status().code(), absl::StatusCode::kInvalidArgument);
  scale.set_workers(1);
  auto scaled = client->Scale(scale, kLimit);
  ASSERT_TRUE(scaled.ok()) << scaled.status();
  EXPECT_EQ(scaled->from(), 1u);
  EXPECT_EQ(scaled->to(), 1u);
}

TEST(CompleteAddressTest, AnEmptyHostIsThePeersAsSeenHere) {
  EXPECT_EQ(CompleteAddress(":80", "ipv4:10.0.0.7:555"), "10.0.0.7:80");
  EXPECT_EQ(CompleteAddress(":80", "ipv6:%5B::1%5D:555"), "[::1]:80");
  EXPECT_EQ(CompleteAddress(":80", "ipv6:[fe80::1]:555"), "[fe80::1]:80");
  EXPECT_EQ(CompleteAddress(":80", "unix:/tmp/x"), "127.0.0.1:80");
  EXPECT_EQ(CompleteAddress("host:80", "ipv4:10.0.0.7:555"), "host:80");
  EXPECT_EQ(CompleteAddress(":80", "strange"), ":80");
}

TEST(CoordinatorCodecTest, SettingsAndCountsSurviveTheRoundTrip) {
  JobSettings settings;
  settings.name = "digits";
  settings.servers = 2;
  settings.shards = 6;
  settings.workers = 3;
  settings.gradient_shards = 4;
  settings.mode = 2;
  settings.has_max_staleness = true;
  settings.max_staleness = 9;
  settings.slice_bytes = 4096;
  settings.seed = 1234567890123;
  settings.topology = "version: 1\n";
  settings.init_path = "/w.safetensors";
  settings.transport = 3;
  const v1::JobSettings wire = ToProto(settings);
  EXPECT_EQ(ToProto(FromProto(wire)).SerializeAsString(), wire.SerializeAsString());
  EXPECT_EQ(FromProto(wire).max_staleness, 9u);
  EXPECT_EQ(FromProto(wire).transport, 3u);
  EXPECT_EQ(FromProto(wire).topology, settings.topology);
  const PushCounts counts{1, 2, 3, 4, 5, 6, 7};
  EXPECT_EQ(FromProto(ToProto(counts)), counts);
  const SessionCounts sessions{1, 2, 3};
  EXPECT_EQ(FromProto(ToProto(sessions)), sessions);
  const PayloadCounts payload{1, 2, 3, 4};
  EXPECT_EQ(FromProto(ToProto(payload)), payload);
}

TEST(CoordinatorCodecTest, RostersAndScalesSurviveTheRoundTrip) {
  const Roster roster{7, {0, 2, 5}, {2}};
  EXPECT_EQ(FromProto(ToProto(roster)), roster);
  HeartbeatAnswer answer;
  EXPECT_FALSE(ToProto(answer).has_roster());
  answer.roster = roster;
  answer.retire = true;
  EXPECT_EQ(FromProto(ToProto(answer).roster()), roster);
  EXPECT_TRUE(ToProto(answer).retire());
  LossAnswer loss;
  loss.inherited = true;
  EXPECT_TRUE(FromProto(ToProto(loss)).inherited);
  JobStatus status;
  status.workers = 5;
  status.scaled = {{12, 3, 5}};
  const auto back = FromProto(ToProto(status));
  ASSERT_TRUE(back.ok()) << back.status();
  EXPECT_EQ(back->workers, 5u);
  EXPECT_EQ(back->scaled, status.scaled);
}

TEST(CoordinatorCodecTest, AStatusThatDoesNotHoldTogetherIsRefused) {
  v1::GetStatusReply reply;
  reply.set_job_id("short");
  EXPECT_EQ(FromProto(reply).status().code(), absl::StatusCode::kInvalidArgument);
  reply.set_job_id(std::string(16, 'x'));
  reply.set_layout_ready(true);
  reply.mutable_layout()->add_slices()->set_tensor_id(9);
  EXPECT_EQ(FromProto(reply).status().code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace weir
