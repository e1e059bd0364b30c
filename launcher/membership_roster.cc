// SPDX-License-Identifier: Apache-2.0
// The part of Membership that says which workers share the steps: the roster, who inherits, and
// what an operator adds or retires.
#include <algorithm>
#include <optional>

#include "absl/strings/str_cat.h"
#include "launcher/counted.h"
#include "launcher/job_limits.h"
#include "launcher/member_checks.h"
#include "launcher/membership.h"

namespace weir {

uint32_t Membership::WorkerPlaces() const {
  return static_cast<uint32_t>(std::count_if(members_.begin(), members_.end(), [](const auto& m) {
    return m.first.first == MemberRole::kWorker;
  }));
}

// Works, or is expected to.
bool Membership::TakesPart(const Member& member) {
  return member.status.role == MemberRole::kWorker && member.wanted &&
         (IsLiving(member) || member.status.state == MemberState::kExpected ||
          AwaitsSuccessor(member));
}

bool Membership::OwnsParts(const Member& member) {
  if (member.status.state == MemberState::kLeft) return member.done && member.wanted;
  return TakesPart(member) && member.counts;
}

uint32_t Membership::WorkersTakingPart() const {
  return static_cast<uint32_t>(std::count_if(
      members_.begin(), members_.end(), [](const auto& entry) { return TakesPart(entry.second); }));
}

bool Membership::SomeAreDone() const {
  return std::any_of(members_.begin(), members_.end(), [](const auto& entry) {
    return entry.second.status.state == MemberState::kLeft && entry.second.done;
  });
}

// Whether the others can do without the member. In bsp nothing is left to do once one is done.
bool Membership::HasHeirs(const Member& member) const {
  constexpr uint32_t kBsp = 1;  // weir.v1.Mode
  if (options_.settings.mode == kBsp && SomeAreDone()) return true;
  return std::any_of(members_.begin(), members_.end(), [&](const auto& entry) {
    return &entry.second != &member && TakesPart(entry.second);
  });
}

// A worker is lost and no successor comes: the others have its parts, or the job fails.
void Membership::GiveUp(Member* member, const std::string& reason) {
  const bool never_counted = !member->wanted || (member->added && !member->counts);
  const bool may = options_.inherit && member->status.incarnation > 0;
  if (!HasHeirs(*member) || !(never_counted || may)) return Fail(reason);
  member->status.state = MemberState::kInherited;
  member->status.waits_for.clear();
  if (member->wanted) {
    warnings_.push_back(
        absl::StrCat(reason, "; the job goes on with ", Counted(WorkersTakingPart(), "worker")));
  }
}

void Membership::UpdateRoster() {
  Roster now;
  for (const auto& [place, member] : members_) {
    if (place.first != MemberRole::kWorker || !OwnsParts(member)) continue;
    now.owners.push_back(place.second);
    if (AwaitsSuccessor(member)) now.lost.push_back(place.second);
  }
  now.generation = roster_.generation;
  if (now == roster_ && roster_.generation > 0) return;
  ++now.generation;
  roster_ = std::move(now);
}

// The least of the workers that are still in; once none is, of those that were done, if any was.
uint64_t Membership::StepOfJob() const {
  const bool over = finished();
  const bool some_are_done = SomeAreDone();
  std::optional<uint64_t> slowest;
  for (const auto& [place, member] : members_) {
    if (place.first != MemberRole::kWorker || !member.counts) continue;
    const MemberState state = member.status.state;
    if (state == MemberState::kInherited) continue;
    if (state == MemberState::kLeft && (!over || (some_are_done && !member.done))) continue;
    slowest = std::min(slowest.value_or(member.status.step), member.status.step);
  }
  return slowest.value_or(0);
}

absl::Status Membership::CheckScale(uint32_t workers) const {
  if (workers == 0)
    return absl::InvalidArgumentError("a job has at least 1 worker; `weir run` ends by a signal");
  if (workers > kMaxMembers) {
    return absl::InvalidArgumentError(
        absl::StrCat("a job has at most ", kMaxMembers, " workers, not ", workers));
  }
  if (workers > options_.settings.gradient_shards) {
    return absl::InvalidArgumentError(absl::StrCat(
        "each step of the job has ", Counted(options_.settings.gradient_shards, "part"),
        " (train.gradient_shards, fixed at its start): of ", workers,
        " workers some would have none"));
  }
  absl::Status status = CheckOpen();
  if (!status.ok()) return status;
  if (finished())
    return absl::FailedPreconditionError("the job is finished: every worker has left");
  if (SomeAreDone()) {
    return absl::FailedPreconditionError(
        "the job is at its end: a worker has finished its last step already");
  }
  return absl::OkStatus();
}

// Places that nobody holds any more first, by rank; then new ones.
void Membership::AddWorkers(uint32_t count, ScaleAnswer* answer, absl::Time now) {
  for (uint32_t rank = 0; count > 0; ++rank) {
    const auto [at, is_new] = members_.try_emplace({MemberRole::kWorker, rank});
    Member& member = at->second;
    const bool free = is_new || member.status.state == MemberState::kLeft ||
                      member.status.state == MemberState::kInherited;
    if (!free) continue;
    member.status.role = MemberRole::kWorker;
    member.status.rank = rank;
    member.status.state = MemberState::kExpected;
    member.heard = now;
    member.wanted = member.added = true;
    member.counts = member.done = false;
    answer->added.push_back(rank);
    --count;
  }
}

// The highest ranks. Whoever works is told with its next heartbeat, and has no parts from now on.
void Membership::RetireWorkers(uint32_t count, ScaleAnswer* answer) {
  for (auto at = members_.rbegin(); count > 0 && at != members_.rend(); ++at) {
    Member& member = at->second;
    if (!TakesPart(member)) continue;
    if (member.status.state == MemberState::kExpected) member.status.state = MemberState::kLeft;
    if (member.status.state == MemberState::kLost) {
      member.status.state = MemberState::kInherited;
      member.successor_from = member.successor_until = absl::InfiniteFuture();
    }
    member.wanted = false;
    answer->retired.push_back(member.status.rank);
    --count;
  }
}

absl::StatusOr<ScaleAnswer> Membership::Scale(const JobKey& job, uint32_t workers, absl::Time now) {
  Tick(now);
  absl::Status status = CheckJob(job, /*id_required=*/false);
  if (status.ok()) status = CheckScale(workers);
  if (!status.ok()) return status;
  ScaleAnswer answer;
  answer.from = WorkersTakingPart();
  answer.to = workers;
  if (workers == answer.from) return answer;
  if (scaled_.size() == kMaxScaleEvents) scaled_.erase(scaled_.begin());
  scaled_.push_back({StepOfJob(), answer.from, answer.to});
  if (workers > answer.from) {
    AddWorkers(workers - answer.from, &answer, now);
  } else {
    RetireWorkers(answer.from - workers, &answer);
  }
  UpdateRoster();
  return answer;
}

}  // namespace weir
