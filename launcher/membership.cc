// SPDX-License-Identifier: Apache-2.0
#include "launcher/membership.h"

#include <algorithm>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "launcher/counted.h"
#include "launcher/job_limits.h"
#include "launcher/member_checks.h"

namespace weir {
namespace {

std::string JobName(const JobId& id) {
  return absl::BytesToHexString(
      absl::string_view(reinterpret_cast<const char*>(id.data()), id.size()));
}

// Takes the same time wherever they differ.
bool SameSecret(absl::string_view a, absl::string_view b) {
  if (a.size() != b.size()) return false;
  unsigned char difference = 0;
  for (size_t i = 0; i < a.size(); ++i) difference |= static_cast<unsigned char>(a[i] ^ b[i]);
  return difference == 0;
}

// An upper bound of the bytes of `layout` as a message.
size_t EncodedBytes(const Layout& layout, uint32_t shards) {
  size_t bytes = 64 + size_t{shards} * (272 + kMaxUdsPathBytes + kMaxHostKeyBytes);
  for (const TensorShape& tensor : layout.tensors)
    bytes += tensor.name.size() + tensor.shape.size() * 6 + 36;
  return bytes + layout.slices.size() * 24 + layout.codecs.size() * 8;
}

}  // namespace

absl::Status Membership::CheckSettings(const JobSettings& settings) {
  const auto check = [](absl::string_view what, uint64_t count, uint64_t limit) {
    if (count >= 1 && count <= limit) return absl::OkStatus();
    return absl::InvalidArgumentError(absl::StrCat(what, " must be 1 to ", limit, ", not ", count));
  };
  absl::Status status = check("the number of servers", settings.servers, kMaxMembers);
  status.Update(check("the number of workers", settings.workers, kMaxMembers));
  status.Update(check("the number of shards", settings.shards, kMaxJobShards));
  status.Update(check("gradient_shards", settings.gradient_shards, 1 << 20));
  if (status.ok() && settings.shards % settings.servers != 0) {
    return absl::InvalidArgumentError(absl::StrCat(Counted(settings.shards, "shard"),
                                                   " cannot be shared out evenly over ",
                                                   Counted(settings.servers, "server")));
  }
  return status;
}

Membership::Membership(Options options, absl::Time now) : options_(std::move(options)) {
  const auto add = [&](MemberRole role, uint32_t count) {
    for (uint32_t rank = 0; rank < count; ++rank) {
      Member& member = members_[{role, rank}];
      member.status.role = role;
      member.status.rank = rank;
      member.heard = now;
    }
  };
  add(MemberRole::kServer, options_.settings.servers);
  add(MemberRole::kWorker, options_.settings.workers);
  UpdateRoster();
}

absl::Status Membership::CheckJob(const JobKey& job, bool id_required) const {
  const std::string name =
      absl::StrCat("job '", options_.settings.name, "' (", JobName(options_.job_id), ")");
  if (!SameSecret(job.job_token, options_.job_token)) {
    if (job.job_token.empty())
      return absl::UnauthenticatedError(
          absl::StrCat(name, " wants its token and the caller sent none"));
    if (options_.job_token.empty())
      return absl::UnauthenticatedError(
          absl::StrCat(name, " has no token and the caller sent one"));
    return absl::UnauthenticatedError(absl::StrCat("the caller's token is not the one of ", name));
  }
  if (job.job_id.empty() && !id_required) return absl::OkStatus();
  const absl::string_view ours(reinterpret_cast<const char*>(options_.job_id.data()),
                               options_.job_id.size());
  if (job.job_id == ours) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat(
      "this is ", name, " and the caller belongs to job ",
      job.job_id.empty() ? "(none)"
                         : absl::BytesToHexString(absl::string_view(job.job_id).substr(0, 32))));
}

absl::Status Membership::CheckOpen() const {
  if (!failure_.empty())
    return absl::FailedPreconditionError(absl::StrCat("the job has failed: ", failure_));
  if (stopping_)
    return absl::FailedPreconditionError(absl::StrCat("the job is stopping: ", stop_reason_));
  return absl::OkStatus();
}

