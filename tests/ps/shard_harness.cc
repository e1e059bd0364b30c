// SPDX-License-Identifier: Apache-2.0
#include "tests/ps/shard_harness.h"

#include <gtest/gtest.h>

#include <cstring>
#include <memory>
#include <utility>

namespace weir {

std::vector<float> Floats(const Payload& payload) {
  std::vector<float> floats(payload.size() / sizeof(float));
  if (!floats.empty()) payload.CopyTo(reinterpret_cast<char*>(floats.data()));
  return floats;
}

ShardHarness::ShardHarness(Options options)
    : shard(options.shard, &pool), options_(std::move(options)) {
  EXPECT_TRUE(ValidateShardOptions(options_.shard).ok()) << ValidateShardOptions(options_.shard);
  if (!options_.install) return;
  const absl::Status installed = Install(options_.shard.epoch);
  EXPECT_TRUE(installed.ok()) << installed;
}

absl::StatusOr<Layout> ShardHarness::LayoutOf(uint64_t epoch) const {
  absl::StatusOr<Layout> layout =
      MakeLayout(options_.tensors, options_.slice_bytes, options_.shards, epoch);
  if (layout.ok()) layout->codecs = options_.codecs;
  return layout;
}

absl::Status ShardHarness::InstallRestored(uint64_t epoch, const ShardRestore& restore) {
  absl::StatusOr<Layout> layout = LayoutOf(epoch);
  if (!layout.ok()) return layout.status();
  Effects effects;
  absl::Status status = shard.InstallRestored(*layout, restore, now, &effects);
  Handle(std::move(effects));
  return status;
}

absl::Status ShardHarness::Cut(uint64_t number) {
  Effects effects;
  absl::Status status = shard.OnCut(number, now, &effects);
  Handle(std::move(effects));
  return status;
}

void ShardHarness::CutDone() {
  Effects effects;
  shard.OnCutDone(now, &effects);
  Handle(std::move(effects));
}

absl::Status ShardHarness::Install(uint64_t epoch) {
  absl::StatusOr<Layout> layout = LayoutOf(epoch);
  if (!layout.ok()) return layout.status();
  Effects effects;
  absl::Status status = shard.Install(*layout, now, &effects);
  Handle(std::move(effects));
  return status;
}

uint64_t ShardHarness::Open() {
  Effects effects;
  shard.OnOpen(next_session_, now, &effects);
  Handle(std::move(effects));
  return next_session_++;
}

HelloFrame ShardHarness::HelloOf(uint64_t worker) const {
  HelloFrame hello;
  hello.job_id = std::string(options_.shard.job_id.begin(), options_.shard.job_id.end());
  hello.job_token = options_.shard.job_token;
  hello.shard = options_.shard.shard;
  hello.role = SessionRole::kWorker;
  hello.worker_id = worker;
  hello.incarnation = 1;
  hello.session_nonce = 1;
  return hello;
}

uint64_t ShardHarness::Connect(uint64_t worker, uint64_t incarnation, uint64_t nonce,
                               uint32_t lane) {
  HelloFrame hello = HelloOf(worker);
  hello.incarnation = incarnation;
  hello.session_nonce = nonce;
  hello.lane = lane;
  const uint64_t session = Open();
  for (const ServerFrame& answer : Answers(session, Send(session, hello))) {
    if (const auto* reply = std::get_if<HelloReplyFrame>(&answer.kind)) last_hello = *reply;
  }
  return session;
}

uint64_t ShardHarness::ConnectReader() {
  HelloFrame hello = HelloOf(0);
  hello.role = SessionRole::kReader;
  const uint64_t session = Open();
  Answers(session, Send(session, hello));
  return session;
}

void ShardHarness::Tell(const Roster& roster) {
  Effects effects;
  shard.OnRoster(roster, now, &effects);
  Handle(std::move(effects));
}

void ShardHarness::Disconnect(uint64_t session) {
  Effects effects;
  shard.OnClosed(session, now, &effects);
  Handle(std::move(effects));
}

uint64_t ShardHarness::Send(uint64_t session, decltype(ClientFrame::kind) kind,
                            uint32_t deadline_ms) {
  ClientFrame frame;
  frame.request_id = next_request_++;
  frame.deadline_ms = deadline_ms;
  frame.epoch = shard.status().epoch;
  frame.trace_id = frame.request_id + 1000;
  frame.kind = std::move(kind);
  const uint64_t request = frame.request_id;
  SendFrame(session, std::move(frame));
  return request;
}

void ShardHarness::SendFrame(uint64_t session, ClientFrame frame) {
  Effects effects;
  shard.OnFrame(session, std::move(frame), now, &effects);
  Handle(std::move(effects));
}

void ShardHarness::Handle(Effects effects) {
  for (Effects::Send& send : effects.sends) {
    last_released = send.frame.push_bytes_released;
    credit_frames += std::holds_alternative<CreditFrame>(send.frame.kind) ? 1 : 0;
    const uint64_t payload_bytes = PayloadBytesOf(send.frame);
    answers_[{send.session, send.frame.request_id}].push_back(std::move(send.frame));
    if (frames_are_taken_at_once) Sent(send.session, payload_bytes);
  }
  for (Effects::Close& close : effects.closes) {
    EXPECT_FALSE(close.status.ok());
    EXPECT_FALSE(close.status.message().empty());
    EXPECT_TRUE(closed_.emplace(close.session, close.status).second) << "closed twice";
  }
  cuts.insert(cuts.end(), effects.cuts.begin(), effects.cuts.end());
  for (Job& job : effects.jobs) jobs.push_back(std::move(job));
  if (jobs_run_at_once) RunJobs();
}

void ShardHarness::RunJobs() {
  while (RunOneJob()) {
  }
}

bool ShardHarness::RunOneJob() {
  if (jobs.empty()) return false;
  std::swap(jobs[random() % jobs.size()], jobs.back());
  Job job = std::move(jobs.back());
  jobs.pop_back();
  const JobResult result = RunJob(job);
  const uint64_t id = job.id;
  job = Job();
  Effects effects;
  shard.OnJobDone(id, result, now, &effects);
  const bool at_once = std::exchange(jobs_run_at_once, false);
  Handle(std::move(effects));
  jobs_run_at_once = at_once;
  return true;
}

void ShardHarness::Pass(absl::Duration time) {
  now += time;
  Effects effects;
  shard.OnTick(now, &effects);
  Handle(std::move(effects));
}

void ShardHarness::Sent(uint64_t session, uint64_t payload_bytes) {
  Effects effects;
  shard.OnSent(session, payload_bytes, now, &effects);
  EXPECT_TRUE(effects.empty());
}

std::vector<ServerFrame> ShardHarness::Answers(uint64_t session, uint64_t request) {
  const auto it = answers_.find({session, request});
  if (it == answers_.end()) return {};
  std::vector<ServerFrame> frames = std::move(it->second);
  answers_.erase(it);
  return frames;
}

namespace {

template <typename Frame>
Frame Only(const std::vector<ServerFrame>& frames, uint64_t request) {
  EXPECT_EQ(frames.size(), 1u) << "answers to request " << request;
  if (frames.size() != 1) return Frame();
  EXPECT_EQ(frames[0].trace_id, request + 1000);
  const Frame* frame = std::get_if<Frame>(&frames[0].kind);
  EXPECT_NE(frame, nullptr) << "the answer is of kind " << frames[0].kind.index();
  if (const auto* error = std::get_if<ErrorReplyFrame>(&frames[0].kind);
      error != nullptr && frame == nullptr) {
    ADD_FAILURE() << error->reason;
  }
  return frame == nullptr ? Frame() : *frame;
}

}  // namespace

PullReplyFrame ShardHarness::PullReply(uint64_t session, uint64_t request) {
  return Only<PullReplyFrame>(Answers(session, request), request);
}

PushReplyFrame ShardHarness::PushReply(uint64_t session, uint64_t request) {
  return Only<PushReplyFrame>(Answers(session, request), request);
}

ErrorReplyFrame ShardHarness::ErrorReply(uint64_t session, uint64_t request) {
  return Only<ErrorReplyFrame>(Answers(session, request), request);
}

absl::Status ShardHarness::CloseStatus(uint64_t session) const {
  const auto it = closed_.find(session);
  return it == closed_.end() ? absl::OkStatus() : it->second;
}

PushFrame ShardHarness::PushOf(uint64_t worker, uint64_t sequence, uint32_t slice,
                               const std::vector<float>& values) {
  const SliceSnapshot snapshot = shard.snapshot(slice);
  PushFrame push;
  push.tensor_id = snapshot.spec.tensor_id;
  push.worker_id = worker;
  push.sequence = sequence;
  push.base_version = snapshot.version;
  push.atomicity =
      options_.shard.mode == ConsistencyMode::kBsp ? Atomicity::kAll : Atomicity::kSlice;
  push.offset = snapshot.spec.offset;
  push.count = snapshot.spec.count;
  push.step = snapshot.version;
  push.parts = 1;
  push.batch = 100 + sequence;
  push.examples = 1;
  const auto owner = std::make_shared<std::vector<float>>(values);
  push.gradient.Append(reinterpret_cast<const char*>(owner->data()), owner->size() * sizeof(float),
                       owner);
  return push;
}

PushFrame ShardHarness::PushOf(uint64_t worker, uint64_t sequence, uint32_t slice, float value) {
  return PushOf(worker, sequence, slice,
                std::vector<float>(shard.snapshot(slice).spec.count, value));
}

PullFrame ShardHarness::PullOf(uint32_t slice, PullCondition condition, uint64_t version) const {
  const SliceSnapshot snapshot = shard.snapshot(slice);
  PullFrame pull;
  pull.tensor_id = snapshot.spec.tensor_id;
  pull.condition = condition;
  pull.version = version;
  pull.offset = snapshot.spec.offset;
  pull.count = snapshot.spec.count;
  return pull;
}

float ShardHarness::Weight(uint32_t slice) const {
  return shard.snapshot(slice).weights.floats()[0];
}

std::vector<float> ShardHarness::Weights(uint32_t slice) const {
  const SliceSnapshot snapshot = shard.snapshot(slice);
  return {snapshot.weights.floats(), snapshot.weights.floats() + snapshot.spec.count};
}

}  // namespace weir
