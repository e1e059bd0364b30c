// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_TESTS_WORKER_CLIENT_HARNESS_H_
#define WEIR_TESTS_WORKER_CLIENT_HARNESS_H_

#include <gtest/gtest.h>

#include <cstring>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/layout.h"
#include "worker/client.h"

namespace weir {

// A Client whose servers are the test: frames sent are kept by shard, answers are given by hand,
// time moves when told.
//
// The layout: tensor 0 "a" of 8 elements in slices [0,4) on shard 0 and [4,8) on shard 1; tensor 1
// "b" of 4 elements on shard 0.
class ClientHarness : public ::testing::Test {
 protected:
  ClientHarness() { options_.job_id = std::string(16, 'j'); }

  static Layout MakeTestLayout(uint64_t epoch) {
    Layout layout;
    layout.epoch = epoch;
    layout.tensors = {{"a", {8}, {}}, {"b", {4}, {}}};
    layout.slices = {{1, 0, 4, 0}, {1, 4, 4, 1}, {2, 0, 4, 0}};
    layout.shard_addresses = {{"host0:1", "", ""}, {"host1:1", "", ""}};
    return layout;
  }

  // Makes the client. Without a layout nothing is connected yet.
  void Create() { client_.emplace(options_, &pool_); }

  // Makes the client, connects it and lets both shards say hello.
  void Start() {
    Create();
    SetLayout(1);
    for (uint32_t shard = 0; shard < 2; ++shard) Greet(shard);
  }

  void SetLayout(uint64_t epoch) {
    epoch_ = epoch;
    ClientEffects effects;
    Layout layout = MakeTestLayout(epoch);
    layout.codecs = codecs_;
    client_->SetLayout(layout, now_, &effects);
    Run(&effects);
  }

  // Answers connect, hello and bind of a shard.
  void Greet(uint32_t shard) {
    Connected(shard);
    const ClientFrame hello = Next(shard);
    ASSERT_TRUE(std::holds_alternative<HelloFrame>(hello.kind));
    HelloReplyFrame reply = hello_;
    reply.shard = shard;
    Answer(shard, hello.request_id, reply);
    AnswerBind(shard);
  }

  void Connected(uint32_t shard) {
    ClientEffects effects;
    client_->Connected(connections_.at(shard), now_, &effects);
    Run(&effects);
  }

  void AnswerBind(uint32_t shard) {
    const ClientFrame bind = Next(shard);
    ASSERT_TRUE(std::holds_alternative<BindFrame>(bind.kind));
    BindReplyFrame bound;
    bound.bindings = {{"a", 1, {8}}, {"b", 2, {4}}};
    for (const SliceSpec& slice : MakeTestLayout(1).slices) {
      if (slice.shard == shard) bound.slices.push_back(slice);
    }
    Answer(shard, bind.request_id, bound);
  }

  template <typename Kind>
  void Answer(uint32_t shard, uint64_t request_id, Kind kind) {
    ServerFrame frame;
    frame.request_id = request_id;
    frame.epoch = epoch_;
    frame.push_bytes_released = released_[shard];
    frame.kind = std::move(kind);
    Receive(shard, std::move(frame));
  }

  void Receive(uint32_t shard, ServerFrame frame) {
    ReceiveOn(connections_.at(shard), std::move(frame));
  }

  void ReceiveOn(uint64_t connection, ServerFrame frame) {
    ClientEffects effects;
    client_->Receive(connection, std::move(frame), now_, &effects);
    Run(&effects);
  }

  void Disconnect(uint32_t shard,
                  const absl::Status& why = absl::UnavailableError("connection reset")) {
    ClientEffects effects;
    client_->Disconnected(connections_.at(shard), why, now_, &effects);
    Run(&effects);
  }