bool Membership::PlaceIsFree(const Member& member) const {
  if (!member.wanted) return false;
  switch (member.status.state) {
    case MemberState::kExpected:
    case MemberState::kLeft:
      return true;
    case MemberState::kLost:
      return AwaitsSuccessor(member);
    default:
      return false;
  }
}

absl::StatusOr<Membership::Member*> Membership::ChoosePlace(const JoinEvent& event) {
  const char* role = MemberRoleName(event.role);
  const uint32_t places =
      event.role == MemberRole::kServer ? options_.settings.servers : WorkerPlaces();
  if (event.has_rank) {
    auto it = members_.find({event.role, event.rank});
    if (it == members_.end()) {
      return absl::InvalidArgumentError(absl::StrCat("the job has ", places, " ", role,
                                                     " places, from 0; ", role, " ", event.rank,
                                                     " is none of them"));
    }
    Member& member = it->second;
    const bool itself = event.process_id != 0 && member.status.process_id == event.process_id &&
                        member.status.host == event.host;
    if (PlaceIsFree(member) || itself) return &member;
    if (!member.wanted && !IsLiving(member)) {
      return absl::FailedPreconditionError(absl::StrCat(DescribeMember(member.status),
                                                        " has been retired: the job goes on with ",
                                                        Counted(WorkersTakingPart(), "worker")));
    }
    return absl::AlreadyExistsError(absl::StrCat(
        "the place of ", role, " ", event.rank, " is held by ", DescribeMember(member.status),
        " and wanted by process ", event.process_id, " on host ", Printable(event.host)));
  }
  std::vector<std::string> holders;
  for (MemberState wanted : {MemberState::kExpected, MemberState::kLost}) {
    for (uint32_t rank = 0; rank < places; ++rank) {
      Member& member = members_[{event.role, rank}];
      if (member.status.state == wanted && PlaceIsFree(member)) return &member;
      if (wanted == MemberState::kExpected) holders.push_back(DescribeMember(member.status));
    }
  }
  return absl::ResourceExhaustedError(absl::StrCat(
      "all ", places, " ", role, " places of the job are taken: ", ListMembers(holders)));
}

absl::StatusOr<JoinAnswer> Membership::Join(const JoinEvent& event, absl::Time now) {
  Tick(now);
  absl::Status status = CheckJob(event.job, /*id_required=*/false);
  if (!status.ok()) return status;
  if (event.protocol_min > kProtocol || event.protocol_max < kProtocol) {
    return absl::UnimplementedError(absl::StrCat("the coordinator speaks protocol ", kProtocol,
                                                 " and the caller ", event.protocol_min, " to ",
                                                 event.protocol_max));
  }
  if (event.role != MemberRole::kServer && event.role != MemberRole::kWorker) {
    return absl::InvalidArgumentError(absl::StrCat("servers and workers join; role ",
                                                   static_cast<int>(event.role), " is unknown"));
  }
  status.Update(CheckOpen());
  if (event.role == MemberRole::kServer) {
    status.Update(CheckAddress(event.address));
    status.Update(CheckSocketAddress(event.uds_path, event.host_key));
  }
  if (status.ok() && finished())
    status = absl::FailedPreconditionError("the job is finished: every worker has left");
  if (!status.ok()) return status;
  absl::StatusOr<Member*> place = ChoosePlace(event);
  if (!place.ok()) return place.status();

  MemberStatus fresh;
  fresh.role = event.role;
  fresh.rank = (*place)->status.rank;
  fresh.incarnation = (*place)->status.incarnation + 1;
  fresh.state = MemberState::kJoined;
  if (event.role == MemberRole::kServer) {
    fresh.address = event.address;
    fresh.uds_path = event.uds_path;
    fresh.host_key = event.host_key;
  }
  fresh.host = Printable(event.host);
  fresh.process_id = event.process_id;
  fresh.restarts = (*place)->restarts.granted();
  if ((*place)->status.state == MemberState::kLeft) (*place)->counts = (*place)->done = false;
  (*place)->status = fresh;
  (*place)->heard = now;
  (*place)->successor_from = (*place)->successor_until = absl::InfiniteFuture();
  UpdateRoster();

  JoinAnswer answer;
  answer.job_id = options_.job_id;
  answer.rank = fresh.rank;
  answer.incarnation = fresh.incarnation;
  answer.epoch = options_.epoch;
  answer.lease = options_.lease;
  answer.settings = options_.settings;
  answer.settings.workers = WorkerPlaces();
  answer.roster = roster_;
  answer.protocol = kProtocol;
  if (event.role == MemberRole::kServer) {
    const uint32_t each = options_.settings.shards / options_.settings.servers;
    for (uint32_t i = 0; i < each; ++i) answer.shards.push_back(fresh.rank * each + i);
  }
  return answer;
}

