// SPDX-License-Identifier: Apache-2.0
#include "tests/sim/shard_node.h"

#include <utility>

namespace weir::sim {
namespace {

ShardOptions OptionsOf(const Scenario& scenario, uint32_t shard) {
  ShardOptions options = scenario.shard;
  options.shard = shard;
  options.build_id = kHonestBuild;
  return options;
}

uint64_t PayloadBits(const Payload& payload) {
  Trace bits(Trace::Lines::kNone);
  bits.Bits(payload);
  return bits.hash();
}

}  // namespace

ShardNode::ShardNode(World* world, Network* network, uint32_t shard)
    : world_(world),
      network_(network),
      number_(shard),
      shard_(OptionsOf(world->scenario, shard), &pool_),
      audit_(world, shard) {}

void ShardNode::Install(const Layout& layout) {
  world_->Note("install", {{"shard", number_}, {"epoch", layout.epoch}});
  epoch_ = layout.epoch;
  audit_.Installing(layout.epoch);
  const absl::Status status = shard_.Install(layout, world_->queue.now(), &effects_);
  world_->judge.Expect(Promise::kEpoch, status.ok(), [&] { return status.ToString(); });
  Finish();
  audit_.CheckInstalled();
}

void ShardNode::Tell(const Roster& roster) {
  world_->Note("roster", {{"shard", number_}, {"generation", roster.generation}});
  audit_.Told(roster);
  shard_.OnRoster(roster, world_->queue.now(), &effects_);
  Finish();
}

void ShardNode::OnOpen(uint64_t session) {
  world_->Note("open", {{"shard", number_}, {"session", session}});
  audit_.Opened(session);
  shard_.OnOpen(session, world_->queue.now(), &effects_);
  Finish();
}

void ShardNode::OnFrame(uint64_t session, ClientFrame frame) {
  const auto* push = std::get_if<PushFrame>(&frame.kind);
  world_->Note("frame", {{"shard", number_},
                         {"session", session},
                         {"request", frame.request_id},
                         {"kind", frame.kind.index()},
                         {"epoch", frame.epoch},
                         {"worker", push == nullptr ? 0 : push->worker_id},
                         {"sequence", push == nullptr ? 0 : push->sequence},
                         {"bits", push == nullptr ? 0 : PayloadBits(push->gradient)}});
  const uint64_t worker = push == nullptr ? 0 : push->worker_id;
  const uint64_t sequence = push == nullptr ? 0 : push->sequence;
  audit_.Received(session, frame);
  shard_.OnFrame(session, std::move(frame), world_->queue.now(), &effects_);
  Finish();
  if (sequence != 0 && told_) told_(worker, sequence);
}

void ShardNode::OnSent(uint64_t session, uint64_t payload_bytes) {
  shard_.OnSent(session, payload_bytes, world_->queue.now(), &effects_);
  Finish();
}

void ShardNode::OnClosed(uint64_t session) {
  world_->Note("closed", {{"shard", number_}, {"session", session}});
  audit_.Closed(session);
  shard_.OnClosed(session, world_->queue.now(), &effects_);
  Finish();
}

void ShardNode::Finish() {
  audit_.Check(shard_, effects_);
  Effects effects = std::move(effects_);
  effects_ = Effects();
  for (Effects::Send& send : effects.sends) {
    const auto* push = std::get_if<PushReplyFrame>(&send.frame.kind);
    const auto* pull = std::get_if<PullReplyFrame>(&send.frame.kind);
    world_->Note("answer", {{"shard", number_},
                            {"session", send.session},
                            {"request", send.frame.request_id},
                            {"kind", send.frame.kind.index()},
                            {"outcome", push == nullptr ? 0 : static_cast<uint64_t>(push->outcome)},
                            {"version", push != nullptr   ? push->version
                                        : pull != nullptr ? pull->version
                                                          : 0}});
    if (push != nullptr) world_->trace.Bits(push->tensor_data);
    if (pull != nullptr) world_->trace.Bits(pull->tensor_data);
    network_->SendToClient(send.session, std::move(send.frame));
  }
  for (const Effects::Close& close : effects.closes) {
    world_->Note("close", {{"shard", number_}, {"session", close.session}},
                 close.status.ToString());
    network_->CloseByServer(close.session, close.status);
  }
  for (Job& job : effects.jobs) Schedule(std::move(job));
  ArmTimer();
}

void ShardNode::Schedule(Job job) {
  const absl::Duration longest = world_->scenario.longest_job;
  const absl::Duration begin = world_->random.Between(absl::ZeroDuration(), longest);
  const absl::Duration end = begin + world_->random.Between(absl::ZeroDuration(), longest);
  auto shared = std::make_shared<Job>(std::move(job));
  auto result = std::make_shared<JobResult>();
  world_->queue.After(begin, [shared, result] { *result = RunJob(*shared); });
  world_->queue.After(end, [this, shared, result]() mutable {
    const uint64_t id = shared->id;
    shared.reset();
    world_->Note(
        "job done",
        {{"shard", number_}, {"job", id}, {"fault", static_cast<uint64_t>(result->fault)}});
    audit_.JobDone(id);
    shard_.OnJobDone(id, *result, world_->queue.now(), &effects_);
    Finish();
  });
}

void ShardNode::ArmTimer() {
  const absl::Time due = shard_.NextDeadline();
  if (due >= timer_) return;
  timer_ = due;
  world_->queue.At(due, [this, due] {
    if (timer_ != due) return;  // an earlier one was armed since
    timer_ = absl::InfiniteFuture();
    shard_.OnTick(world_->queue.now(), &effects_);
    Finish();
  });
}

}  // namespace weir::sim