  void Advance(absl::Duration time) {
    const absl::Time end = now_ + time;
    while (client_->NextTick() <= end) {
      now_ = std::max(now_, client_->NextTick());
      ClientEffects effects;
      client_->Tick(now_, &effects);
      Run(&effects);
    }
    now_ = end;
  }

  // The frame that was sent to `shard` next.
  ClientFrame Next(uint32_t shard) {
    if (sent_[shard].empty()) {
      ADD_FAILURE() << "nothing was sent to shard " << shard;
      return {};
    }
    ClientFrame frame = std::move(sent_[shard].front());
    sent_[shard].pop_front();
    return frame;
  }

  template <typename Kind>
  Kind NextAs(uint32_t shard, uint64_t* request_id) {
    ClientFrame frame = Next(shard);
    *request_id = frame.request_id;
    if (Kind* kind = std::get_if<Kind>(&frame.kind)) return std::move(*kind);
    ADD_FAILURE() << "another kind of frame: " << frame.kind.index();
    return {};
  }

  Payload Floats(std::vector<float> values) {
    const Buffer buffer = pool_.Allocate(values.size() * sizeof(float));
    std::memcpy(buffer.data(), values.data(), values.size() * sizeof(float));
    return Payload(buffer, 0, values.size() * sizeof(float));
  }

  static std::vector<float> FloatsOf(const Payload& payload) {
    std::vector<float> values(payload.size() / sizeof(float));
    payload.CopyTo(reinterpret_cast<char*>(values.data()));
    return values;
  }

  // Answers a pull of one slice.
  void AnswerPull(uint32_t shard, uint64_t version, float value) {
    uint64_t id = 0;
    const PullFrame pull = NextAs<PullFrame>(shard, &id);
    Answer(shard, id, Values(pull.tensor_id, pull.offset, version, value));
  }

  PullReplyFrame Values(uint32_t tensor_id, uint64_t offset, uint64_t version, float value) {
    PullReplyFrame reply;
    reply.tensor_id = tensor_id;
    reply.offset = offset;
    reply.count = 4;
    reply.version = version;
    reply.tensor_data = Floats({value, value, value, value});
    return reply;
  }

  static PushReplyFrame Outcomes(const PushFrame& push, Outcome outcome, uint64_t version) {
    PushReplyFrame reply;
    reply.sequence = push.sequence;
    reply.tensor_id = push.tensor_id;
    reply.offset = push.offset;
    reply.outcome = outcome;
    reply.version = version;
    return reply;
  }

  MutableTensorView ViewA() { return {a_.data(), ElementType::kFloat32, 8}; }
  MutableTensorView ViewB() { return {b_.data(), ElementType::kFloat32, 4}; }
  TensorView GradientA() { return {gradient_a_.data(), ElementType::kFloat32, 8}; }
  TensorView GradientB() { return {gradient_b_.data(), ElementType::kFloat32, 4}; }

  uint64_t Pull(std::vector<TensorPull> pulls, const PullOptions& options = {}) {
    ClientEffects effects;
    client_->Pull(++last_call_, std::move(pulls), options, now_, &effects);
    Run(&effects);
    return last_call_;
  }
  uint64_t Sync(std::vector<TensorPull> pulls, const PullOptions& options = {}) {
    ClientEffects effects;
    client_->Sync(++last_call_, std::move(pulls), options, now_, &effects);
    Run(&effects);
    return last_call_;
  }
  uint64_t Push(std::vector<TensorPush> pushes, PushOptions options = {},
                bool want_values = false) {
    std::vector<std::shared_ptr<const void>> copied(pushes.size());
    return PushFrom(std::move(copied), std::move(pushes), options, want_values);
  }
  uint64_t PushFrom(std::vector<std::shared_ptr<const void>> owners, std::vector<TensorPush> pushes,
                    PushOptions options = {}, bool want_values = false) {
    if (options.examples == 0) options.examples = 1;
    ClientEffects effects;
    client_->Push(++last_call_, std::move(pushes), std::move(owners), options, want_values, now_,
                  &effects);
    Run(&effects);
    return last_call_;
  }
  uint64_t PushB(PushOptions options = {}) { return Push({{1, GradientB()}}, options); }
  uint64_t NewSequence() {
    ClientEffects effects;
    client_->NewSequence(++last_call_, Deadline{0}, now_, &effects);
    Run(&effects);
    return last_call_;
  }

