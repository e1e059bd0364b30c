// SPDX-License-Identifier: Apache-2.0
#include "net/server_host.h"

#include <gmock/gmock.h>
#include <grpcpp/channel.h>
#include <grpcpp/generic/generic_stub.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"
#include "net/channel.h"
#include "weir/v1/coordinator.grpc.pb.h"

namespace weir {
namespace {

using ::testing::HasSubstr;

constexpr absl::Duration kPatience = absl::Seconds(30);

// Answers GetStatus; Stop never ends by itself.
class Coordinator : public v1::Coordinator::CallbackService {
 public:
  grpc::ServerUnaryReactor* GetStatus(grpc::CallbackServerContext* context,
                                      const v1::GetStatusRequest*,
                                      v1::GetStatusReply* reply) override {
    reply->set_step(42);
    auto* reactor = context->DefaultReactor();
    reactor->Finish(grpc::Status::OK);
    return reactor;
  }

  grpc::ServerUnaryReactor* Stop(grpc::CallbackServerContext*, const v1::StopRequest*,
                                 v1::StopReply*) override {
    class UntilCancelled : public grpc::ServerUnaryReactor {
     public:
      void OnCancel() override { Finish(grpc::Status::CANCELLED); }
      void OnDone() override { delete this; }
    };
    in_stop.Notify();
    return new UntilCancelled;
  }

  absl::Notification in_stop;
};

ServerHost::Options At(const std::string& address) {
  ServerHost::Options options;
  options.address = address;
  return options;
}

// One unary call with raw bytes.
grpc::Status Call(const std::string& address, const std::string& method, std::string* reply) {
  grpc::GenericStub stub(MakeChannel(address));
  grpc::ClientContext context;
  context.set_deadline(absl::ToChronoTime(absl::Now() + kPatience));
  grpc::ByteBuffer request;
  grpc::Slice nothing(std::string{});
  request = grpc::ByteBuffer(&nothing, 1);
  grpc::ByteBuffer response;
  grpc::Status result;
  absl::Notification done;
  stub.UnaryCall(&context, method, grpc::StubOptions(), &request, &response,
                 [&](grpc::Status status) {
                   result = status;
                   done.Notify();
                 });
  done.WaitForNotification();
  std::vector<grpc::Slice> slices;
  if (result.ok() && response.Dump(&slices).ok()) {
    for (const grpc::Slice& slice : slices) reply->append(slice.begin(), slice.end());
  }
  return result;
}

TEST(ServerHostTest, PortZeroPicksAFreePortAndServesThere) {
  Coordinator coordinator;
  ServerHost::Options options;
  options.services = {&coordinator};
  auto server = ServerHost::Start(options);
  ASSERT_TRUE(server.ok()) << server.status();
  EXPECT_GT((*server)->port(), 0);
  EXPECT_EQ((*server)->address(), absl::StrCat("127.0.0.1:", (*server)->port()));
  std::string reply;
  const grpc::Status status = Call((*server)->address(), "/weir.v1.Coordinator/GetStatus", &reply);
  ASSERT_TRUE(status.ok()) << status.error_message();
  v1::GetStatusReply read;
  ASSERT_TRUE(read.ParseFromString(reply));
  EXPECT_EQ(read.step(), 42);
}

TEST(ServerHostTest, APortThatIsTakenIsNamed) {
  auto first = ServerHost::Start(At("127.0.0.1:0"));
  ASSERT_TRUE(first.ok()) << first.status();
  const auto second = ServerHost::Start(At((*first)->address()));
  EXPECT_EQ(second.status(), absl::UnavailableError(absl::StrCat(
                                 "cannot listen on ", (*first)->address(), ": the port is taken")));
}

TEST(ServerHostTest, APortThatAnotherProgramHoldsIsNamedToo) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in where{};
  where.sin_family = AF_INET;
  where.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const int on = 1;
  ASSERT_EQ(setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)), 0);
  ASSERT_EQ(bind(fd, reinterpret_cast<sockaddr*>(&where), sizeof(where)), 0);
  ASSERT_EQ(listen(fd, 1), 0);
  socklen_t size = sizeof(where);
  ASSERT_EQ(getsockname(fd, reinterpret_cast<sockaddr*>(&where), &size), 0);
  const auto server = ServerHost::Start(At(absl::StrCat("127.0.0.1:", ntohs(where.sin_port))));
  EXPECT_THAT(std::string(server.status().message()), HasSubstr("the port is taken"));
  close(fd);
}

TEST(ServerHostTest, AnAddressOfAnotherMachineIsNamed) {
  ServerHost::Options options = At("192.0.2.1:0");
  options.has_token = true;
  const auto server = ServerHost::Start(options);
  EXPECT_EQ(server.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(server.status().message()),
              HasSubstr("cannot listen on 192.0.2.1:0: Cannot assign"));
}

TEST(ServerHostTest, AddressesThatCannotBeReadAreRefused) {
  for (const char* address : {"", ":0", "127.0.0.1", "127.0.0.1:", "127.0.0.1:x", "127.0.0.1:65536",
                              "127.0.0.1:-1", "::1:0", "[]:0", "[::1:0"}) {
    EXPECT_EQ(ServerHost::Start(At(address)).status().code(), absl::StatusCode::kInvalidArgument)
        << address;
  }
}

