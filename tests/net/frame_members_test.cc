// SPDX-License-Identifier: Apache-2.0
// Each member of each kind of frame, under the name that the protocol gives it: random frames
// cannot tell two members that changed places in both directions.
#include <gtest/gtest.h>

#include <algorithm>
#include <cctype>
#include <string>
#include <vector>

#include "net/frame_codec.h"
#include "tests/net/frame_samples.h"
#include "weir/v1/parameter_service.pb.h"

namespace weir {
namespace {

using testing::Flatten;
using testing::Whole;

TEST(FrameMembersTest, HelloAndItsAnswerCarryEachMemberUnderItsName) {
  v1::ClientFrame message;
  message.set_request_id(1);
  message.set_deadline_ms(2);
  message.set_epoch(3);
  message.set_trace_id(4);
  v1::Hello* hello = message.mutable_hello();
  hello->set_protocol_min(5);
  hello->set_protocol_max(6);
  hello->set_features(7);
  hello->set_job_id("job");
  hello->set_job_token("token");
  hello->set_role(v1::ROLE_READER);
  hello->set_worker_id(8);
  hello->set_incarnation(9);
  hello->set_session_nonce(10);
  hello->set_lane(11);
  hello->set_shard(12);
  hello->set_build_id("build");
  const auto frame = DecodeClientFrame(Whole(message.SerializeAsString()));
  ASSERT_TRUE(frame.ok()) << frame.status();
  EXPECT_EQ(frame->request_id, 1);
  EXPECT_EQ(frame->deadline_ms, 2);
  EXPECT_EQ(frame->epoch, 3);
  EXPECT_EQ(frame->trace_id, 4);
  const auto& read = std::get<HelloFrame>(frame->kind);
  EXPECT_EQ(read.protocol_min, 5);
  EXPECT_EQ(read.protocol_max, 6);
  EXPECT_EQ(read.features, 7);
  EXPECT_EQ(read.job_id, "job");
  EXPECT_EQ(read.job_token, "token");
  EXPECT_EQ(read.role, SessionRole::kReader);
  EXPECT_EQ(read.worker_id, 8);
  EXPECT_EQ(read.incarnation, 9);
  EXPECT_EQ(read.session_nonce, 10);
  EXPECT_EQ(read.lane, 11);
  EXPECT_EQ(read.shard, 12);
  EXPECT_EQ(read.build_id, "build");
}

TEST(FrameMembersTest, HelloReplyCarriesEachMemberUnderItsName) {
  ServerFrame frame;
  frame.request_id = 1;
  frame.epoch = 2;
  frame.trace_id = 3;
  frame.push_bytes_released = 4;
  HelloReplyFrame reply;
  reply.protocol = 5;
  reply.features = 6;
  reply.shard = 7;
  reply.mode = v1::MODE_ASP;
  reply.gradient_shards = 8;
  reply.max_requests = 9;
  reply.max_push_bytes = 10;
  reply.max_reply_bytes = 11;
  reply.max_frame_bytes = 12;
  reply.max_wait_ms = 13;
  reply.write_timeout_ms = 14;
  reply.last_sequence = 15;
  reply.last_batch = 16;
  reply.has_max_staleness = true;
  reply.max_staleness = 17;
  reply.build_id = "build";
  reply.shm_socket = "/run/s";
  reply.shm_key = "\xff key";
  reply.next_batch = 18;
  reply.clock = 19;
  frame.kind = reply;
  v1::ServerFrame message;
  ASSERT_TRUE(message.ParseFromString(Flatten(EncodeFrame(frame))));
  EXPECT_EQ(message.request_id(), 1);
  EXPECT_EQ(message.epoch(), 2);
  EXPECT_EQ(message.trace_id(), 3);
  EXPECT_EQ(message.push_bytes_released(), 4);
  const v1::HelloReply& read = message.hello_reply();
  EXPECT_EQ(read.protocol(), 5);
  EXPECT_EQ(read.features(), 6);
  EXPECT_EQ(read.shard(), 7);
  EXPECT_EQ(read.mode(), v1::MODE_ASP);
  EXPECT_EQ(read.gradient_shards(), 8);
  EXPECT_EQ(read.max_requests(), 9);
  EXPECT_EQ(read.max_push_bytes(), 10);
  EXPECT_EQ(read.max_reply_bytes(), 11);
  EXPECT_EQ(read.max_frame_bytes(), 12);
  EXPECT_EQ(read.max_wait_ms(), 13);
  EXPECT_EQ(read.write_timeout_ms(), 14);
  EXPECT_EQ(read.last_sequence(), 15);
  EXPECT_EQ(read.last_batch(), 16);
  EXPECT_TRUE(read.has_max_staleness());
  EXPECT_EQ(read.max_staleness(), 17);
  EXPECT_EQ(read.build_id(), "build");
  EXPECT_EQ(read.shm_socket(), "/run/s");
  EXPECT_EQ(read.shm_key(), "\xff key");
  EXPECT_EQ(read.next_batch(), 18);
  EXPECT_EQ(read.clock(), 19);
}

TEST(FrameMembersTest, PullAndItsReplyCarryEachMemberUnderItsName) {
  ClientFrame frame;
  PullFrame pull;
  pull.layer_name = "fc/w";
  pull.tensor_id = 1;
  pull.worker_id = 2;
  pull.version = 3;
  pull.condition = PullCondition::kStep;
  pull.offset = 4;
  pull.count = 5;
  pull.codec = Codec::kF32;
  frame.kind = pull;
  v1::ClientFrame message;
  ASSERT_TRUE(message.ParseFromString(Flatten(EncodeFrame(frame))));
  EXPECT_EQ(message.pull().layer_name(), "fc/w");
  EXPECT_EQ(message.pull().tensor_id(), 1);
  EXPECT_EQ(message.pull().worker_id(), 2);
  EXPECT_EQ(message.pull().version(), 3);
  EXPECT_EQ(message.pull().condition(), v1::Pull::CONDITION_STEP);
  EXPECT_EQ(message.pull().offset(), 4);
  EXPECT_EQ(message.pull().count(), 5);
  EXPECT_EQ(message.pull().codec(), v1::CODEC_F32);

  v1::ServerFrame answer;
  v1::PullReply* reply = answer.mutable_pull_reply();
  reply->set_layer_name("fc/b");
  reply->set_tensor_id(1);
  reply->set_version(2);
  reply->set_stale(true);
  reply->set_offset(3);
  reply->set_count(4);
  reply->set_remaining(5);
  reply->set_codec(v1::CODEC_F32);
  reply->set_tensor_data("data");
  auto read = DecodeServerFrame(Whole(answer.SerializeAsString()));
  ASSERT_TRUE(read.ok()) << read.status();
  const auto& got = std::get<PullReplyFrame>(read->kind);
  EXPECT_EQ(got.layer_name, "fc/b");
  EXPECT_EQ(got.tensor_id, 1);
  EXPECT_EQ(got.version, 2);
  EXPECT_TRUE(got.stale);
  EXPECT_FALSE(got.not_modified);
  EXPECT_EQ(got.offset, 3);
  EXPECT_EQ(got.count, 4);
  EXPECT_EQ(got.remaining, 5);
  EXPECT_EQ(got.codec, Codec::kF32);
  EXPECT_EQ(Flatten(got.tensor_data), "data");
}

TEST(FrameMembersTest, PushAndItsReplyCarryEachMemberUnderItsName) {
  ClientFrame frame;
  PushFrame push;
  push.layer_name = "fc/w";
  push.tensor_id = 1;
  push.worker_id = 2;
  push.sequence = 3;
  push.lowest_pending = 4;
  push.base_version = 5;
  push.atomicity = Atomicity::kSlice;
  push.offset = 6;
  push.count = 7;
  push.step = 8;
  push.first_part = 9;
  push.parts = 10;
  push.batch = 11;
  push.examples = 12;
  push.codec = Codec::kF32;
  push.want_values = true;
  push.learning_rate = 0.125;
  push.values_codec = Codec::kBf16;
  push.gradient = Whole("gradient");
  frame.kind = push;
  v1::ClientFrame message;
  ASSERT_TRUE(message.ParseFromString(Flatten(EncodeFrame(frame))));
  const v1::Push& read = message.push();
  EXPECT_EQ(read.layer_name(), "fc/w");
  EXPECT_EQ(read.tensor_id(), 1);
  EXPECT_EQ(read.worker_id(), 2);
  EXPECT_EQ(read.sequence(), 3);
  EXPECT_EQ(read.lowest_pending(), 4);
  EXPECT_EQ(read.base_version(), 5);
  EXPECT_EQ(read.atomicity(), v1::ATOMICITY_SLICE);
  EXPECT_EQ(read.offset(), 6);
  EXPECT_EQ(read.count(), 7);
  EXPECT_EQ(read.step(), 8);
  EXPECT_EQ(read.first_part(), 9);
  EXPECT_EQ(read.parts(), 10);
  EXPECT_EQ(read.batch(), 11);
  EXPECT_EQ(read.examples(), 12);
  EXPECT_EQ(read.codec(), v1::CODEC_F32);
  EXPECT_TRUE(read.want_values());
  EXPECT_EQ(read.learning_rate(), 0.125);
  EXPECT_EQ(read.values_codec(), v1::CODEC_BF16);
  EXPECT_EQ(read.gradient(), "gradient");

  v1::ServerFrame answer;
  v1::PushReply* reply = answer.mutable_push_reply();
  reply->set_sequence(1);
  reply->set_tensor_id(2);
  reply->set_offset(3);
  reply->set_outcome(v1::OUTCOME_DUPLICATE);
  reply->set_first(v1::OUTCOME_APPLIED);
  reply->set_version(4);
  reply->set_count(5);
  reply->set_retry_after_ms(6);
  reply->set_reason("because");
  reply->set_codec(v1::CODEC_F32);
  reply->set_clocks_ahead(7);
  reply->set_tensor_data("values");
  auto decoded = DecodeServerFrame(Whole(answer.SerializeAsString()));
  ASSERT_TRUE(decoded.ok()) << decoded.status();
  const auto& got = std::get<PushReplyFrame>(decoded->kind);
  EXPECT_EQ(got.sequence, 1);
  EXPECT_EQ(got.tensor_id, 2);
  EXPECT_EQ(got.offset, 3);
  EXPECT_EQ(got.outcome, Outcome::kDuplicate);
  EXPECT_EQ(got.first, Outcome::kApplied);
  EXPECT_EQ(got.version, 4);
  EXPECT_EQ(got.count, 5);
  EXPECT_EQ(got.retry_after_ms, 6);
  EXPECT_EQ(got.reason, "because");
  EXPECT_EQ(got.codec, Codec::kF32);
  EXPECT_EQ(got.clocks_ahead, 7);
  EXPECT_EQ(Flatten(got.tensor_data), "values");
}

TEST(FrameMembersTest, BindReplyCarriesEachMemberUnderItsName) {
  v1::ServerFrame answer;
  auto* binding = answer.mutable_bind_reply()->add_bindings();
  binding->set_layer_name("fc/w");
  binding->set_tensor_id(1);
  binding->add_shape(2);
  binding->add_shape(3);
  auto* slice = answer.mutable_bind_reply()->add_slices();
  slice->set_tensor_id(4);
  slice->set_offset(5);
  slice->set_count(6);
  slice->set_shard(7);
  auto decoded = DecodeServerFrame(Whole(answer.SerializeAsString()));
  ASSERT_TRUE(decoded.ok()) << decoded.status();
  const auto& got = std::get<BindReplyFrame>(decoded->kind);
  ASSERT_EQ(got.bindings.size(), 1);
  EXPECT_EQ(got.bindings[0].layer_name, "fc/w");
  EXPECT_EQ(got.bindings[0].tensor_id, 1);
  EXPECT_EQ(got.bindings[0].shape, (std::vector<int64_t>{2, 3}));
  ASSERT_EQ(got.slices.size(), 1);
  EXPECT_EQ(got.slices[0], (SliceSpec{4, 5, 6, 7}));
}

TEST(FrameMembersTest, TheSmallKindsCarryEachMemberUnderItsName) {
  ClientFrame frame;
  v1::ClientFrame message;
  frame.kind = BindFrame{{"a", "b"}};
  ASSERT_TRUE(message.ParseFromString(Flatten(EncodeFrame(frame))));
  EXPECT_EQ(message.bind().layer_name(1), "b");
  frame.kind = SyncFrame{{7, 8}, true, 9, true};
  ASSERT_TRUE(message.ParseFromString(Flatten(EncodeFrame(frame))));
  EXPECT_EQ(message.sync().tensor_id(1), 8);
  EXPECT_TRUE(message.sync().at_step());
  EXPECT_EQ(message.sync().step(), 9);
  EXPECT_TRUE(message.sync().encoded());
  frame.kind = PutStateFrame{5, Whole("state")};
  ASSERT_TRUE(message.ParseFromString(Flatten(EncodeFrame(frame))));
  EXPECT_EQ(message.put_state().sequence(), 5);
  EXPECT_EQ(message.put_state().state(), "state");
  frame.kind = LeaveFrame();
  ASSERT_TRUE(message.ParseFromString(Flatten(EncodeFrame(frame))));
  EXPECT_TRUE(message.has_leave());
  frame.kind = GetStateFrame();
  ASSERT_TRUE(message.ParseFromString(Flatten(EncodeFrame(frame))));
  EXPECT_TRUE(message.has_get_state());

  ServerFrame reply;
  v1::ServerFrame answer;
  reply.kind = ErrorReplyFrame{Outcome::kFenced, "stop"};
  ASSERT_TRUE(answer.ParseFromString(Flatten(EncodeFrame(reply))));
  EXPECT_EQ(answer.error().outcome(), v1::OUTCOME_FENCED);
  EXPECT_EQ(answer.error().reason(), "stop");
  reply.kind = StateReplyFrame{6, Whole("state")};
  ASSERT_TRUE(answer.ParseFromString(Flatten(EncodeFrame(reply))));
  EXPECT_EQ(answer.state_reply().sequence(), 6);
  EXPECT_EQ(answer.state_reply().state(), "state");
  reply.kind = CreditFrame();
  ASSERT_TRUE(answer.ParseFromString(Flatten(EncodeFrame(reply))));
  EXPECT_TRUE(answer.has_credit());
  reply.kind = LeaveReplyFrame();
  ASSERT_TRUE(answer.ParseFromString(Flatten(EncodeFrame(reply))));
  EXPECT_TRUE(answer.has_leave_reply());
}

TEST(FrameMembersTest, APushPullIsAPushThatAlwaysWantsValues) {
  v1::ClientFrame message;
  message.mutable_push_pull()->mutable_push()->set_sequence(7);
  const auto frame = DecodeClientFrame(Whole(message.SerializeAsString()));
  ASSERT_TRUE(frame.ok()) << frame.status();
  const auto& push = std::get<PushFrame>(frame->kind);
  EXPECT_TRUE(push.is_push_pull);
  EXPECT_TRUE(push.want_values);
  EXPECT_EQ(push.sequence, 7);
}

TEST(FrameMembersTest, WhatAHelloLeavesOutIsZero) {
  v1::ClientFrame message;
  message.mutable_hello()->set_shard(3);
  const auto frame = DecodeClientFrame(Whole(message.SerializeAsString()));
  ASSERT_TRUE(frame.ok()) << frame.status();
  EXPECT_EQ(std::get<HelloFrame>(frame->kind).protocol_min, 0);
  EXPECT_EQ(std::get<HelloFrame>(frame->kind).protocol_max, 0);
}

// ---- Numbers and names that the wire shares with us.

TEST(CodecTest, EveryCodecHasItsNumberOnTheWire) {
  EXPECT_EQ(static_cast<int>(Codec::kUnspecified), v1::CODEC_UNSPECIFIED);
  EXPECT_EQ(static_cast<int>(Codec::kF32), v1::CODEC_F32);
  EXPECT_EQ(static_cast<int>(Codec::kF16), v1::CODEC_F16);
  EXPECT_EQ(static_cast<int>(Codec::kBf16), v1::CODEC_BF16);
  EXPECT_EQ(static_cast<int>(Codec::kInt8), v1::CODEC_INT8);
  EXPECT_EQ(v1::Codec_MAX, v1::CODEC_INT8);
}

TEST(OutcomeNameTest, EveryOutcomeHasItsWireName) {
  for (int i = v1::Outcome_MIN; i <= v1::Outcome_MAX; ++i) {
    std::string name = v1::Outcome_Name(i).substr(8);
    std::transform(name.begin(), name.end(), name.begin(),
                   [](char c) { return static_cast<char>(std::tolower(c)); });
    EXPECT_EQ(OutcomeName(static_cast<Outcome>(i)), name);
  }
  EXPECT_STREQ(OutcomeName(static_cast<Outcome>(99)), "unknown");
}

}  // namespace
}  // namespace weir
