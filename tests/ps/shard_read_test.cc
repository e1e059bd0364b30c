// SPDX-License-Identifier: Apache-2.0
// Reading from a shard: bind, pull, sync, waits and first weights.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <limits>
#include <memory>

#include "core/initializer.h"
#include "tests/ps/shard_harness.h"

namespace weir {
namespace {

using ::testing::HasSubstr;

constexpr InitializerSpec kNormal{InitializerSpec::Kind::kNormal, 0, 1};

ShardHarness::Options TwoTensors() {
  ShardHarness::Options options;
  options.shard.epoch = 5;
  options.shard.seed = 11;
  options.tensors = {{"w", {4, 15}, kNormal}, {"b", {3}, kNormal}};  // slices: 16, 16, 16, 12; 3
  return options;
}

class ShardReadTest : public testing::Test {
 protected:
  // Commits one step of `slice`: SGD with rate 0.01 on a gradient of `value`.
  void Step(uint32_t slice, float value = 1.0f) {
    const uint64_t sequence = ++sequence_;
    EXPECT_EQ(
        harness.PushReply(worker, harness.Send(worker, harness.PushOf(1, sequence, slice, value)))
            .outcome,
        Outcome::kApplied);
  }
  std::vector<float> Initial(const TensorShape& tensor) {
    std::vector<float> values(static_cast<size_t>(tensor.count()));
    Initialize(tensor, 11, 0, values.size(), values.data());
    return values;
  }
  std::string PullError(const PullFrame& pull) {
    const ErrorReplyFrame error = harness.ErrorReply(worker, harness.Send(worker, pull));
    EXPECT_EQ(error.outcome, Outcome::kInvalid);
    return error.reason;
  }

