// SPDX-License-Identifier: Apache-2.0
// Small answers that share a message.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <utility>
#include <variant>
#include <vector>

#include "net/frame_batch.h"
#include "tests/net/session_harness.h"

namespace weir {
namespace {

using ::testing::HasSubstr;

// How many messages bring the 101 answers that a handler gives to a push at once.
size_t MessagesOfABurst(RawClient* client, uint64_t features) {
  ClientFrame hello = HelloTo(0);
  std::get<HelloFrame>(hello.kind).features = features;
  EXPECT_TRUE(client->WriteFrame(hello));
  EXPECT_TRUE(client->WriteFrame(PushOf(1)));
  size_t messages = 0;
  for (size_t frames = 0; frames < 102; ++messages) {
    const auto got = client->ReadFrames();
    if (!got.ok()) return 0;
    for (const ServerFrame& frame : *got) {
      if (frames == 0) {
        EXPECT_EQ(std::get<HelloReplyFrame>(frame.kind).features, features & kFeatureBatches);
      } else {
        EXPECT_EQ(std::get<PushReplyFrame>(frame.kind).sequence, frames);
      }
      ++frames;
    }
  }
  return messages;
}

class SessionBatchTest : public SessionTest {
 protected:
  void SetUp() override {
    echo_->on_frame = [this](SessionId id, const ClientFrame& frame) {
      ServerFrame answer;
      answer.kind = HelloReplyFrame();
      if (std::holds_alternative<HelloFrame>(frame.kind)) return host_->Send(id, std::move(answer));
      for (uint64_t i = 1; i <= 101; ++i) {
        PushReplyFrame reply;
        reply.sequence = i;
        answer.kind = reply;
        host_->Send(id, ServerFrame(answer));
      }
    };
  }
};

TEST_F(SessionBatchTest, AnswersThatWaitShareAMessageWithAClientThatTakesBatches) {
  RawClient client(Channel());
  // At most the hello reply, the first answer, and all that queue behind it.
  const size_t messages = MessagesOfABurst(&client, kFeatureBatches);
  EXPECT_GE(messages, 2u);
  EXPECT_LE(messages, 3u);
}

TEST_F(SessionBatchTest, AClientThatHasNotSaidItTakesBatchesGetsNone) {
  RawClient client(Channel());
  EXPECT_EQ(MessagesOfABurst(&client, kFeatureShm), 102u);
}

TEST_F(SessionBatchTest, ABatchOfOneThatHasNotSaidItSendsThemClosesTheSession) {
  RawClient client(Channel());
  ASSERT_TRUE(client.WriteFrame(HelloTo(0)));
  const std::vector<ClientFrame> frames = {PushOf(1), PushOf(2)};
  ASSERT_TRUE(client.WriteMessage(EncodeBatch(frames)));
  const grpc::Status status = client.Finish();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(status.error_message(), HasSubstr("has not said it sends them"));
}

}  // namespace
}  // namespace weir