TEST(ServerHostTest, AListenerOffLoopbackWithoutATokenDoesNotStart) {
  const auto refused = ServerHost::Start(At("0.0.0.0:0"));
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(refused.status().message()),
              HasSubstr("a listener off loopback (0.0.0.0:0)"));

  ServerHost::Options options = At("0.0.0.0:0");
  options.has_token = true;
  EXPECT_TRUE(ServerHost::Start(options).ok());
}

TEST(ServerHostTest, LoopbackIsThisMachineOnly) {
  for (const char* address :
       {"127.0.0.1:0", "127.9.8.7:1", "localhost:1", "LocalHost:1", "[::1]:5"}) {
    EXPECT_TRUE(IsLoopback(address)) << address;
  }
  for (const char* address : {"0.0.0.0:0", "[::]:0", "10.0.0.1:1", "127.example.org:1",
                              "localhost.example.org:1", "unix:/tmp/x", ""}) {
    EXPECT_FALSE(IsLoopback(address)) << address;
  }
}

class SocketTest : public ::testing::Test {
 protected:
  SocketTest() {
    char name[] = "/tmp/server_host_test.XXXXXX";
    base = mkdtemp(name);
    sockets = *SocketDirectory::Make({base});
  }
  ~SocketTest() override {
    sockets.reset();
    std::filesystem::remove_all(base);
  }

  ServerHost::Options Both() {
    ServerHost::Options options = At("127.0.0.1:0");
    options.sockets = sockets.get();
    options.services = {&coordinator};
    return options;
  }

  std::string base;
  std::unique_ptr<SocketDirectory> sockets;
  Coordinator coordinator;
};

TEST_F(SocketTest, AServerAnswersOnItsSocketAndOnTcp) {
  auto server = ServerHost::Start(Both());
  ASSERT_TRUE(server.ok()) << server.status();
  const std::string path = (*server)->socket_path();
  EXPECT_EQ(path, sockets->PathOf(ServerHost::kSocketName));
  for (const std::string& address : {"unix:" + path, (*server)->address()}) {
    std::string reply;
    const grpc::Status status = Call(address, "/weir.v1.Coordinator/GetStatus", &reply);
    EXPECT_TRUE(status.ok()) << address << ": " << status.error_message();
  }
  EXPECT_TRUE(CheckSocket(path).ok());
}

TEST_F(SocketTest, TheSocketIsOfMode0600WhateverTheUmask) {
  const mode_t before = umask(0);
  auto server = ServerHost::Start(Both());
  umask(before);
  ASSERT_TRUE(server.ok()) << server.status();
  struct stat found {};
  ASSERT_EQ(lstat((*server)->socket_path().c_str(), &found), 0);
  EXPECT_TRUE(S_ISSOCK(found.st_mode));
  EXPECT_EQ(found.st_mode & 07777, 0600u);
}

TEST_F(SocketTest, ASocketThatCannotBeBoundIsNamed) {
  sockets->Remove();
  const absl::Status status = ServerHost::Start(Both()).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(status.message()), HasSubstr("cannot listen on "));
  EXPECT_THAT(std::string(status.message()), HasSubstr(sockets->PathOf("grpc")));
}

TEST_F(SocketTest, AServerWithoutADirectoryHasNoSocket) {
  auto server = ServerHost::Start(At("127.0.0.1:0"));
  ASSERT_TRUE(server.ok()) << server.status();
  EXPECT_EQ((*server)->socket_path(), "");
}

TEST(ServerHostTest, HealthChecksAreToldWhetherItServes) {
  auto server = ServerHost::Start(At("127.0.0.1:0"));
  ASSERT_TRUE(server.ok()) << server.status();
  // grpc.health.v1.HealthCheckResponse{status}: 1 is SERVING, 2 NOT_SERVING.
  std::string reply;
  ASSERT_TRUE(Call((*server)->address(), "/grpc.health.v1.Health/Check", &reply).ok());
  EXPECT_EQ(reply, "\x08\x02");
  (*server)->SetServing(true);
  reply.clear();
  ASSERT_TRUE(Call((*server)->address(), "/grpc.health.v1.Health/Check", &reply).ok());
  EXPECT_EQ(reply, "\x08\x01");
}

TEST(ServerHostTest, ReflectionIsOn) {
  auto server = ServerHost::Start(At("127.0.0.1:0"));
  ASSERT_TRUE(server.ok()) << server.status();
  const std::string service = "/grpc.reflection.v1alpha.ServerReflection/";
  std::string reply;
  EXPECT_EQ(Call((*server)->address(), service + "Nothing", &reply).error_code(),
            grpc::StatusCode::UNIMPLEMENTED);
  EXPECT_NE(Call((*server)->address(), service + "ServerReflectionInfo", &reply).error_code(),
            grpc::StatusCode::UNIMPLEMENTED);
}

TEST(ServerHostTest, ShutdownCancelsCallsThatDoNotEnd) {
  Coordinator coordinator;
  ServerHost::Options options;
  options.services = {&coordinator};
  auto server = ServerHost::Start(options);
  ASSERT_TRUE(server.ok()) << server.status();
  grpc::Status ended;
  std::thread caller([&] {
    std::string reply;
    ended = Call((*server)->address(), "/weir.v1.Coordinator/Stop", &reply);
  });
  EXPECT_TRUE(coordinator.in_stop.WaitForNotificationWithTimeout(kPatience));
  (*server)->Shutdown(absl::ZeroDuration());
  (*server)->Shutdown(absl::ZeroDuration());  // again: returns at once
  caller.join();
  EXPECT_FALSE(ended.ok());
  EXPECT_NE(ended.error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
}

}  // namespace
}  // namespace weir
