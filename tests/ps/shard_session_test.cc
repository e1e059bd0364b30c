// SPDX-License-Identifier: Apache-2.0
// Sessions of a shard: hello, fencing, epochs, timeouts; and its options.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/ps/shard_harness.h"

namespace weir {
namespace {

using ::testing::HasSubstr;

ShardHarness::Options WithToken() {
  ShardHarness::Options options;
  options.shard.shard = 0;
  options.shard.epoch = 5;
  options.shard.job_id = {1, 2, 3};
  options.shard.job_token = "secret";
  options.shard.build_id = "build-7";
  return options;
}

class ShardSessionTest : public testing::Test {
 protected:
  // How a session ends that begins with `hello`.
  absl::Status HelloStatus(const HelloFrame& hello) {
    const uint64_t session = harness.Open();
    request = harness.Send(session, hello);
    return harness.CloseStatus(session);
  }

  ShardHarness harness{WithToken()};
  uint64_t request = 0;
};

TEST_F(ShardSessionTest, AHelloIsToldEveryLimit) {
  const uint64_t session = harness.Open();
  const uint64_t hello = harness.Send(session, harness.HelloOf(3));
  const std::vector<ServerFrame> answers = harness.Answers(session, hello);
  ASSERT_EQ(answers.size(), 1u);
  EXPECT_EQ(answers[0].epoch, 5u);
  EXPECT_EQ(answers[0].request_id, hello);
  const auto& reply = std::get<HelloReplyFrame>(answers[0].kind);
  const ShardLimits limits;
  EXPECT_EQ(reply.protocol, kProtocol);
  EXPECT_EQ(reply.mode, 1u);
  EXPECT_EQ(reply.gradient_shards, 1u);
  EXPECT_EQ(reply.max_requests, limits.max_requests);
  EXPECT_EQ(reply.max_push_bytes, limits.max_push_bytes);
  EXPECT_EQ(reply.max_reply_bytes, limits.max_reply_bytes);
  EXPECT_EQ(reply.max_frame_bytes, limits.max_frame_bytes);
  EXPECT_EQ(reply.max_wait_ms, limits.max_wait_ms);
  EXPECT_EQ(reply.write_timeout_ms, limits.write_timeout_ms);
  EXPECT_EQ(reply.last_sequence, 0u);
  EXPECT_FALSE(reply.has_max_staleness);
  EXPECT_EQ(reply.build_id, "build-7");
}

TEST_F(ShardSessionTest, AnotherProtocolIsClosedNamingBothSides) {
  HelloFrame hello = harness.HelloOf(3);
  hello.protocol_min = 2;
  hello.protocol_max = 9;
  const absl::Status status = HelloStatus(hello);
  EXPECT_EQ(status.code(), absl::StatusCode::kUnimplemented);
  EXPECT_THAT(std::string(status.message()), HasSubstr("protocol 1, the client 2 to 9"));
  hello.protocol_min = hello.protocol_max = 0;
  EXPECT_EQ(HelloStatus(hello).code(), absl::StatusCode::kUnimplemented);
}

TEST_F(ShardSessionTest, AnotherJobIsClosedNamingBothSides) {
  HelloFrame hello = harness.HelloOf(3);
  for (const std::string& id :
       {std::string("\x09"), std::string(16, '\x09'), std::string(4000, 'x'), std::string()}) {
    hello.job_id = id;
    const absl::Status status = HelloStatus(hello);
    EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_THAT(std::string(status.message()), HasSubstr("job 01020300"));
    EXPECT_LT(status.message().size(), 200u);
  }
}

TEST_F(ShardSessionTest, AWrongTokenIsClosedAndNeverNamed) {
  HelloFrame hello = harness.HelloOf(3);
  for (const char* token : {"", "secre", "secret2", "Secret", "secretsecret"}) {
    hello.job_token = token;
    const absl::Status status = HelloStatus(hello);
    EXPECT_EQ(status.code(), absl::StatusCode::kUnauthenticated) << token;
    EXPECT_THAT(std::string(status.message()), testing::Not(HasSubstr("secre")));
  }
}

TEST(ShardTokenTest, ATokenForAJobWithoutOneIsClosed) {
  ShardHarness harness;
  HelloFrame hello = harness.HelloOf(3);
  hello.job_token = "something";
  const uint64_t session = harness.Open();
  harness.Send(session, hello);
  EXPECT_EQ(harness.CloseStatus(session).code(), absl::StatusCode::kUnauthenticated);
}

TEST_F(ShardSessionTest, AnotherShardOrAnUnknownRoleIsClosed) {
  HelloFrame hello = harness.HelloOf(3);
  hello.shard = 1;
  EXPECT_THAT(std::string(HelloStatus(hello).message()),
              HasSubstr("this is shard 0, the client wants shard 1"));
  hello = harness.HelloOf(3);
  hello.role = static_cast<SessionRole>(3);
  EXPECT_EQ(HelloStatus(hello).code(), absl::StatusCode::kUnimplemented);
  hello.role = SessionRole::kUnspecified;
  EXPECT_EQ(HelloStatus(hello).code(), absl::StatusCode::kUnimplemented);
}

TEST_F(ShardSessionTest, AFrameBeforeHelloClosesTheSession) {
  const uint64_t session = harness.Open();
  const uint64_t pull = harness.Send(session, harness.PullOf(0));
  EXPECT_EQ(harness.CloseStatus(session).code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_FALSE(harness.HasAnswer(session, pull));
}

TEST_F(ShardSessionTest, ASecondHelloClosesTheSession) {
  const uint64_t session = harness.Connect(3);
  harness.Send(session, harness.HelloOf(3));
  EXPECT_EQ(harness.CloseStatus(session).code(), absl::StatusCode::kFailedPrecondition);
}

TEST_F(ShardSessionTest, FramesOfASessionThatWasClosedAreDropped) {
  const uint64_t session = harness.Connect(3);
  harness.Send(session, harness.HelloOf(3));
  const uint64_t push = harness.Send(session, harness.PushOf(3, 1, 0, 1.0f));
  EXPECT_FALSE(harness.HasAnswer(session, push));
  EXPECT_EQ(harness.Version(0), 0u);
  harness.SendFrame(99, ClientFrame());  // a session that was never opened
}

TEST_F(ShardSessionTest, AnOlderIncarnationIsRefusedAtHello) {
  harness.Connect(3, /*incarnation=*/2);
  HelloFrame hello = harness.HelloOf(3);
  hello.incarnation = 1;
  const absl::Status status = HelloStatus(hello);
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()), HasSubstr("fenced: incarnation 2 of worker 3"));
}

TEST_F(ShardSessionTest, ASessionOfAnOlderIncarnationIsFencedAtItsNextFrameAndChangesNothing) {
  const uint64_t older = harness.Connect(3, 1);
  const uint64_t newer = harness.Connect(3, 2);
  const PushReplyFrame reply =
      harness.PushReply(older, harness.Send(older, harness.PushOf(3, 1, 0, 1.0f)));
  EXPECT_EQ(reply.outcome, Outcome::kFenced);
  EXPECT_EQ(reply.sequence, 1u);
  EXPECT_EQ(harness.ErrorReply(older, harness.Send(older, harness.PullOf(0))).outcome,
            Outcome::kFenced);
  PutStateFrame put;
  put.sequence = 1;
  EXPECT_EQ(harness.ErrorReply(older, harness.Send(older, put)).outcome, Outcome::kFenced);
  EXPECT_EQ(harness.Version(0), 0u);
  EXPECT_EQ(harness.shard.totals().fenced, 1u);
  EXPECT_EQ(harness.PushReply(newer, harness.Send(newer, harness.PushOf(3, 1, 0, 1.0f))).outcome,
            Outcome::kApplied);
}

TEST_F(ShardSessionTest, APushWhoseJobIsOutWhenItsWorkerIsFencedChangesNothing) {
  const uint64_t older = harness.Connect(3, 1);
  harness.jobs_run_at_once = false;
  const uint64_t running = harness.Send(older, harness.PushOf(3, 1, 0, 1.0f));
  const uint64_t queued = harness.Send(older, harness.PushOf(3, 2, 0, 1.0f));
  harness.Connect(3, 2);
  harness.RunJobs();
  EXPECT_EQ(harness.PushReply(older, running).outcome, Outcome::kFenced);
  EXPECT_EQ(harness.PushReply(older, queued).outcome, Outcome::kFenced);
  EXPECT_EQ(harness.Version(0), 0u);
  EXPECT_EQ(harness.Weight(0), 0.0f);
}

TEST_F(ShardSessionTest, ANewerNonceReplacesTheOlderSessionOfTheSameLane) {
  const uint64_t first = harness.Connect(3, 1, /*nonce=*/5, /*lane=*/0);
  const uint64_t other_lane = harness.Connect(3, 1, 5, 1);
  const uint64_t second = harness.Connect(3, 1, 6, 0);
  EXPECT_EQ(harness.CloseStatus(first).code(), absl::StatusCode::kAborted);
  EXPECT_TRUE(harness.CloseStatus(other_lane).ok());
  EXPECT_TRUE(harness.CloseStatus(second).ok());
  HelloFrame late = harness.HelloOf(3);
  late.session_nonce = 5;
  EXPECT_THAT(std::string(HelloStatus(late).message()),
              HasSubstr("newer session here, with nonce 6"));
  harness.Disconnect(second);
  EXPECT_TRUE(HelloStatus(late).ok());  // the place is free again
}

TEST_F(ShardSessionTest, AReconnectWithTheSameNonceReplacesTheSessionThatWasLost) {
  const uint64_t lost = harness.Connect(3, 1, /*nonce=*/0);
  const uint64_t again = harness.Connect(3, 1, /*nonce=*/0);
  EXPECT_EQ(harness.CloseStatus(lost).code(), absl::StatusCode::kAborted);
  EXPECT_TRUE(harness.CloseStatus(again).ok());
}

TEST_F(ShardSessionTest, ReadersDoNotReplaceOrFenceOneAnother) {
  const uint64_t a = harness.ConnectReader();
  const uint64_t b = harness.ConnectReader();
  EXPECT_EQ(harness.PullReply(a, harness.Send(a, harness.PullOf(0))).version, 0u);
  EXPECT_EQ(harness.PullReply(b, harness.Send(b, harness.PullOf(0))).version, 0u);
}

TEST_F(ShardSessionTest, AReaderMayNotChangeAnything) {
  const uint64_t reader = harness.ConnectReader();
  const PushReplyFrame push =
      harness.PushReply(reader, harness.Send(reader, harness.PushOf(0, 1, 0, 1.0f)));
  EXPECT_EQ(push.outcome, Outcome::kInvalid);
  EXPECT_THAT(push.reason, HasSubstr("reader"));
  PutStateFrame put;
  put.sequence = 1;
  EXPECT_EQ(harness.ErrorReply(reader, harness.Send(reader, put)).outcome, Outcome::kInvalid);
  EXPECT_EQ(harness.ErrorReply(reader, harness.Send(reader, GetStateFrame())).outcome,
            Outcome::kInvalid);
  EXPECT_EQ(harness.ErrorReply(reader, harness.Send(reader, LeaveFrame())).outcome,
            Outcome::kInvalid);
  EXPECT_EQ(harness.Version(0), 0u);
}

TEST_F(ShardSessionTest, AFrameOfAnotherEpochIsMovedAndChangesNothing) {
  const uint64_t session = harness.Connect(3);
  for (const uint64_t epoch : {0, 4, 6}) {
    ClientFrame frame;
    frame.request_id = 1000 + epoch;
    frame.epoch = epoch;
    frame.kind = harness.PushOf(3, 1, 0, 1.0f);
    harness.SendFrame(session, frame);
    const std::vector<ServerFrame> answers = harness.Answers(session, frame.request_id);
    ASSERT_EQ(answers.size(), 1u);
    EXPECT_EQ(answers[0].epoch, 5u);
    EXPECT_EQ(std::get<PushReplyFrame>(answers[0].kind).outcome, Outcome::kMoved);
    frame.kind = harness.PullOf(0);
    harness.SendFrame(session, frame);
    EXPECT_EQ(std::get<ErrorReplyFrame>(harness.Answers(session, frame.request_id)[0].kind).outcome,
              Outcome::kMoved);
  }
  EXPECT_EQ(harness.Version(0), 0u);
  EXPECT_EQ(harness.shard.totals().moved, 3u);
  // Nothing is remembered: the same sequence counts in the right epoch.
  EXPECT_EQ(
      harness.PushReply(session, harness.Send(session, harness.PushOf(3, 1, 0, 1.0f))).outcome,
      Outcome::kApplied);
}

TEST_F(ShardSessionTest, AHelloOfAnOlderEpochIsToldThePresentOneAndGoesOn) {
  const uint64_t session = harness.Open();
  ClientFrame frame;
  frame.request_id = 1;
  frame.epoch = 2;
  frame.kind = harness.HelloOf(3);
  harness.SendFrame(session, frame);
  EXPECT_EQ(harness.Answers(session, 1)[0].epoch, 5u);
  EXPECT_TRUE(harness.CloseStatus(session).ok());
}

TEST_F(ShardSessionTest, ANewLayoutBeginsAnewAndMovesWhoeverWaited) {
  const uint64_t session = harness.Connect(3);
  EXPECT_EQ(
      harness.PushReply(session, harness.Send(session, harness.PushOf(3, 1, 0, 1.0f))).outcome,
      Outcome::kApplied);
  const uint64_t waiting = harness.Send(session, harness.PullOf(0, PullCondition::kStep, 9));
  harness.jobs_run_at_once = false;
  const uint64_t running = harness.Send(session, harness.PushOf(3, 2, 1, 1.0f));
  const uint64_t queued = harness.Send(session, harness.PushOf(3, 3, 1, 1.0f));
  std::vector<Job> old_jobs = harness.jobs;
  harness.jobs.clear();
  harness.jobs_run_at_once = true;
  ASSERT_TRUE(harness.Install(6).ok());
  EXPECT_EQ(harness.ErrorReply(session, waiting).outcome, Outcome::kMoved);
  for (const uint64_t push : {running, queued}) {
    const ServerFrame answer = harness.Answers(session, push)[0];
    EXPECT_EQ(answer.epoch, 6u) << "whoever is moved is told where to";
    const auto& reply = std::get<PushReplyFrame>(answer.kind);
    EXPECT_EQ(reply.outcome, Outcome::kMoved);
    EXPECT_EQ(reply.sequence, push == running ? 2u : 3u);
    EXPECT_EQ(reply.tensor_id, harness.PushOf(3, 9, 1, 1.0f).tensor_id);
    EXPECT_EQ(reply.offset, harness.PushOf(3, 9, 1, 1.0f).offset);
  }
  harness.jobs = old_jobs;
  harness.RunJobs();  // their results come too late
  EXPECT_EQ(harness.Version(0), 0u);
  EXPECT_EQ(harness.Version(1), 0u);
  EXPECT_EQ(harness.Weight(0), 0.0f);
  EXPECT_EQ(harness.shard.status().epoch, 6u);
  // The sequence is new again in the new epoch.
  EXPECT_EQ(
      harness.PushReply(session, harness.Send(session, harness.PushOf(3, 1, 0, 1.0f))).outcome,
      Outcome::kApplied);
}

TEST_F(ShardSessionTest, AnOlderOrTheSameLayoutIsRefusedAndNothingChanges) {
  EXPECT_EQ(harness.Install(5).code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(harness.Install(4).code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_TRUE(harness.shard.status().serving);
}

TEST_F(ShardSessionTest, ARequestIdOfZeroOrInFlightClosesTheSession) {
  ClientFrame frame;
  frame.epoch = 5;
  frame.kind = harness.PullOf(0, PullCondition::kStep, 7);
  const uint64_t a = harness.Connect(1);
  harness.SendFrame(a, frame);
  EXPECT_EQ(harness.CloseStatus(a).code(), absl::StatusCode::kInvalidArgument);
  const uint64_t b = harness.Connect(2);
  frame.request_id = 7;
  harness.SendFrame(b, frame);
  harness.SendFrame(b, frame);
  EXPECT_EQ(harness.CloseStatus(b).code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(ShardSessionTest, AnUnknownKindIsAnsweredInvalid) {
  const uint64_t session = harness.Connect(3);
  const ErrorReplyFrame unknown =
      harness.ErrorReply(session, harness.Send(session, UnknownFrame{25}));
  EXPECT_EQ(unknown.outcome, Outcome::kInvalid);
  EXPECT_THAT(unknown.reason, HasSubstr("unsupported: frame kind 25"));
  EXPECT_THAT(harness.ErrorReply(session, harness.Send(session, UnknownFrame{0})).reason,
              HasSubstr("no kind"));
}

TEST_F(ShardSessionTest, ASessionWithoutHelloIsClosedInTime) {
  const uint64_t silent = harness.Open();
  EXPECT_EQ(harness.shard.NextDeadline(), harness.now + absl::Seconds(10));
  harness.Pass(absl::Milliseconds(9999));
  EXPECT_TRUE(harness.CloseStatus(silent).ok());
  harness.Pass(absl::Milliseconds(1));
  EXPECT_EQ(harness.CloseStatus(silent).code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_EQ(harness.shard.NextDeadline(), absl::InfiniteFuture());
}

TEST_F(ShardSessionTest, ASessionThatDoesNotReadItsAnswersIsClosedInTime) {
  harness.frames_are_taken_at_once = false;
  const uint64_t session = harness.Connect(3);
  harness.Pass(absl::Seconds(20));
  harness.Sent(session, 0);  // the answer to hello
  harness.Send(session, harness.PullOf(0));
  harness.Pass(absl::Seconds(29));
  harness.Send(session, harness.PullOf(0));  // asking for more is not reading
  EXPECT_TRUE(harness.CloseStatus(session).ok());
  harness.Pass(absl::Seconds(1));
  EXPECT_EQ(harness.CloseStatus(session).code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(harness.CloseStatus(session).message()),
              HasSubstr("has read no answer for 30s"));
}

TEST_F(ShardSessionTest, ASlowReaderThatReadsIsNotClosed) {
  harness.frames_are_taken_at_once = false;
  const uint64_t session = harness.Connect(3);
  std::vector<uint64_t> payloads = {0};  // of the answer to hello
  for (int i = 0; i < 10; ++i) {
    const uint64_t pull = harness.Send(session, harness.PullOf(0));
    payloads.push_back(harness.PullReply(session, pull).tensor_data.size());
  }
  for (const uint64_t payload_bytes : payloads) {
    harness.Pass(absl::Seconds(29));
    harness.Sent(session, payload_bytes);
  }
  harness.Pass(absl::Hours(1));
  EXPECT_TRUE(harness.CloseStatus(session).ok());
}

TEST(ShardOptionsTest, BadOptionsAreNamed) {
  const auto error = [](void (*breaks)(ShardOptions*)) {
    ShardOptions options;
    breaks(&options);
    return std::string(ValidateShardOptions(options).message());
  };
  EXPECT_EQ(error([](ShardOptions*) {}), "");
  EXPECT_THAT(error([](ShardOptions* o) { o->gradient_shards = 0; }),
              HasSubstr("gradient_shards is 0"));
  EXPECT_THAT(error([](ShardOptions* o) { o->gradient_shards = 1u << 17; }),
              HasSubstr("gradient_shards"));
  EXPECT_THAT(error([](ShardOptions* o) { o->mode = static_cast<ConsistencyMode>(4); }),
              HasSubstr("mode 4"));
  EXPECT_THAT(error([](ShardOptions* o) { o->mode = ConsistencyMode::kSsp; }),
              HasSubstr("ssp without max_staleness"));
  EXPECT_THAT(error([](ShardOptions* o) {
                o->mode = ConsistencyMode::kSsp;
                o->max_staleness = 0;
                o->workers = 0;
              }),
              HasSubstr("workers is 0"));
  EXPECT_THAT(error([](ShardOptions* o) { o->limits.max_requests = 0; }),
              HasSubstr("max_requests is 0"));
  EXPECT_THAT(error([](ShardOptions* o) { o->limits.max_push_bytes = ~uint64_t{0}; }),
              HasSubstr("max_push_bytes"));
  EXPECT_NE(error([](ShardOptions* o) { o->optimizer.weight_decay = -1; }), "");
  EXPECT_NE(error([](ShardOptions* o) { o->schedule.base_rate = -1; }), "");
}

}  // namespace
}  // namespace weir
