// SPDX-License-Identifier: Apache-2.0
#include "net/coordinator_client.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"
#include "net/channel.h"
#include "net/server_host.h"
#include "net/status.h"
#include "weir/v1/coordinator.grpc.pb.h"

namespace weir {
namespace {

using ::testing::HasSubstr;

constexpr absl::Duration kPatience = absl::Seconds(30);

// Records which method was called and with what deadline; answers with something of each reply, or
// with `answer`.
class FakeCoordinator : public v1::Coordinator::Service {
 public:
  grpc::Status Join(grpc::ServerContext* context, const v1::JoinRequest* request,
                    v1::JoinReply* reply) override {
    reply->set_rank(request->rank() + 1);
    return Answer("Join", context);
  }
  grpc::Status Declare(grpc::ServerContext* context, const v1::DeclareRequest* request,
                       v1::DeclareReply* reply) override {
    reply->set_epoch(static_cast<uint64_t>(request->tensors_size()));
    return Answer("Declare", context);
  }
  grpc::Status GetLayout(grpc::ServerContext* context, const v1::GetLayoutRequest* request,
                         v1::GetLayoutReply* reply) override {
    reply->mutable_layout()->set_epoch(request->newer_than() + 1);
    return Answer("GetLayout", context);
  }
  grpc::Status Heartbeat(grpc::ServerContext* context, const v1::HeartbeatRequest* request,
                         v1::HeartbeatReply* reply) override {
    reply->set_reason(request->waits_for());
    return Answer("Heartbeat", context);
  }
  grpc::Status Leave(grpc::ServerContext* context, const v1::LeaveRequest*,
                     v1::LeaveReply*) override {
    return Answer("Leave", context);
  }
  grpc::Status GetStatus(grpc::ServerContext* context, const v1::GetStatusRequest*,
                         v1::GetStatusReply* reply) override {
    reply->set_step(5);
    return Answer("GetStatus", context);
  }
  grpc::Status Stop(grpc::ServerContext* context, const v1::StopRequest*, v1::StopReply*) override {
    return Answer("Stop", context);
  }
  grpc::Status ReportLoss(grpc::ServerContext* context, const v1::ReportLossRequest*,
                          v1::ReportLossReply*) override {
    return Answer("ReportLoss", context);
  }

  grpc::Status answer;                    // of every call
  absl::Notification* hold = nullptr;     // when set, calls wait for it ...
  absl::Notification* entered = nullptr;  // ... after this

  std::string last_method() {
    absl::MutexLock lock(&mu_);
    return last_method_;
  }
  absl::Duration last_timeout() {
    absl::MutexLock lock(&mu_);
    return last_timeout_;
  }

 private:
  grpc::Status Answer(const char* method, grpc::ServerContext* context) {
    {
      absl::MutexLock lock(&mu_);
      last_method_ = method;
      last_timeout_ = absl::FromChrono(context->deadline()) - absl::Now();
    }
    if (entered != nullptr) entered->Notify();
    if (hold != nullptr) hold->WaitForNotification();
    return answer;
  }

  absl::Mutex mu_;
  std::string last_method_ ABSL_GUARDED_BY(mu_);
  absl::Duration last_timeout_ ABSL_GUARDED_BY(mu_);
};

class CoordinatorClientTest : public ::testing::Test {
 protected:
  CoordinatorClientTest() {
    ServerHost::Options options;
    options.services = {&coordinator_};
    options.max_message_bytes = kMaxControlMessageBytes;
    auto server = ServerHost::Start(options);
    EXPECT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
    client_ = std::make_unique<CoordinatorClient>(server_->address());
  }

