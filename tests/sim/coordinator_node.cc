// SPDX-License-Identifier: Apache-2.0
#include "tests/sim/coordinator_node.h"

#include "absl/strings/str_cat.h"
#include "net/frame.h"

namespace weir::sim {
namespace {

Membership::Options OptionsOf(const Scenario& scenario) {
  Membership::Options options;
  options.job_id = scenario.shard.job_id;
  options.job_token = scenario.shard.job_token;
  options.settings = scenario.job;
  options.lease = Scenario::kLease;
  options.restart_workers.limit = 1 << 20;  // whoever is crashed is started again
  options.restart_workers.window = absl::Hours(1);
  options.replace_within = absl::Hours(1);
  return options;
}

}  // namespace

CoordinatorNode::CoordinatorNode(World* world)
    : world_(world), membership_(OptionsOf(world->scenario), world->queue.now()) {}

JobKey CoordinatorNode::key() const {
  const JobId& id = world_->scenario.shard.job_id;
  return {std::string(id.begin(), id.end()), world_->scenario.shard.job_token};
}

absl::Duration CoordinatorNode::Delay() {
  return world_->random.Between(absl::Microseconds(100), absl::Milliseconds(20));
}

bool CoordinatorNode::Lost(MemberRole role) {
  if (role != MemberRole::kWorker || calls_to_lose_ == 0) return false;
  --calls_to_lose_;
  world_->Count(Fault::kControlLost);
  return true;
}

template <typename T>
void CoordinatorNode::Call(const char* what, MemberRole role,
                           std::function<absl::StatusOr<T>(absl::Time now)> handle, Done<T> done) {
  const bool lost = Lost(role);
  const bool answer_only = lost && world_->random.Chance(50);
  if (lost)
    world_->queue.After(kCallTimeout, [done] { done(absl::UnavailableError("no answer")); });
  if (lost && !answer_only) return;
  world_->queue.After(Delay(), [this, what, lost, handle, done] {
    const absl::StatusOr<T> answer = handle(world_->queue.now());
    world_->Note(what, {{"code", static_cast<uint64_t>(answer.status().code())}},
                 answer.ok() ? "" : answer.status().ToString());
    AfterEvent();
    if (!lost) world_->queue.After(Delay(), [done, answer] { done(answer); });
  });
}

void CoordinatorNode::AfterEvent() {
  for (Membership::Answer& answer : membership_.TakeAnswers()) {
    const auto at = waits_.find(answer.wait_id);
    if (at == waits_.end()) continue;
    world_->queue.After(Delay(), [done = std::move(at->second), layout = std::move(answer.layout)] {
      done(layout);
    });
    waits_.erase(at);
  }
  const absl::Time due = membership_.NextTick();
  if (due >= timer_) return;
  timer_ = due;
  world_->queue.At(due, [this, due] {
    if (timer_ != due) return;
    timer_ = absl::InfiniteFuture();
    membership_.Tick(world_->queue.now());
    AfterEvent();
  });
}

absl::StatusOr<JoinAnswer> CoordinatorNode::HandleJoin(const JoinEvent& event, absl::Time now) {
  absl::StatusOr<JoinAnswer> answer = membership_.Join(event, now);
  if (!answer.ok()) return answer;
  Holder& holder = holders_[{event.role, answer->rank}];
  const bool free = holder.process == 0 || holder.process == event.process_id || holder.gone ||
                    holder.heard + Scenario::kLease <= now;
  world_->judge.Expect(Promise::kMembership, free && answer->incarnation > holder.incarnation, [&] {
    return absl::StrCat("process ", event.process_id, " takes the place of worker ", answer->rank,
                        " from the living process ", holder.process);
  });
  if (event.role == MemberRole::kWorker && holder.process != 0 &&
      holder.process != event.process_id) {
    world_->Count(Fault::kReplaced);
  }
  holder = {event.process_id, answer->incarnation, now, false};
  return answer;
}

void CoordinatorNode::Join(MemberRole role, uint32_t rank, const std::string& address,
                           uint64_t process, Done<JoinAnswer> done) {
  JoinEvent event;
  event.job = key();
  event.protocol_min = event.protocol_max = kProtocol;
  event.role = role;
  event.has_rank = true;
  event.rank = rank;
  event.address = address;
  event.host = "host";
  event.process_id = process;
  Call<JoinAnswer>(
      "join", role, [this, event](absl::Time now) { return HandleJoin(event, now); },
      std::move(done));
}

void CoordinatorNode::Declare(const MemberId& who, Done<uint64_t> done) {
  Call<uint64_t>(
      "declare", who.role,
      [this, who](absl::Time now) {
        return membership_.Declare(key(), who, world_->scenario.layout.tensors, now);
      },
      std::move(done));
}

void CoordinatorNode::GetLayout(const MemberId& who, absl::Duration wait, uint64_t newer_than,
                                Done<std::shared_ptr<const Layout>> done) {
  if (Lost(who.role)) {
    world_->queue.After(kCallTimeout, [done] { done(absl::UnavailableError("no answer")); });
    return;
  }
  world_->queue.After(Delay(), [this, who, wait, newer_than, done] {
    if (published_ != nullptr && published_->epoch > newer_than) {
      world_->queue.After(Delay(), [done, layout = published_] { done(layout); });
      return;
    }
    const uint64_t id = next_wait_++;
    waits_[id] = done;
    membership_.GetLayout(id, key(), who, wait, newer_than, world_->queue.now());
    AfterEvent();
  });
}

void CoordinatorNode::Heartbeat(const MemberId& who, const HeartbeatEvent& event,
                                Done<HeartbeatAnswer> done) {
  Call<HeartbeatAnswer>(
      "heartbeat", who.role,
      [this, who, event](absl::Time now) {
        absl::StatusOr<HeartbeatAnswer> answer = membership_.Heartbeat(key(), who, event, now);
        Holder& holder = holders_[{who.role, who.rank}];
        const bool held = who.incarnation == holder.incarnation && !holder.gone &&
                          now < holder.heard + Scenario::kLease;
        world_->judge.Expect(Promise::kMembership, answer.ok() == held, [&] {
          return absl::StrCat("a heartbeat of incarnation ", who.incarnation, " of rank ", who.rank,
                              ": ", answer.status().ToString(), "; incarnation ",
                              holder.incarnation, " holds the place");
        });
        if (answer.ok()) holder.heard = now;
        return answer;
      },
      std::move(done));
}

void CoordinatorNode::Leave(const MemberId& who, Done<bool> done) {
  Call<bool>(
      "leave", who.role,
      [this, who](absl::Time now) -> absl::StatusOr<bool> {
        const absl::Status status = membership_.Leave(key(), who, LeaveEvent(), now);
        if (!status.ok()) return status;
        holders_[{who.role, who.rank}].gone = true;
        return true;
      },
      std::move(done));
}

void CoordinatorNode::ReportLoss(uint32_t worker, uint64_t restarts) {
  holders_[{MemberRole::kWorker, worker}].gone = true;
  const absl::Status status = membership_
                                  .ReportLoss(key(), MemberRole::kWorker, worker, restarts,
                                              "killed by signal 9", world_->queue.now())
                                  .status();
  world_->Note("report loss", {{"rank", worker}}, status.ToString());
  world_->judge.Expect(Promise::kMembership, status.ok(), [&] { return status.ToString(); });
  AfterEvent();
}

uint64_t CoordinatorNode::restarts(uint32_t worker) const {
  const absl::StatusOr<JobStatus> job = membership_.GetStatus(key(), world_->queue.now());
  if (!job.ok()) return 0;
  for (const MemberStatus& member : job->members) {
    if (member.role == MemberRole::kWorker && member.rank == worker) return member.restarts;
  }
  return 0;
}

}  // namespace weir::sim
