// SPDX-License-Identifier: Apache-2.0
// Events, sessions and slices. What a shard answers is checked in shard_audit_answers.cc.
#include "tests/sim/shard_audit.h"

#include <algorithm>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "core/tensor_sum.h"

namespace weir::sim {
namespace {

// A push may wait behind the jobs of its slice beyond its deadline.
constexpr absl::Duration kJobsTime = absl::Seconds(2);

}  // namespace

std::string ShardAudit::Sentenced(const std::string& what) const {
  return absl::StrCat("shard ", shard_, ": ", what);
}

void ShardAudit::Opened(uint64_t session) { sessions_[session]; }

void ShardAudit::Closed(uint64_t session) { sessions_.erase(session); }

void ShardAudit::JobDone(uint64_t job) {
  const auto at = jobs_.find(job);
  done_ = at == jobs_.end() ? nullptr : &at->second;
}

void ShardAudit::Installing(uint64_t epoch) {
  epoch_ = epoch;
  installing_ = true;
  slices_.clear();
  for (size_t i = 0; i < world_->reference.slices(); ++i) {
    if (world_->reference.spec(i).shard == shard_) slices_.push_back(i);
  }
  for (const size_t slice : slices_) world_->reference.Begin(epoch, slice);
  versions_.assign(slices_.size(), 0);
  begun_.assign(slices_.size(), false);
  confirmed_.clear();
  clocks_.Installing();
}

void ShardAudit::CheckInstalled() {
  installing_ = false;
  for (const auto& [id, session] : sessions_) {
    Expect(Promise::kEpoch, session.asked.empty() || session.closing, [&, at = id] {
      return absl::StrCat("a request of session ", at, " waits for an epoch gone by");
    });
  }
}

void ShardAudit::CheckQuiet() {
  for (const auto& [id, session] : sessions_) {
    for (const auto& [request, asked] : session.asked) {
      Expect(Promise::kDeadline,
             session.closing || world_->queue.now() <= asked.deadline + kJobsTime,
             [&, at = id, name = request] {
               return absl::StrCat("request ", name, " of session ", at, " was never answered");
             });
    }
  }
}

void ShardAudit::Received(uint64_t id, const ClientFrame& frame) {
  const auto at = sessions_.find(id);
  if (at == sessions_.end() || at->second.closing) return;
  Session& session = at->second;
  Asked& asked = session.asked[frame.request_id];
  const uint32_t longest = world_->scenario.shard.limits.max_wait_ms;
  const uint32_t wait = frame.deadline_ms == 0 ? longest : std::min(frame.deadline_ms, longest);
  asked.deadline = world_->queue.now() + absl::Milliseconds(wait);
  if (const auto* hello = std::get_if<HelloFrame>(&frame.kind)) {
    asked.hello = true;
    Greet(&session, *hello);
    return;
  }
  asked.old_epoch = frame.epoch != epoch_;
  asked.fenced =
      session.role == SessionRole::kWorker && session.incarnation < newest_[session.worker];
  Ask(&session, frame, &asked);
  if (session.honest) CheckCredits(session);
}

void ShardAudit::Greet(Session* session, const HelloFrame& hello) {
  session->honest = hello.build_id == kHonestBuild;
  session->role = hello.role;
  session->worker = hello.worker_id;
  session->incarnation = hello.incarnation;
  session->nonce = hello.session_nonce;
}

void ShardAudit::Ask(Session* session, const ClientFrame& frame, Asked* asked) {
  if (const auto* push = std::get_if<PushFrame>(&frame.kind)) return AskPush(session, *push, asked);
  asked->leave = std::holds_alternative<LeaveFrame>(frame.kind);
  if (const auto* pull = std::get_if<PullFrame>(&frame.kind)) {
    asked->condition = pull->condition;
    asked->version = pull->version;
    const size_t slice = world_->reference.Find(pull->tensor_id, pull->offset);
    AskAtClock(*session, asked);
    if (session->honest && slice < world_->reference.slices())
      asked->reply_bytes = world_->reference.SliceBytes(slice);
  } else if (const auto* sync = std::get_if<SyncFrame>(&frame.kind)) {
    asked->condition = sync->at_step ? PullCondition::kStep : PullCondition::kAny;
    asked->version = sync->step;
    for (const size_t slice : slices_) {
      const uint32_t tensor = world_->reference.spec(slice).tensor_id;
      const bool named = std::find(sync->tensor_ids.begin(), sync->tensor_ids.end(), tensor) !=
                         sync->tensor_ids.end();
      if (named || sync->tensor_ids.empty())
        asked->reply_bytes += world_->reference.SliceBytes(slice);
    }
    AskAtClock(*session, asked);
  }
}

// ssp: at which clock the reader says that it is.
void ShardAudit::AskAtClock(const Session& session, Asked* asked) {
  if (!world_->scenario.ssp() || !session.honest || asked->old_epoch || asked->fenced) return;
  if (asked->condition != PullCondition::kStep) return;
  clocks_.Claimed(session.worker, asked->version);
  asked->clock = asked->version;
}

void ShardAudit::AskPush(Session* session, const PushFrame& push, Asked* asked) {
  asked->push = true;
  asked->step = push.step;
  asked->key = {session->worker, session->incarnation, push.sequence,
                world_->reference.Find(push.tensor_id, push.offset)};
  session->pushed += push.gradient.size();
  if (!session->honest) return;
  if (push.want_values) asked->reply_bytes = world_->reference.SliceBytes(asked->key.slice);
  asked->honest_push = true;
  SentPush* sent = world_->FindPush(asked->key);
  if (!Expect(Promise::kExactlyOnce, sent != nullptr,
              [] { return "a push has arrived that nobody sent"; }))
    return;
  if (++sent->received > 1) world_->Count(Fault::kDuplicate);
  if (asked->old_epoch || asked->fenced) return;
  uint64_t& confirmed = confirmed_[{session->worker, session->incarnation}];
  confirmed = std::max(confirmed, push.lowest_pending);
  clocks_.Claimed(session->worker, push.step);
}

void ShardAudit::CheckCredits(const Session& session) {
  const HelloReplyFrame& limits = session.stated;
  uint64_t bytes = 0;
  for (const auto& [id, asked] : session.asked) bytes += asked.reply_bytes;
  Expect(Promise::kCredits,
         session.asked.size() <= limits.max_requests && bytes <= limits.max_reply_bytes &&
             session.pushed - session.released <= limits.max_push_bytes,
         [&] {
           return absl::StrCat("worker ", session.worker, " has ", session.asked.size(),
                               " requests, ", bytes, " reply bytes and ",
                               session.pushed - session.released, " pushed bytes in flight");
         });
}

void ShardAudit::Check(const Shard& shard, const Effects& effects) {
  for (const Job& job : effects.jobs) {
    OutJob& out = jobs_[job.id];
    out.epoch = epoch_;
    const auto* fold = std::get_if<FoldJob>(&job.work);
    if (fold == nullptr || world_->scenario.bsp()) continue;
    std::vector<char> bits(fold->gradient.size());
    fold->gradient.CopyTo(bits.data());
    const auto at =
        world_->push_of_bits.find({slices_[job.slice], World::HashOf(bits.data(), bits.size())});
    if (at != world_->push_of_bits.end()) out.push = world_->FindPush(at->second);
  }
  CheckSlices(shard);
  for (const Effects::Send& send : effects.sends) CheckSend(shard, send);
  for (const Effects::Close& close : effects.closes) CheckClose(close);
  done_ = nullptr;
}

uint64_t ShardAudit::Current(size_t slice) const {
  const auto at = std::find(slices_.begin(), slices_.end(), slice);
  return at == slices_.end() ? 0 : versions_[static_cast<size_t>(at - slices_.begin())];
}

void ShardAudit::CheckSlices(const Shard& shard) {
  for (size_t i = 0; i < slices_.size(); ++i) {
    const SliceSnapshot slice = shard.snapshot(i);
    if (!slice.weights) continue;
    if (!begun_[i] || slice.version != versions_[i]) CheckCommit(i, slice);
    begun_[i] = true;
    const std::vector<float>* right = world_->reference.At(epoch_, slices_[i], slice.version);
    const bool same = right != nullptr && std::memcmp(right->data(), slice.weights.data(),
                                                      right->size() * sizeof(float)) == 0;
    Expect(Promise::kSnapshot, same, [&] {
      return absl::StrCat("the weights of slice ", slices_[i], " changed under version ",
                          slice.version);
    });
  }
}

// The slice has another version than before the event.
void ShardAudit::CheckCommit(size_t local, const SliceSnapshot& snapshot) {
  const size_t slice = slices_[local];
  const uint64_t before = versions_[local];
  versions_[local] = snapshot.version;
  world_->Note("commit", {{"shard", shard_}, {"slice", slice}, {"version", snapshot.version}});
  world_->trace.Bits(snapshot.weights.data(), snapshot.weights.size());
  const uint64_t expected = begun_[local] ? before + 1 : 0;
  if (!Expect(Promise::kVersions, snapshot.version == expected, [&] {
        return absl::StrCat("slice ", slice, " went from version ", before, " to ",
                            snapshot.version);
      })) {
    return;
  }
  if (begun_[local] && world_->scenario.bsp()) world_->reference.CommitStep(epoch_, slice);
  if (begun_[local] && !world_->scenario.bsp()) CheckAppliedPush(slice, snapshot.version);
  const size_t count = world_->reference.spec(slice).count;
  Expect(Promise::kPoison, AllFinite(snapshot.weights.data(), count), [&] {
    return absl::StrCat("version ", snapshot.version, " of slice ", slice,
                        " holds NaN or infinity");
  });
  const std::vector<float>* right = world_->reference.At(epoch_, slice, snapshot.version);
  Expect(Promise::kSameBits,
         right != nullptr &&
             std::memcmp(right->data(), snapshot.weights.data(), count * sizeof(float)) == 0,
         [&] {
           return absl::StrCat("version ", snapshot.version, " of slice ", slice,
                               " has other bits than the reference");
         });
}

// asp, ssp: a version was made; the push that made it must have been allowed to.
void ShardAudit::CheckAppliedPush(size_t slice, uint64_t version) {
  const SentPush* found = done_ == nullptr ? nullptr : done_->push;
  if (!Expect(Promise::kSameBits, found != nullptr, [&] {
        return absl::StrCat("version ", version, " of slice ", slice, " comes from no push");
      })) {
    return;
  }
  SentPush& push = *world_->FindPush(found->key);
  const auto who = [&] {
    return absl::StrCat("push ", push.key.sequence, " of worker ", push.key.worker, " incarnation ",
                        push.key.incarnation, " became version ", version, " of slice ", slice);
  };
  Expect(Promise::kEpoch, push.epoch == epoch_, [&] {
    return absl::StrCat(who(), " in epoch ", epoch_, ", but is of epoch ", push.epoch);
  });
  Expect(Promise::kFenced, push.key.incarnation >= newest_[push.key.worker], [&] {
    return absl::StrCat(who(), ", but incarnation ", newest_[push.key.worker], " had said hello");
  });
  Expect(Promise::kExactlyOnce, push.applied_version == 0, [&] {
    return absl::StrCat(who(), ", but was version ", push.applied_version, " already");
  });
  const auto& bound = world_->scenario.shard.max_staleness;
  const bool is_versions = bound && !world_->scenario.ssp();
  Expect(Promise::kStaleness,
         push.base < version && (!is_versions || version - 1 - push.base <= *bound),
         [&] { return absl::StrCat(who(), ", but was computed from version ", push.base); });
  Expect(Promise::kPoison, !push.poison,
         [&] { return absl::StrCat(who(), ", but holds NaN or infinity"); });
  if (world_->scenario.ssp()) clocks_.Applied(slice, push);
  push.applied_version = version;
  push.first = Outcome::kApplied;
  world_->reference.CommitPush(epoch_, slice, push);
}

}  // namespace weir::sim
