// SPDX-License-Identifier: Apache-2.0
// Which way a client takes to its shards, and which it takes when that one fails.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "worker/client.h"

namespace weir {
namespace {

using ::testing::AllOf;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr char kSocket[] = "unix:/tmp/s";
constexpr char kAddress[] = "host:1";

// A client of one shard on the host "here", which has a socket.
class ClientRoutesTest : public ::testing::Test {
 protected:
  void Start(Transport transport, const std::string& host_key) {
    ClientOptions options;
    options.job_id = std::string(16, 'j');
    options.transport = transport;
    options.host_key = host_key;
    client_ = std::make_unique<Client>(options, &pool_);
    Layout layout;
    layout.epoch = 1;
    layout.tensors = {{"a", {8}, {}}};
    layout.slices = {{1, 0, 8, 0}};
    layout.shard_addresses = {{kAddress, "/tmp/s", "here"}};
    ClientEffects effects;
    client_->SetLayout(layout, now_, &effects);
    Take(effects);
  }

  void Take(const ClientEffects& effects) {
    for (const ClientEffect& effect : effects) {
      if (const auto* connect = std::get_if<ConnectEffect>(&effect)) {
        connection_ = connect->connection;
        ways_.push_back(connect->address);
        EXPECT_EQ(connect->transport,
                  connect->address == kSocket ? Transport::kUds : Transport::kTcp);
      } else if (const auto* send = std::get_if<SendEffect>(&effect)) {
        last_ = send->frame;
      } else if (const auto* complete = std::get_if<CompleteEffect>(&effect)) {
        ended_ = complete->status;
      }
    }
  }

  // The connection fails, and the next attempt is made when it is due.
  void Fail() {
    ClientEffects effects;
    client_->Disconnected(connection_, absl::UnavailableError("no socket"), now_, &effects);
    now_ = client_->NextTick();
    client_->Tick(now_, &effects);
    Take(effects);
  }

  // Answers hello and bind.
  void Greet() {
    ClientEffects effects;
    client_->Connected(connection_, now_, &effects);
    Take(effects);
    HelloReplyFrame hello;
    hello.protocol = kProtocol;
    hello.mode = 1;
    hello.gradient_shards = 1;
    hello.max_requests = 10;
    hello.max_push_bytes = hello.max_reply_bytes = 1 << 20;
    hello.max_frame_bytes = 4 << 20;
    hello.max_wait_ms = 1000;
    Answer(hello);
    BindReplyFrame bound;
    bound.bindings = {{"a", 1, {8}}};
    bound.slices = {{1, 0, 8, 0}};
    Answer(bound);
  }

  template <typename Kind>
  void Answer(Kind kind) {
    ServerFrame frame;
    frame.request_id = last_.request_id;
    frame.epoch = 1;
    frame.kind = std::move(kind);
    ClientEffects effects;
    client_->Receive(connection_, std::move(frame), now_, &effects);
    Take(effects);
  }

  BufferPool pool_;
  absl::Time now_ = absl::FromUnixSeconds(1000);
  std::unique_ptr<Client> client_;
  uint64_t connection_ = 0;
  ClientFrame last_;
  Status ended_;
  std::vector<std::string> ways_;
};

TEST_F(ClientRoutesTest, OnTheSameHostItTakesTheSocket) {
  Start(Transport::kAuto, "here");
  EXPECT_THAT(ways_, ElementsAre(kSocket));
}

TEST_F(ClientRoutesTest, FromAnotherHostAndWhereTheJobSaysSoItTakesTcp) {
  Start(Transport::kAuto, "there");
  Fail();
  Start(Transport::kTcp, "here");
  Fail();
  EXPECT_THAT(ways_, Each(std::string(kAddress)));
}

TEST_F(ClientRoutesTest, ASocketThatFailsTwiceIsTriedInTurnWithTcp) {
  Start(Transport::kAuto, "here");
  for (int i = 0; i < 4; ++i) Fail();
  EXPECT_THAT(ways_, ElementsAre(kSocket, kSocket, kAddress, kSocket, kAddress));
}

TEST_F(ClientRoutesTest, AfterASessionThatStoodItBeginsWithTheSocketAgain) {
  Start(Transport::kAuto, "here");
  Fail();
  Fail();
  Greet();  // over TCP
  Fail();
  EXPECT_THAT(ways_, ElementsAre(kSocket, kSocket, kAddress, kSocket));
}

TEST_F(ClientRoutesTest, UdsTakesTheSocketAlone) {
  Start(Transport::kUds, "here");
  for (int i = 0; i < 3; ++i) Fail();
  EXPECT_THAT(ways_, Each(std::string(kSocket)));
}

TEST_F(ClientRoutesTest, UdsFromAnotherHostEndsEveryCallSayingWhy) {
  Start(Transport::kUds, "there");
  EXPECT_THAT(ways_, IsEmpty());
  ClientEffects effects;
  client_->Pull(1, {}, {}, now_, &effects);
  Take(effects);
  EXPECT_EQ(ended_.code(), StatusCode::kFailedPrecondition);
  EXPECT_THAT(ended_.message(), AllOf(HasSubstr("the transport is uds"), HasSubstr(kAddress)));
}

}  // namespace
}  // namespace weir