absl::StatusOr<Membership::Member*> Membership::FindMember(const JobKey& job, const MemberId& who) {
  absl::Status status = CheckJob(job, /*id_required=*/true);
  if (!status.ok()) return status;
  auto it = members_.find({who.role, who.rank});
  if (it == members_.end()) {
    return absl::InvalidArgumentError(
        absl::StrCat("the job has no ", MemberRoleName(who.role), " ", who.rank));
  }
  const MemberStatus& member = it->second.status;
  if (member.incarnation == who.incarnation && who.incarnation != 0) return &it->second;
  const std::string name = absl::StrCat(MemberRoleName(who.role), " ", who.rank);
  if (member.incarnation < who.incarnation || who.incarnation == 0) {
    return absl::FailedPreconditionError(absl::StrCat("the caller says it is incarnation ",
                                                      who.incarnation, " of ", name, ", and ",
                                                      member.incarnation, " was the last to join"));
  }
  return absl::FailedPreconditionError(
      absl::StrCat("fenced: the caller is incarnation ", who.incarnation, " of ", name,
                   ", and incarnation ", member.incarnation, ", process ", member.process_id,
                   " on host ", member.host, ", has taken its place"));
}

absl::StatusOr<uint64_t> Membership::Declare(const JobKey& job, const MemberId& who,
                                             const std::vector<TensorShape>& tensors,
                                             absl::Time now) {
  Tick(now);
  absl::StatusOr<Member*> member = FindMember(job, who);
  if (!member.ok()) return member.status();
  absl::Status status = CheckOpen();
  if (!status.ok()) return status;
  if (layout_ != nullptr) {
    const std::string difference = DescribeDifference(layout_->tensors, tensors);
    if (difference.empty()) {
      (*member)->counts = true;
      UpdateRoster();
      return options_.epoch;
    }
    return absl::FailedPreconditionError(
        absl::StrCat(DescribeMember((*member)->status),
                     " declares another model than the job has: ", difference));
  }
  absl::StatusOr<Layout> layout =
      MakeLayout(tensors, options_.settings.slice_bytes, options_.settings.shards, options_.epoch);
  if (!layout.ok()) return layout.status();
  layout->codecs = CodecsOf(options_.codecs, tensors);
  const size_t bytes = EncodedBytes(*layout, options_.settings.shards);
  if (bytes > options_.max_layout_bytes) {
    return absl::ResourceExhaustedError(absl::StrCat(
        "the layout of ", layout->tensors.size(), " tensors in ", layout->slices.size(),
        " slices takes some ", bytes, " bytes of one message, at most ", options_.max_layout_bytes,
        " fit: use larger slice_bytes"));
  }
  layout_ = std::make_shared<const Layout>(*std::move(layout));
  for (const std::string& pattern : UnusedPatterns(options_.codecs, tensors)) {
    warnings_.push_back(UnusedPatternWarning(pattern));
  }
  (*member)->counts = true;
  UpdateRoster();
  AnswerWaits();
  return options_.epoch;
}

