// SPDX-License-Identifier: Apache-2.0
#include "tools/load_job_totals.h"

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/synchronization/mutex.h"
#include "gtest/gtest.h"
#include "net/channel.h"
#include "net/server_host.h"
#include "weir/v1/coordinator.grpc.pb.h"

namespace weir {
namespace {

constexpr absl::Duration kPatience = absl::Seconds(30);

void AddServer(uint32_t silent_ms, uint64_t sessions, v1::GetStatusReply* status) {
  v1::MemberStatus* const member = status->add_members();
  member->set_role(v1::MEMBER_ROLE_SERVER);
  member->set_silent_ms(silent_ms);
  member->mutable_sessions()->set_uds(sessions);
  member->mutable_sessions()->set_shm(2 * sessions);
  member->mutable_payload()->set_received(100);
  member->mutable_payload()->set_received_copied(10);
  member->mutable_payload()->set_sent(70);
  member->mutable_payload()->set_sent_copied(7);
}

// Answers GetStatus with one status after the other, the last again and again; or with `refusal`.
class FakeCoordinator : public v1::Coordinator::Service {
 public:
  FakeCoordinator(std::vector<v1::GetStatusReply> statuses, grpc::Status refusal)
      : statuses_(std::move(statuses)), refusal_(std::move(refusal)) {
    ServerHost::Options options;
    options.services = {this};
    options.max_message_bytes = kMaxControlMessageBytes;
    auto server = ServerHost::Start(options);
    EXPECT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
  }

  grpc::Status GetStatus(grpc::ServerContext*, const v1::GetStatusRequest* request,
                         v1::GetStatusReply* reply) override {
    absl::MutexLock lock(&mu_);
    token_ = request->job().job_token();
    if (!refusal_.ok()) return refusal_;
    *reply = statuses_[std::min(asked_++, statuses_.size() - 1)];
    return grpc::Status::OK;
  }

  std::string address() const { return server_->address(); }
  std::string token() {
    absl::MutexLock lock(&mu_);
    return token_;
  }
  size_t asked() {
    absl::MutexLock lock(&mu_);
    return asked_;
  }

 private:
  const std::vector<v1::GetStatusReply> statuses_;
  const grpc::Status refusal_;
  absl::Mutex mu_;
  std::string token_ ABSL_GUARDED_BY(mu_);
  size_t asked_ ABSL_GUARDED_BY(mu_) = 0;
  std::unique_ptr<ServerHost> server_;
};

TEST(LoadJobTotalsTest, TotalsAreSummedOverTheServersAlone) {
  v1::GetStatusReply status;
  AddServer(0, 1, &status);
  AddServer(0, 3, &status);
  AddServer(0, 50, &status);
  status.mutable_members(2)->set_role(v1::MEMBER_ROLE_WORKER);
  const ServerTotals totals = SumOfServers(status);
  EXPECT_EQ(totals.tcp_sessions, 0u);
  EXPECT_EQ(totals.uds_sessions, 4u);
  EXPECT_EQ(totals.shm_sessions, 8u);
  EXPECT_EQ(totals.received_bytes, 200u);
  EXPECT_EQ(totals.received_copied_bytes, 20u);
  EXPECT_EQ(totals.sent_bytes, 140u);
  EXPECT_EQ(totals.sent_copied_bytes, 14u);
}

TEST(LoadJobTotalsTest, AServerThatWasHeardBeforeIsNotHeardSince) {
  v1::GetStatusReply status;
  AddServer(40, 1, &status);
  AddServer(90, 1, &status);
  EXPECT_FALSE(HeardSince(status, absl::Milliseconds(60)));
  EXPECT_FALSE(HeardSince(status, absl::Milliseconds(91)));  // it may have been 90.9 ms
  EXPECT_TRUE(HeardSince(status, absl::Milliseconds(92)));
}

TEST(LoadJobTotalsTest, AsksUntilEveryServerHasToldItsTotalsSinceTheLoadEnded) {
  v1::GetStatusReply before, after;
  AddServer(60000, 1, &before);
  AddServer(0, 2, &after);
  FakeCoordinator coordinator({before, before, after}, grpc::Status::OK);
  const auto totals = AskServerTotals(coordinator.address(), "secret", kPatience);
  ASSERT_TRUE(totals.ok()) << totals.status();
  EXPECT_EQ(totals->uds_sessions, 2u);
  EXPECT_GE(coordinator.asked(), 3u);
  EXPECT_EQ(coordinator.token(), "secret");
}

TEST(LoadJobTotalsTest, AServerThatFallsSilentEndsTheWait) {
  v1::GetStatusReply silent;
  AddServer(60000, 1, &silent);
  FakeCoordinator coordinator({silent}, grpc::Status::OK);
  const auto totals = AskServerTotals(coordinator.address(), "", absl::Milliseconds(1));
  EXPECT_EQ(totals.status().code(), absl::StatusCode::kDeadlineExceeded) << totals.status();
}

TEST(LoadJobTotalsTest, ACoordinatorThatRefusesIsHeard) {
  FakeCoordinator coordinator({}, grpc::Status(grpc::StatusCode::PERMISSION_DENIED, "not yours"));
  const auto totals = AskServerTotals(coordinator.address(), "", kPatience);
  EXPECT_EQ(totals.status().code(), absl::StatusCode::kPermissionDenied) << totals.status();
}

}  // namespace
}  // namespace weir