  ShardHarness harness{TwoTensors()};
  uint64_t worker = harness.Connect(1);
  uint64_t sequence_ = 0;
};

TEST_F(ShardReadTest, FirstWeightsAreThoseOfTheInitializerWhateverTheSlices) {
  const std::vector<float> expected = Initial(TwoTensors().tensors[0]);
  PullFrame pull;
  pull.layer_name = "w";
  const std::vector<ServerFrame> answers = harness.Answers(worker, harness.Send(worker, pull));
  ASSERT_EQ(answers.size(), 4u);
  std::vector<float> all;
  for (size_t i = 0; i < answers.size(); ++i) {
    const auto& reply = std::get<PullReplyFrame>(answers[i].kind);
    EXPECT_EQ(reply.remaining, 3 - i);
    EXPECT_EQ(reply.layer_name, "w");
    EXPECT_EQ(reply.tensor_id, 1u);
    EXPECT_EQ(reply.offset, all.size());
    EXPECT_EQ(reply.codec, Codec::kF32);
    const std::vector<float> values = Floats(reply.tensor_data);
    EXPECT_EQ(reply.count, values.size());
    all.insert(all.end(), values.begin(), values.end());
  }
  EXPECT_EQ(all, expected);
}

TEST_F(ShardReadTest, BindNamesTensorsAndTheirSlicesHere) {
  const auto bound = [&](const BindFrame& bind) {
    const std::vector<ServerFrame> answers = harness.Answers(worker, harness.Send(worker, bind));
    EXPECT_EQ(answers.size(), 1u);
    return std::get<BindReplyFrame>(answers[0].kind);
  };
  const BindReplyFrame one = bound({{"b"}});
  ASSERT_EQ(one.bindings.size(), 1u);
  EXPECT_EQ(one.bindings[0].tensor_id, 2u);
  EXPECT_EQ(one.bindings[0].shape, std::vector<int64_t>{3});
  ASSERT_EQ(one.slices.size(), 1u);
  EXPECT_EQ(one.slices[0], (SliceSpec{2, 0, 3, 0}));
  const BindReplyFrame all = bound({});
  EXPECT_EQ(all.bindings.size(), 2u);
  EXPECT_EQ(all.slices.size(), 5u);
}

TEST_F(ShardReadTest, BindOfAnUnknownNameIsInvalid) {
  EXPECT_THAT(harness.ErrorReply(worker, harness.Send(worker, BindFrame{{"b", "nope"}})).reason,
              HasSubstr("'nope'"));
  EXPECT_THAT(harness.ErrorReply(worker, harness.Send(worker, BindFrame{{""}})).reason,
              HasSubstr("empty"));
}

TEST_F(ShardReadTest, BindNeverMakesAFrameBeyondTheLimit) {
  ShardHarness::Options options = TwoTensors();
  options.shard.limits.max_frame_bytes = 1200;
  for (int i = 0; i < 20; ++i) options.tensors.push_back({"tensor" + std::to_string(i), {3}, {}});
  ShardHarness small(options);
  const uint64_t session = small.Connect(1);
  EXPECT_THAT(small.ErrorReply(session, small.Send(session, BindFrame())).reason,
              HasSubstr("fewer names"));
}

TEST_F(ShardReadTest, APulledSliceIsOneVersionHoweverManyCommitsCome) {
  const PullReplyFrame before = harness.PullReply(worker, harness.Send(worker, harness.PullOf(0)));
  const std::vector<float> values = Floats(before.tensor_data);
  for (int i = 0; i < 5; ++i) Step(0);
  EXPECT_EQ(before.version, 0u);
  EXPECT_EQ(Floats(before.tensor_data), values);  // still those of version 0, whole
  const PullReplyFrame after = harness.PullReply(worker, harness.Send(worker, harness.PullOf(0)));
  EXPECT_EQ(after.version, 5u);
  EXPECT_NE(Floats(after.tensor_data), values);
}

TEST_F(ShardReadTest, AnswersShareTheBufferOfTheSlice) {
  const PullReplyFrame reply = harness.PullReply(worker, harness.Send(worker, harness.PullOf(0)));
  ASSERT_EQ(reply.tensor_data.chunks().size(), 1u);
  EXPECT_EQ(reply.tensor_data.chunks()[0].data, harness.shard.snapshot(0).weights.data());
}

TEST_F(ShardReadTest, HaveBringsValuesOnlyWhenTheyDiffer) {
  PullReplyFrame reply =
      harness.PullReply(worker, harness.Send(worker, harness.PullOf(0, PullCondition::kHave, 0)));
  EXPECT_TRUE(reply.not_modified);
  EXPECT_EQ(reply.version, 0u);
  EXPECT_TRUE(reply.tensor_data.empty());
  Step(0);
  reply =
      harness.PullReply(worker, harness.Send(worker, harness.PullOf(0, PullCondition::kHave, 0)));
  EXPECT_FALSE(reply.not_modified);
  EXPECT_EQ(reply.version, 1u);
  EXPECT_EQ(reply.tensor_data.size(), 64u);
}

TEST_F(ShardReadTest, ExpectBringsThatVersionOrStale) {
  PullReplyFrame reply =
      harness.PullReply(worker, harness.Send(worker, harness.PullOf(0, PullCondition::kExpect, 1)));
  EXPECT_TRUE(reply.stale);
  EXPECT_EQ(reply.version, 0u);
  EXPECT_TRUE(reply.tensor_data.empty());
  Step(0);
  reply =
      harness.PullReply(worker, harness.Send(worker, harness.PullOf(0, PullCondition::kExpect, 1)));
  EXPECT_FALSE(reply.stale);
  EXPECT_EQ(reply.tensor_data.size(), 64u);
  EXPECT_TRUE(
      harness.PullReply(worker, harness.Send(worker, harness.PullOf(0, PullCondition::kExpect, 0)))
          .stale);
}

TEST_F(ShardReadTest, AStepIsServedFromTheVersionBeforeAndOlderOnesAreStale) {
  const std::vector<float> zero = harness.Weights(0);
  Step(0);
  PullReplyFrame reply =
      harness.PullReply(worker, harness.Send(worker, harness.PullOf(0, PullCondition::kStep, 0)));
  EXPECT_EQ(reply.version, 0u);
  EXPECT_FALSE(reply.stale);
  EXPECT_EQ(Floats(reply.tensor_data), zero);
  reply =
      harness.PullReply(worker, harness.Send(worker, harness.PullOf(0, PullCondition::kStep, 1)));
  EXPECT_EQ(reply.version, 1u);
  Step(0);
  reply =
      harness.PullReply(worker, harness.Send(worker, harness.PullOf(0, PullCondition::kStep, 0)));
  EXPECT_TRUE(reply.stale);
  EXPECT_EQ(reply.version, 2u);
  EXPECT_TRUE(reply.tensor_data.empty());
}

TEST_F(ShardReadTest, AWaitingPullIsAnsweredAtTheCommitWithExactlyItsVersion) {
  const uint64_t waiting = harness.Send(worker, harness.PullOf(0, PullCondition::kStep, 2));
  Step(0);
  EXPECT_FALSE(harness.HasAnswer(worker, waiting));
  Step(1);
  EXPECT_FALSE(harness.HasAnswer(worker, waiting));
  Step(0);
  const PullReplyFrame reply = harness.PullReply(worker, waiting);
  EXPECT_EQ(reply.version, 2u);
  EXPECT_EQ(Floats(reply.tensor_data), harness.Weights(0));
}

TEST_F(ShardReadTest, AWaitThatEndsByItsDeadlineNamesTheMissingParts) {
  const uint64_t waiting =
      harness.Send(worker, harness.PullOf(0, PullCondition::kStep, 1), /*deadline_ms=*/500);
  EXPECT_EQ(harness.shard.NextDeadline(), harness.now + absl::Milliseconds(500));
  harness.Pass(absl::Milliseconds(499));
  EXPECT_FALSE(harness.HasAnswer(worker, waiting));
  harness.Pass(absl::Milliseconds(1));
  const ErrorReplyFrame error = harness.ErrorReply(worker, waiting);
  EXPECT_EQ(error.outcome, Outcome::kPending);
  EXPECT_EQ(error.reason, "step 0 waits for part 0 (never seen)");
  Step(0);
  EXPECT_FALSE(harness.HasAnswer(worker, waiting));  // answered once
}

TEST_F(ShardReadTest, NoWaitIsLongerThanTheShardsOwnLimit) {
  const uint64_t forever =
      harness.Send(worker, harness.PullOf(0, PullCondition::kStep, 1), /*deadline_ms=*/0xffffffff);
  const uint64_t unspecified = harness.Send(worker, harness.PullOf(0, PullCondition::kStep, 1));
  harness.Pass(absl::Seconds(60));
  EXPECT_EQ(harness.ErrorReply(worker, forever).outcome, Outcome::kPending);
  EXPECT_EQ(harness.ErrorReply(worker, unspecified).outcome, Outcome::kPending);
}

TEST_F(ShardReadTest, AWaitingSessionThatIsGoneIsForgotten) {
  const uint64_t waiting = harness.Send(worker, harness.PullOf(0, PullCondition::kStep, 1));
  harness.Disconnect(worker);
  EXPECT_EQ(harness.shard.NextDeadline(), absl::InfiniteFuture());
  worker = harness.Connect(1, 1, 2);
  Step(0);
  EXPECT_FALSE(harness.HasAnswer(worker, waiting));
}

TEST_F(ShardReadTest, PullsThatCannotBeServedSayWhy) {
  PullFrame pull = harness.PullOf(0);
  pull.tensor_id = 3;
  EXPECT_THAT(PullError(pull), HasSubstr("no tensor has the id 3"));
  pull = harness.PullOf(0);
  pull.layer_name = "nope";
  EXPECT_THAT(PullError(pull), HasSubstr("no tensor is named 'nope'"));
  pull = harness.PullOf(0);
  pull.codec = static_cast<Codec>(7);
  EXPECT_THAT(PullError(pull), HasSubstr("unsupported codec 7"));
  pull = harness.PullOf(0);
  pull.condition = static_cast<PullCondition>(9);
  EXPECT_THAT(PullError(pull), HasSubstr("unsupported condition 9"));
  pull = harness.PullOf(0);
  pull.worker_id = 8;
  EXPECT_THAT(PullError(pull), HasSubstr("a pull of worker 8 in a session of worker 1"));
  pull = harness.PullOf(0);
  pull.offset = 60;
  pull.count = 1;
  EXPECT_THAT(PullError(pull), HasSubstr("not within tensor 'w' of 60"));
  pull.offset = 59;
  pull.count = ~uint64_t{0};
  EXPECT_THAT(PullError(pull), HasSubstr("not within tensor 'w'"));
  pull.offset = 1;
  pull.count = 16;
  EXPECT_THAT(PullError(pull), HasSubstr("holds no slice of tensor 'w' that lies in [1, 17)"));
}

TEST_F(ShardReadTest, SyncBringsEverySliceAtOnce) {
  Step(1);
  const std::vector<ServerFrame> answers =
      harness.Answers(worker, harness.Send(worker, SyncFrame()));
  ASSERT_EQ(answers.size(), 5u);
  for (size_t i = 0; i < answers.size(); ++i) {
    const auto& reply = std::get<PullReplyFrame>(answers[i].kind);
    EXPECT_EQ(reply.remaining, 4 - i);
    EXPECT_EQ(reply.version, i == 1 ? 1u : 0u);
    EXPECT_EQ(Floats(reply.tensor_data), harness.Weights(static_cast<uint32_t>(i)));
  }
}

TEST_F(ShardReadTest, SyncOfNamedTensorsBringsTheseOnce) {
  SyncFrame sync;
  sync.tensor_ids = {2, 2};
  EXPECT_EQ(harness.PullReply(worker, harness.Send(worker, sync)).tensor_id, 2u);
  sync.tensor_ids = {2, 9};
  EXPECT_THAT(harness.ErrorReply(worker, harness.Send(worker, sync)).reason,
              HasSubstr("no tensor has the id 9"));
}

TEST_F(ShardReadTest, SyncAtAStepWaitsForEverySliceAndEndsOnce) {
  SyncFrame sync;
  sync.at_step = true;
  sync.step = 1;
  const uint64_t request = harness.Send(worker, sync, /*deadline_ms=*/1000);
  for (uint32_t slice = 0; slice < 4; ++slice) Step(slice);
  EXPECT_EQ(harness.Answers(worker, request).size(), 4u);
  harness.Pass(absl::Seconds(1));
  EXPECT_EQ(harness.ErrorReply(worker, request).outcome, Outcome::kPending);
  const uint64_t again = harness.Send(worker, sync);
  EXPECT_EQ(harness.Answers(worker, again).size(), 4u);
  Step(4);
  const std::vector<ServerFrame> last = harness.Answers(worker, again);
  ASSERT_EQ(last.size(), 1u);
  EXPECT_EQ(std::get<PullReplyFrame>(last[0].kind).remaining, 0u);
  EXPECT_EQ(std::get<PullReplyFrame>(last[0].kind).version, 1u);
}

TEST_F(ShardReadTest, NothingIsServedBeforeTheFirstWeightsAreThere) {
  ShardHarness::Options options = TwoTensors();
  options.install = false;
  ShardHarness fresh(options);
  const uint64_t session = fresh.Connect(1);
  EXPECT_FALSE(fresh.shard.status().serving);
  EXPECT_EQ(fresh.shard.status().waits_for, "a layout");
  const ErrorReplyFrame error = fresh.ErrorReply(session, fresh.Send(session, SyncFrame()));
  EXPECT_EQ(error.outcome, Outcome::kOverloaded);
  EXPECT_EQ(error.reason, "not serving yet: waits for a layout");
  fresh.jobs_run_at_once = false;
  ASSERT_TRUE(fresh.Install(5).ok());
  EXPECT_EQ(fresh.shard.status().waits_for, "the first weights of 5 slices");
  const PushReplyFrame push =
      fresh.PushReply(session, fresh.Send(session, fresh.PushOf(1, 1, 0, 1.0f)));
  EXPECT_EQ(push.outcome, Outcome::kOverloaded);
  EXPECT_GT(push.retry_after_ms, 0u);
  EXPECT_EQ(fresh.shard.totals().overloaded, 1u);
  fresh.RunJobs();
  EXPECT_TRUE(fresh.shard.status().serving);
  EXPECT_EQ(fresh.Answers(session, fresh.Send(session, SyncFrame())).size(), 5u);
}

TEST_F(ShardReadTest, LayoutsThatCannotBeServedAreRefused) {
  ShardHarness::Options options = TwoTensors();
  options.install = false;
  ShardHarness fresh(options);
  Effects effects;
  Layout layout = *MakeLayout(options.tensors, 64, 1, 5);
  layout.slices.pop_back();
  EXPECT_EQ(fresh.shard.Install(layout, fresh.now, &effects).code(),
            absl::StatusCode::kInvalidArgument);
  layout = *MakeLayout({{"w", {8 << 20}, {}}}, 4 << 20, 1, 5);
  EXPECT_THAT(std::string(fresh.shard.Install(layout, fresh.now, &effects).message()),
              HasSubstr("fits no frame"));
  layout = *MakeLayout({{"w", {8}, {InitializerSpec::Kind::kUniform, 3, 1}}}, 64, 1, 5);
  EXPECT_THAT(std::string(fresh.shard.Install(layout, fresh.now, &effects).message()),
              HasSubstr("tensor 'w'"));
  EXPECT_TRUE(effects.empty());
  EXPECT_TRUE(fresh.Install(5).ok());
}

Payload PayloadOf(const std::vector<float>& values) {
  const auto owner = std::make_shared<std::vector<float>>(values);
  Payload payload;
  const char* bytes = reinterpret_cast<const char*>(owner->data());
  payload.Append(bytes, 7, owner);  // cut through a float
  payload.Append(bytes + 7, owner->size() * sizeof(float) - 7, owner);
  return payload;
}

TEST(ShardInitWeightsTest, GivenWeightsTakeThePlaceOfTheInitializers) {
  ShardHarness::Options options = TwoTensors();
  std::vector<float> w(60);
  for (size_t i = 0; i < w.size(); ++i) w[i] = static_cast<float>(i);
  options.shard.init_weights = {{"w", PayloadOf(w)}, {"b", PayloadOf({1, 2, 3})}};
  ShardHarness harness(options);
  EXPECT_EQ(harness.Weights(1), std::vector<float>(w.begin() + 16, w.begin() + 32));
  EXPECT_EQ(harness.Weights(4), (std::vector<float>{1, 2, 3}));
}

TEST(ShardInitWeightsTest, EveryMismatchIsListed) {
  ShardHarness::Options options = TwoTensors();
  options.install = false;
  options.shard.init_weights = {{"w", PayloadOf({1, 2, 3})}, {"c", PayloadOf({1, 2, 3})}};
  ShardHarness harness(options);
  const std::string message(harness.Install(5).message());
  EXPECT_THAT(message, HasSubstr("3 places"));
  EXPECT_THAT(message, HasSubstr("'w' has 12 bytes, not 240"));
  EXPECT_THAT(message, HasSubstr("'b' is not there"));
  EXPECT_THAT(message, HasSubstr("'c' is not in the model"));
}

TEST(ShardInitWeightsTest, GivenWeightsWithNaNAreNeverServed) {
  ShardHarness::Options options = TwoTensors();
  std::vector<float> w(60, 1.0f);
  w[20] = std::numeric_limits<float>::quiet_NaN();
  options.shard.init_weights = {{"w", PayloadOf(w)}, {"b", PayloadOf({1, 2, 3})}};
  ShardHarness harness(options);
  EXPECT_FALSE(harness.shard.status().serving);
  EXPECT_THAT(harness.shard.status().failure,
              HasSubstr("tensor 'w' hold NaN or infinity in [16, 32)"));
}

TEST(ShardEmptyTest, AShardWithoutSlicesServesNothingAndSaysSo) {
  ShardHarness::Options options;
  options.tensors = {{"b", {3}, {}}};
  options.shard.shard = 1;
  options.shards = 2;
  ShardHarness harness(options);
  EXPECT_TRUE(harness.shard.status().serving);
  const uint64_t session = harness.Connect(1);
  EXPECT_THAT(harness.ErrorReply(session, harness.Send(session, SyncFrame())).reason,
              HasSubstr("shard 1 holds no slice"));
  PullFrame pull;
  pull.tensor_id = 1;
  EXPECT_THAT(harness.ErrorReply(session, harness.Send(session, pull)).reason,
              HasSubstr("shard 1 holds no slice"));
}

}  // namespace
}  // namespace weir