void Membership::GetLayout(uint64_t wait_id, const JobKey& job, const MemberId& who,
                           absl::Duration wait, uint64_t newer_than, absl::Time now) {
  Tick(now);
  absl::StatusOr<Member*> member = FindMember(job, who);
  absl::Status status = member.ok() ? CheckOpen() : member.status();
  if (!status.ok()) {
    answers_.push_back({wait_id, status});
    return;
  }
  const Place place{who.role, who.rank};
  auto older = waits_.find(place);
  if (older != waits_.end()) EndWait(older, absl::AbortedError("the same member asked again"));
  waits_[place] = Wait{wait_id, newer_than,
                       now + std::clamp(wait, absl::ZeroDuration(), absl::Duration(kMaxWait))};
  AnswerWaits();
  Tick(now);
}

void Membership::CancelWait(uint64_t wait_id) {
  for (auto it = waits_.begin(); it != waits_.end(); ++it) {
    if (it->second.id != wait_id) continue;
    waits_.erase(it);
    return;
  }
}

absl::StatusOr<HeartbeatAnswer> Membership::Heartbeat(const JobKey& job, const MemberId& who,
                                                      const HeartbeatEvent& event, absl::Time now) {
  Tick(now);
  absl::StatusOr<Member*> found = FindMember(job, who);
  if (!found.ok()) return found.status();
  absl::Status status = CheckValues(event.values);
  if (!status.ok()) return status;
  MemberStatus& member = (*found)->status;
  HeartbeatAnswer answer;
  answer.lease = options_.lease;
  answer.epoch = options_.epoch;
  if (event.roster_generation < roster_.generation) answer.roster = roster_;
  answer.retire = !(*found)->wanted;
  const bool living = IsLiving(**found);
  if (!living && CheckOpen().ok()) {
    return absl::FailedPreconditionError(absl::StrCat(
        DescribeMember(member),
        member.state == MemberState::kLeft ? " has left"
                                           : " is lost: its lease ran out or its agent saw it end",
        " and reports to the job"));
  }
  if (living) {
    (*found)->heard = now;
    if (event.serving) member.state = MemberState::kServing;
    member.step = event.step;
    member.steps = event.steps;
    member.pushes = event.pushes;
    member.sessions = event.sessions;
    member.payload = event.payload;
    member.values = event.values;
    member.waits_for = Shortened(event.waits_for);
    if (!event.failure.empty())
      Fail(absl::StrCat(DescribeMember(member), " failed: ", Shortened(event.failure)));
    AnswerWaits();
  }
  answer.stop = !CheckOpen().ok();
  if (answer.stop) answer.reason = StopReason();
  return answer;
}

absl::Status Membership::Leave(const JobKey& job, const MemberId& who, const LeaveEvent& event,
                               absl::Time now) {
  Tick(now);
  absl::StatusOr<Member*> found = FindMember(job, who);
  if (!found.ok()) return found.status();
  MemberStatus& member = (*found)->status;
  if (member.state == MemberState::kLeft) return absl::OkStatus();
  absl::Status status = CheckValues(event.values);
  if (!status.ok()) return status;
  member.state = MemberState::kLeft;
  member.pushes = event.pushes;
  member.sessions = event.sessions;
  member.payload = event.payload;
  member.values = event.values;
  member.step = event.step;
  if (event.steps != 0) member.steps = event.steps;
  (*found)->done = member.steps != 0 && member.step >= member.steps;
  UpdateRoster();
  member.waits_for.clear();
  auto wait = waits_.find({who.role, who.rank});
  if (wait != waits_.end())
    EndWait(wait, absl::FailedPreconditionError("the caller has left the job"));
  if (member.role == MemberRole::kServer && !finished() && CheckOpen().ok()) {
    Fail(absl::StrCat(DescribeMember(member), " left while workers still needed it"));
  }
  return absl::OkStatus();
}

absl::Status Membership::Stop(const JobKey& job, absl::string_view reason, absl::Time now) {
  Tick(now);
  absl::Status status = CheckJob(job, /*id_required=*/true);
  if (!status.ok()) return status;
  if (!stopping_) stop_reason_ = reason.empty() ? "the operator said so" : Shortened(reason);
  stopping_ = true;
  Stopped();
  return absl::OkStatus();
}

}  // namespace weir
