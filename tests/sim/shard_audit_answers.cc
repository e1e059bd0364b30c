// SPDX-License-Identifier: Apache-2.0
// What a shard answers, and whom it closes.
#include <algorithm>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "tests/sim/shard_audit.h"

namespace weir::sim {
namespace {

constexpr absl::Duration kJobsTime = absl::Seconds(2);

// What an answer says of its request; kUnspecified: it serves it.
Outcome OutcomeOf(const ServerFrame& frame) {
  if (const auto* push = std::get_if<PushReplyFrame>(&frame.kind)) return push->outcome;
  if (const auto* error = std::get_if<ErrorReplyFrame>(&frame.kind)) return error->outcome;
  return Outcome::kUnspecified;
}

}  // namespace

bool ShardAudit::Equal(const Payload& payload, size_t slice, uint64_t version) const {
  const std::vector<float>* right = world_->reference.At(epoch_, slice, version);
  if (right == nullptr || payload.size() != right->size() * sizeof(float)) return false;
  const char* at = reinterpret_cast<const char*>(right->data());
  for (const Payload::Chunk& chunk : payload.chunks()) {
    if (std::memcmp(chunk.data, at, chunk.size) != 0) return false;
    at += chunk.size;
  }
  return true;
}

void ShardAudit::CheckSend(const Shard& shard, const Effects::Send& send) {
  const auto at = sessions_.find(send.session);
  if (!Expect(Promise::kOutcome, at != sessions_.end() && !at->second.closing,
              [] { return "a frame goes to a session that is over"; })) {
    return;
  }
  Session& session = at->second;
  Expect(Promise::kCredits,
         send.frame.push_bytes_released >= session.released &&
             send.frame.push_bytes_released <= session.pushed,
         [&] {
           return absl::StrCat(send.frame.push_bytes_released, " of ", session.pushed,
                               " pushed bytes are released");
         });
  session.released = send.frame.push_bytes_released;
  if (std::holds_alternative<CreditFrame>(send.frame.kind)) return;
  const auto asked = session.asked.find(send.frame.request_id);
  if (!Expect(Promise::kOutcome, asked != session.asked.end(), [&] {
        return absl::StrCat("request ", send.frame.request_id, " is answered but was not asked");
      })) {
    return;
  }
  if (const auto* pull = std::get_if<PullReplyFrame>(&send.frame.kind)) {
    CheckPull(shard, &session, &asked->second, *pull);
    if (pull->remaining > 0) return;
  }
  const Asked answered = asked->second;
  session.asked.erase(asked);
  CheckReply(shard, &session, answered, send.frame);
}

void ShardAudit::CheckReply(const Shard& shard, Session* session, const Asked& asked,
                            const ServerFrame& frame) {
  const Outcome outcome = OutcomeOf(frame);
  const auto said = [&] {
    return absl::StrCat("worker ", session->worker, " incarnation ", session->incarnation,
                        " was answered ", std::string(OutcomeName(outcome)), " (frame kind ",
                        frame.kind.index(), ")");
  };
  Expect(Promise::kDeadline, world_->queue.now() <= asked.deadline + kJobsTime,
         [&] { return absl::StrCat(said(), " long after its deadline"); });
  if (const auto* hello = std::get_if<HelloReplyFrame>(&frame.kind)) {
    session->greeted = true;
    session->stated = *hello;
    if (session->role != SessionRole::kWorker) return;
    Expect(Promise::kFenced, session->incarnation >= newest_[session->worker], [&] {
      return absl::StrCat(said(), ", but incarnation ", newest_[session->worker],
                          " had said hello");
    });
    if (world_->scenario.ssp()) {
      clocks_.Greeted(session->worker, hello->clock,
                      session->incarnation > newest_[session->worker]);
    }
    newest_[session->worker] = std::max(newest_[session->worker], session->incarnation);
    uint64_t& nonce = nonces_[{session->worker, session->incarnation}];
    nonce = std::max(nonce, session->nonce);
    return;
  }
  if (asked.old_epoch) {
    Expect(Promise::kEpoch, outcome == Outcome::kMoved,
           [&] { return absl::StrCat(said(), " to a frame of another epoch"); });
  } else if (asked.fenced) {
    Expect(Promise::kFenced, outcome == Outcome::kFenced, [&] {
      return absl::StrCat(said(), ", but incarnation ", newest_[session->worker],
                          " had said hello");
    });
  } else if (!shard.status().serving) {
    Expect(Promise::kOutcome, outcome == Outcome::kOverloaded || outcome == Outcome::kMoved,
           [&] { return absl::StrCat(said(), " while the shard does not serve"); });
  }
  if (asked.leave && std::holds_alternative<LeaveReplyFrame>(frame.kind))
    clocks_.Left(session->worker);
  const auto* push = std::get_if<PushReplyFrame>(&frame.kind);
  if (push != nullptr && asked.honest_push) return CheckPush(*session, asked, *push);
  if (session->honest) {
    Expect(Promise::kOutcome, outcome != Outcome::kInvalid && !(push == nullptr && asked.push),
           [&] {
             return absl::StrCat(said(), ": ",
                                 std::get_if<ErrorReplyFrame>(&frame.kind) != nullptr
                                     ? std::get<ErrorReplyFrame>(frame.kind).reason
                                     : "");
           });
    return;
  }
  const bool refused = outcome != Outcome::kUnspecified && outcome != Outcome::kApplied &&
                       outcome != Outcome::kStale;
  Expect(Promise::kHostile, refused || !asked.push,
         [&] { return absl::StrCat("a stranger's push: ", said()); });
}

void ShardAudit::CheckPull(const Shard&, Session* session, Asked* asked,
                           const PullReplyFrame& reply) {
  const size_t slice = world_->reference.Find(reply.tensor_id, reply.offset);
  const uint64_t current = Current(slice);
  const auto what = [&] {
    return absl::StrCat("a pull of slice ", slice, " (condition ",
                        static_cast<int>(asked->condition), " ", asked->version,
                        ") brought version ", reply.version, reply.stale ? " stale" : "",
                        ", the current one is ", current);
  };
  if (!session->honest) return;
  asked->reply_bytes -= std::min<uint64_t>(asked->reply_bytes, world_->reference.SliceBytes(slice));
  bool right = reply.version == current;
  switch (asked->condition) {
    case PullCondition::kAny:
      break;
    case PullCondition::kHave:
      right = right && reply.not_modified == (asked->version == current);
      break;
    case PullCondition::kExpect:
      right = right && reply.stale == (asked->version != current);
      break;
    case PullCondition::kStep:
      if (world_->scenario.ssp()) break;
      right = reply.stale ? asked->version + 1 < current
                          : reply.version == asked->version && current <= asked->version + 1;
      break;
  }
  Expect(Promise::kOutcome, right, what);
  if (world_->scenario.ssp() && !reply.stale)
    clocks_.Read(slice, clocks_.ReadingClock(session->worker, slice, asked->clock));
  if (reply.stale || reply.not_modified) return;
  Expect(Promise::kSnapshot, Equal(reply.tensor_data, slice, reply.version),
         [&] { return absl::StrCat(what(), " with other bits"); });
}

void ShardAudit::CheckPush(const Session& session, const Asked& asked,
                           const PushReplyFrame& reply) {
  SentPush* push = world_->FindPush(asked.key);
  if (push == nullptr) return;
  ++world_->totals.of(reply.outcome);
  const uint64_t current = Current(asked.key.slice);
  const auto said = [&] {
    return absl::StrCat("push ", asked.key.sequence, " of worker ", session.worker, " incarnation ",
                        session.incarnation, " to slice ", asked.key.slice, " was answered ",
                        std::string(OutcomeName(reply.outcome)), " ", reply.version, " (",
                        reply.reason, "), the slice is at ", current);
  };
  bool right = true;
  switch (reply.outcome) {
    case Outcome::kApplied:
    case Outcome::kStale:
    case Outcome::kInvalid:
      CheckFinal(*push, reply, current);
      push->first = reply.outcome;
      break;
    case Outcome::kDuplicate:
      CheckDuplicate(*push, reply, current);
      break;
    case Outcome::kMoved:
      right = push->epoch != epoch_;
      break;
    case Outcome::kFenced: {
      const auto floor = confirmed_.find({session.worker, session.incarnation});
      right = session.incarnation < newest_[session.worker] ||
              (floor != confirmed_.end() && asked.key.sequence < floor->second);
      break;
    }
    case Outcome::kOverloaded:
      right = reply.retry_after_ms > 0;
      break;
    case Outcome::kPending:
      right = world_->queue.now() >= asked.deadline || push->received > 1;
      break;
    case Outcome::kUnspecified:
      right = false;
      break;
  }
  Expect(Promise::kOutcome, right, said);
  if (reply.count == 0) return;
  if (world_->scenario.ssp())
    clocks_.Read(asked.key.slice, clocks_.clock(session.worker, asked.key.slice));
  Expect(Promise::kSnapshot, Equal(reply.tensor_data, asked.key.slice, reply.version),
         [&] { return absl::StrCat(said(), " with other bits than that version"); });
}

// ssp: its worker had said that the step was over.
bool ShardAudit::IsTooLate(const SentPush& push) const {
  return world_->scenario.ssp() && push.step < clocks_.claimed(push.key.worker);
}

void ShardAudit::CheckFinal(const SentPush& push, const PushReplyFrame& reply, uint64_t current) {
  const auto& bound = world_->scenario.shard.max_staleness;
  const auto who = [&] {
    return absl::StrCat("push ", push.key.sequence, " of worker ", push.key.worker,
                        " from version ", push.base, " to slice ", push.key.slice, " was answered ",
                        std::string(OutcomeName(reply.outcome)), " ", reply.version, " (",
                        reply.reason, "); it was ", std::string(OutcomeName(push.first)), " ",
                        push.applied_version, ", the slice is at ", current);
  };
  switch (reply.outcome) {
    case Outcome::kApplied: {
      const uint64_t made = world_->scenario.bsp() ? push.step + 1 : push.applied_version;
      Expect(Promise::kOutcome,
             reply.version == made && made <= current && made > 0 && !push.poison, who);
      // In bsp a commit does not tell whose parts it took; the answer does.
      if (world_->scenario.bsp())
        Expect(Promise::kExactlyOnce, push.first == Outcome::kUnspecified, who);
      break;
    }
    case Outcome::kStale:
      Expect(Promise::kOutcome,
             world_->scenario.ssp() ? clocks_.Exceeds(push.key.slice, push.step)
                                    : !world_->scenario.bsp() && bound && current > push.base &&
                                          current - push.base > *bound,
             who);
      break;
    default:
      Expect(Promise::kPoison, push.poison || IsTooLate(push), who);
      break;
  }
  if (reply.outcome != Outcome::kApplied)
    Expect(Promise::kExactlyOnce, push.first == Outcome::kUnspecified, who);
}

void ShardAudit::CheckDuplicate(const SentPush& push, const PushReplyFrame& reply,
                                uint64_t current) {
  bool right = false;
  if (push.first != Outcome::kUnspecified) {
    right = reply.first == push.first;
  } else if (reply.first == Outcome::kApplied) {
    right = world_->scenario.ssp() ? push.step < clocks_.clock(push.key.worker, push.key.slice)
                                   : world_->scenario.bsp() && push.step < current;
  } else if (reply.first == Outcome::kPending) {
    right = world_->scenario.bsp() && push.step == current;
  } else {
    right = reply.first == Outcome::kInvalid && (push.poison || IsTooLate(push));
  }
  // In ssp another push may have ended the step.
  if (reply.first == Outcome::kApplied && push.first == Outcome::kApplied &&
      !world_->scenario.bsp())
    right = right && push.applied_version != 0;
  Expect(Promise::kExactlyOnce, right, [&] {
    return absl::StrCat("push ", push.key.sequence, " of worker ", push.key.worker, " to slice ",
                        push.key.slice, " was answered duplicate, first ",
                        std::string(OutcomeName(reply.first)), "; it was ",
                        std::string(OutcomeName(push.first)), " ", push.applied_version,
                        ", the slice is at ", current);
  });
}

void ShardAudit::CheckClose(const Effects::Close& close) {
  const auto at = sessions_.find(close.session);
  if (at == sessions_.end()) return;
  Session& session = at->second;
  session.closing = true;
  const std::string why(close.status.message());
  Expect(session.honest ? Promise::kOutcome : Promise::kHostile, !why.empty() && !close.status.ok(),
         [] { return "a session is closed without a word"; });
  if (!session.honest) return;
  bool right = false;
  switch (close.status.code()) {
    case absl::StatusCode::kAborted:
      right = nonces_[{session.worker, session.incarnation}] > session.nonce;
      break;
    case absl::StatusCode::kFailedPrecondition:
      right = session.incarnation < newest_[session.worker] ||
              nonces_[{session.worker, session.incarnation}] > session.nonce;
      break;
    case absl::StatusCode::kUnavailable:  // another layout may have other limits
      right = installing_;
      break;
    case absl::StatusCode::kDeadlineExceeded:
      right = !session.greeted;
      break;
    case absl::StatusCode::kResourceExhausted:
      right = why.find("read no answer") != std::string::npos;
      break;
    default:
      break;
  }
  Expect(Promise::kCredits, right, [&] {
    return absl::StrCat("worker ", session.worker, " is closed: ", close.status.ToString());
  });
}

}  // namespace weir::sim
