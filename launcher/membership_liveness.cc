// SPDX-License-Identifier: Apache-2.0
// The part of Membership that time and loss drive: leases, waits, failure; and what an operator
// sees.
#include <algorithm>
#include <optional>

#include "absl/strings/str_cat.h"
#include "core/transport.h"
#include "launcher/counted.h"
#include "launcher/member_checks.h"
#include "launcher/membership.h"

namespace weir {

bool Membership::finished() const {
  if (!failure_.empty()) return false;
  bool any_left = false;
  for (const auto& [place, member] : members_) {
    if (place.first != MemberRole::kWorker) continue;
    const MemberState state = member.status.state;
    if (state != MemberState::kLeft && state != MemberState::kInherited) return false;
    any_left = any_left || state == MemberState::kLeft;
  }
  return any_left;
}

bool Membership::empty() const {
  return std::none_of(members_.begin(), members_.end(),
                      [](const auto& entry) { return IsLiving(entry.second); });
}

absl::StatusOr<JobStatus> Membership::GetStatus(const JobKey& job, absl::Time now) const {
  absl::Status checked = CheckJob(job, /*id_required=*/false);
  if (!checked.ok()) return checked;
  JobStatus status;
  status.job_id = options_.job_id;
  status.epoch = options_.epoch;
  status.settings = options_.settings;
  status.layout_ready = layout_ != nullptr && EveryShardServes();
  status.finished = finished();
  status.failure = failure_;
  status.stopping = stopping_;
  if (status.layout_ready) status.layout = *LayoutWithAddresses();
  for (const auto& [place, member] : members_) {
    status.members.push_back(member.status);
    status.members.back().silent = now - member.heard;
    if (place.first == MemberRole::kWorker)
      status.steps = std::max(status.steps, member.status.steps);
  }
  status.step = StepOfJob();
  status.workers = WorkersTakingPart();
  status.scaled = scaled_;
  return status;
}

void Membership::ForgivePause(absl::Time now) {
  const absl::Time due = NextTick();
  if (due == absl::InfiniteFuture() || now <= due + kPatience) return;
  const absl::Duration paused = now - due + kPatience;
  for (auto& [place, member] : members_) {
    member.heard = std::min(now, member.heard + paused);
    member.successor_until += paused;
  }
}

void Membership::Tick(absl::Time now) {
  ForgivePause(now);
  for (auto& [place, member] : members_) {
    const std::string who = DescribeMember(member.status);
    if (IsLiving(member) && now >= member.heard + options_.lease) {
      Lose(&member, absl::StrCat(who, " was not heard for ", absl::FormatDuration(options_.lease)),
           now);
    } else if (AwaitsSuccessor(member) && now >= member.successor_until) {
      member.successor_until = absl::InfiniteFuture();
      GiveUp(&member, absl::StrCat(who, " was lost, and nobody has taken its place within ",
                                   absl::FormatDuration(options_.replace_within)));
    }
  }
  UpdateRoster();
  for (auto it = waits_.begin(); it != waits_.end();) {
    auto wait = it++;
    if (now < wait->second.deadline) continue;
    EndWait(wait, absl::UnavailableError(WaitsFor(wait->first.first, wait->second.newer_than)));
  }
}

absl::Time Membership::NextTick() const {
  absl::Time next = absl::InfiniteFuture();
  for (const auto& [place, member] : members_) {
    if (IsLiving(member)) next = std::min(next, member.heard + options_.lease);
    if (AwaitsSuccessor(member)) next = std::min(next, member.successor_until);
  }
  for (const auto& [place, wait] : waits_) next = std::min(next, wait.deadline);
  return next;
}

std::vector<Membership::Answer> Membership::TakeAnswers() { return std::exchange(answers_, {}); }

absl::StatusOr<LossAnswer> Membership::ReportLoss(const JobKey& job, MemberRole role, uint32_t rank,
                                                  uint64_t restarts, absl::string_view reason,
                                                  absl::Time now) {
  Tick(now);
  absl::Status status = CheckJob(job, /*id_required=*/true);
  if (!status.ok()) return status;
  auto it = members_.find({role, rank});
  if (it == members_.end())
    return absl::InvalidArgumentError(
        absl::StrCat("the job has no ", MemberRoleName(role), " ", rank));
  Member& member = it->second;
  const bool is_news = restarts >= member.status.restarts;
  const std::string who = DescribeMember(member.status);
  if (is_news && (IsLiving(member) || member.status.state == MemberState::kExpected)) {
    Lose(&member,
         absl::StrCat(
             who, IsLiving(member) ? " ended: " : " ended before it joined: ", Shortened(reason)),
         now);
  } else if (is_news && AwaitsSuccessor(member)) {
    Lose(&member,
         absl::StrCat(who,
                      " was lost, and its successor ended before it joined: ", Shortened(reason)),
         now);
  }
  UpdateRoster();
  LossAnswer answer;
  answer.restarts = member.status.restarts;
  answer.inherited = CheckOpen().ok() && (member.status.state == MemberState::kInherited ||
                                          (!member.wanted && !IsLiving(member)));
  answer.replace = AwaitsSuccessor(member) && CheckOpen().ok();
  if (answer.replace) answer.delay = std::max(absl::ZeroDuration(), member.successor_from - now);
  return answer;
}

void Membership::Lose(Member* member, const std::string& reason, absl::Time now) {
  MemberStatus& status = member->status;
  const bool never_joined = status.state == MemberState::kExpected;
  status.state = MemberState::kLost;
  member->successor_from = member->successor_until = absl::InfiniteFuture();
  auto wait = waits_.find({status.role, status.rank});
  if (wait != waits_.end()) EndWait(wait, absl::FailedPreconditionError(reason));
  if (!CheckOpen().ok()) return;  // nobody needs it any more
  const RestartRules& rules = options_.restart_workers;
  if (status.role != MemberRole::kWorker) return Fail(reason);
  if (never_joined || !member->wanted || rules.limit == 0) return GiveUp(member, reason);
  const std::optional<absl::Duration> delay = member->restarts.OnLoss(rules, now);
  if (!delay.has_value()) {
    return GiveUp(
        member,
        absl::StrCat(reason, "; it has been replaced ", Counted(rules.limit, "time"), " within ",
                     absl::FormatDuration(rules.window), ", as often as restart.workers allows"));
  }
  status.restarts = member->restarts.granted();
  status.waits_for.clear();
  member->successor_from = now + *delay;
  member->successor_until = member->successor_from + options_.replace_within;
}

void Membership::Fail(std::string reason) {
  if (failure_.empty()) failure_ = std::move(reason);
  Stopped();
}

// Nobody who waits gets what it waits for any more.
void Membership::Stopped() {
  while (!waits_.empty()) EndWait(waits_.begin(), CheckOpen());
}

std::string Membership::StopReason() const { return failure_.empty() ? stop_reason_ : failure_; }

void Membership::EndWait(std::map<Place, Wait>::iterator wait,
                         absl::StatusOr<std::shared_ptr<const Layout>> layout) {
  answers_.push_back({wait->second.id, std::move(layout)});
  waits_.erase(wait);
}

void Membership::AnswerWaits() {
  if (waits_.empty() || layout_ == nullptr) return;
  const bool serving = EveryShardServes();
  std::shared_ptr<const Layout> layout;
  for (auto it = waits_.begin(); it != waits_.end();) {
    auto wait = it++;
    if (wait->second.newer_than >= options_.epoch) continue;
    if (wait->first.first == MemberRole::kWorker && !serving) continue;
    if (layout == nullptr) layout = LayoutWithAddresses();
    EndWait(wait, layout);
  }
}

bool Membership::EveryShardServes() const {
  return std::all_of(members_.begin(), members_.end(), [](const auto& entry) {
    return entry.first.first != MemberRole::kServer ||
           entry.second.status.state == MemberState::kServing;
  });
}

std::string Membership::WaitsFor(MemberRole role, uint64_t newer_than) const {
  if (layout_ != nullptr && newer_than >= options_.epoch) {
    return absl::StrCat("the job is in epoch ", options_.epoch,
                        " and the caller waits for one newer than ", newer_than);
  }
  std::vector<std::string> missing;
  for (const auto& [place, member] : members_) {
    if (place.first == MemberRole::kServer && role == MemberRole::kServer) continue;
    if (member.status.state == MemberState::kExpected) {
      missing.push_back(absl::StrCat(DescribeMember(member.status), " has not joined"));
    } else if (place.first == MemberRole::kServer && layout_ != nullptr &&
               member.status.state != MemberState::kServing) {
      missing.push_back(absl::StrCat(DescribeMember(member.status), " is not ready"));
    }
  }
  std::string text =
      layout_ == nullptr ? "no worker has declared the model yet" : "waits for the servers";
  if (!missing.empty()) absl::StrAppend(&text, ": ", ListMembers(missing));
  return text;
}

std::shared_ptr<const Layout> Membership::LayoutWithAddresses() const {
  auto layout = std::make_shared<Layout>(*layout_);
  const uint32_t each = options_.settings.shards / options_.settings.servers;
  layout->shard_addresses.clear();
  const bool sockets = options_.settings.transport != static_cast<uint32_t>(Transport::kTcp);
  for (uint32_t shard = 0; shard < options_.settings.shards; ++shard) {
    const MemberStatus& server = members_.at({MemberRole::kServer, shard / each}).status;
    layout->shard_addresses.push_back(
        {server.address, sockets ? server.uds_path : "", server.host_key});
  }
  return layout;
}

}  // namespace weir