  absl::Notification hold_;
  absl::Notification entered_;
  FakeCoordinator coordinator_;
  std::unique_ptr<ServerHost> server_;
  std::unique_ptr<CoordinatorClient> client_;
};

TEST_F(CoordinatorClientTest, EachCallReachesItsMethodAndBringsItsReply) {
  v1::JoinRequest join;
  join.set_rank(3);
  EXPECT_EQ(client_->Join(join, kPatience)->rank(), 4);
  EXPECT_EQ(coordinator_.last_method(), "Join");
  v1::DeclareRequest declare;
  declare.add_tensors();
  EXPECT_EQ(client_->Declare(declare, kPatience)->epoch(), 1);
  v1::GetLayoutRequest layout;
  layout.set_newer_than(6);
  EXPECT_EQ(client_->GetLayout(layout, kPatience)->layout().epoch(), 7);
  v1::HeartbeatRequest heartbeat;
  heartbeat.set_waits_for("worker 2");
  EXPECT_EQ(client_->Heartbeat(heartbeat, kPatience)->reason(), "worker 2");
  EXPECT_TRUE(client_->Leave({}, kPatience).ok());
  EXPECT_EQ(coordinator_.last_method(), "Leave");
  EXPECT_EQ(client_->GetStatus({}, kPatience)->step(), 5);
  EXPECT_TRUE(client_->Stop({}, kPatience).ok());
  EXPECT_EQ(coordinator_.last_method(), "Stop");
  EXPECT_TRUE(client_->ReportLoss({}, kPatience).ok());
  EXPECT_EQ(coordinator_.last_method(), "ReportLoss");
}

TEST_F(CoordinatorClientTest, TheCoordinatorIsToldTheDeadline) {
  EXPECT_TRUE(client_->Leave({}, absl::Seconds(100)).ok());
  EXPECT_GT(coordinator_.last_timeout(), absl::Seconds(50));
  EXPECT_LE(coordinator_.last_timeout(), absl::Seconds(102));  // gRPC rounds up
}

TEST_F(CoordinatorClientTest, TheCoordinatorsSentenceComesThrough) {
  coordinator_.answer = ToGrpcStatus(absl::AlreadyExistsError("worker 2 is taken by process 77"));
  EXPECT_EQ(client_->Join({}, kPatience).status(),
            absl::AlreadyExistsError("worker 2 is taken by process 77"));
}

TEST_F(CoordinatorClientTest, ACallThatIsNotAnsweredEndsAtItsDeadline) {
  coordinator_.hold = &hold_;
  const absl::Status status = client_->GetStatus({}, absl::Milliseconds(50)).status();
  EXPECT_EQ(status, absl::DeadlineExceededError(absl::StrCat(
                        "the coordinator at ", server_->address(), " did not answer within 50ms")));
  hold_.Notify();
}

TEST_F(CoordinatorClientTest, ACoordinatorThatIsNotThereIsNamed) {
  const std::string address = server_->address();
  server_->Shutdown(absl::ZeroDuration());
  CoordinatorClient client(address);
  const absl::Status status = client.GetStatus({}, kPatience).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(status.message()),
              HasSubstr(absl::StrCat("the coordinator at ", address)));
}

TEST_F(CoordinatorClientTest, CancelEndsTheCallInFlightAndAllLaterOnes) {
  coordinator_.hold = &hold_;
  coordinator_.entered = &entered_;
  absl::Status status;
  std::thread caller([&] { status = client_->Stop({}, absl::Hours(1)); });
  ASSERT_TRUE(entered_.WaitForNotificationWithTimeout(kPatience));
  client_->Cancel();
  caller.join();
  EXPECT_EQ(status.code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(client_->Leave({}, absl::Hours(1)).code(), absl::StatusCode::kCancelled);
  hold_.Notify();
}

TEST_F(CoordinatorClientTest, ADeclarationMayBeLargerThanAFrame) {
  v1::DeclareRequest declare;
  for (int i = 0; i < 65'536; ++i) declare.add_tensors()->set_name(std::string(200, 'n'));
  const auto reply = client_->Declare(declare, kPatience);
  ASSERT_TRUE(reply.ok()) << reply.status();
  EXPECT_EQ(reply->epoch(), 65'536);
}

TEST(StatusTest, CodesAndSentencesSurviveTheWayThereAndBack) {
  for (int code = 0; code <= 16; ++code) {
    const absl::Status status(static_cast<absl::StatusCode>(code), code == 0 ? "" : "a sentence");
    EXPECT_EQ(FromGrpcStatus(ToGrpcStatus(status)), status);
  }
  EXPECT_EQ(ToGrpcStatus(absl::InternalError(std::string(5000, 'x'))).error_message().size(), 2048);
}

}  // namespace
}  // namespace weir