  bool Done(uint64_t call) const { return done_.count(call) != 0; }
  const CompleteEffect& Completion(uint64_t call) {
    if (!Done(call))
      ADD_FAILURE() << "call " << call << " has not ended; it " << client_->WaitsFor();
    return done_[call];
  }
  StatusCode Code(uint64_t call) { return Completion(call).status.code(); }
  std::string Message(uint64_t call) { return Completion(call).status.message(); }
  template <typename T>
  T Value(uint64_t call) {
    const CompleteEffect& done = Completion(call);
    EXPECT_TRUE(done.status.ok()) << done.status.ToString();
    const T* value = std::get_if<T>(&done.value);
    if (value == nullptr) ADD_FAILURE() << "another kind of value";
    return value != nullptr ? *value : T{};
  }

  void Run(ClientEffects* effects) {
    for (ClientEffect& effect : *effects) {
      if (auto* connect = std::get_if<ConnectEffect>(&effect)) {
        connections_[connect->shard] = connect->connection;
        sent_[connect->shard].clear();
        released_[connect->shard] = 0;
        ++connects_;
      } else if (auto* disconnect = std::get_if<DisconnectEffect>(&effect)) {
        disconnected_.push_back(disconnect->connection);
      } else if (auto* send = std::get_if<SendEffect>(&effect)) {
        EXPECT_EQ(send->connection, connections_[send->shard]);
        sent_[send->shard].push_back(std::move(send->frame));
      } else if (auto* deliver = std::get_if<DeliverEffect>(&effect)) {
        EXPECT_FALSE(Done(deliver->call)) << "memory written after the call had ended";
        DeliverValues(*deliver);
      } else if (auto* complete = std::get_if<CompleteEffect>(&effect)) {
        EXPECT_FALSE(Done(complete->call)) << "completed twice";
        done_[complete->call] = *complete;
      } else if (auto* fetch = std::get_if<FetchLayoutEffect>(&effect)) {
        fetches_.push_back(fetch->newer_than);
      }
    }
    effects->clear();
  }

  BufferPool pool_;
  ClientOptions options_;
  std::vector<TensorCodec> codecs_;  // of the layout
  HelloReplyFrame hello_ = [] {
    HelloReplyFrame hello;
    hello.protocol = 1;
    hello.mode = 1;
    hello.gradient_shards = 1;
    hello.max_requests = 100;
    hello.max_push_bytes = 1 << 20;
    hello.max_reply_bytes = 1 << 20;
    hello.max_frame_bytes = 4 << 20;
    hello.max_wait_ms = 60000;
    return hello;
  }();
  std::optional<Client> client_;
  absl::Time now_ = absl::UnixEpoch();
  uint64_t epoch_ = 1;
  uint64_t last_call_ = 0;
  int connects_ = 0;
  std::map<uint32_t, uint64_t> connections_;
  std::map<uint32_t, std::deque<ClientFrame>> sent_;
  std::map<uint32_t, uint64_t> released_;
  std::vector<uint64_t> disconnected_;
  std::vector<uint64_t> fetches_;
  std::map<uint64_t, CompleteEffect> done_;
  std::vector<float> a_ = std::vector<float>(8);
  std::vector<float> b_ = std::vector<float>(4);
  std::vector<float> gradient_a_ = {0, 1, 2, 3, 4, 5, 6, 7};
  std::vector<float> gradient_b_ = {10, 11, 12, 13};
};

}  // namespace weir

#endif  // WEIR_TESTS_WORKER_CLIENT_HARNESS_H_
