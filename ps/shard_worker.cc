// SPDX-License-Identifier: Apache-2.0
// Hello, leave, and the opaque state of a worker.
#include <utility>

#include "absl/strings/str_cat.h"
#include "ps/shard_core.h"

namespace weir {

void Shard::Core::OnHello(Session* session, const RequestRef& request, const HelloFrame& hello) {
  if (absl::Status status =
          CheckHello({options_.shard, options_.job_id, options_.job_token}, hello);
      !status.ok()) {
    return Close(session, std::move(status));
  }
  if (hello.role == SessionRole::kWorker) {
    const bool is_successor = hello.incarnation > ledger_.newest(hello.worker_id);
    const PushLedger::Standing standing = ledger_.Enter(hello.worker_id, hello.incarnation);
    if (standing == PushLedger::Standing::kFenced) {
      return Close(session,
                   absl::FailedPreconditionError(absl::StrCat(
                       "fenced: incarnation ", ledger_.newest(hello.worker_id), " of worker ",
                       hello.worker_id, " has been here, this is incarnation ", hello.incarnation,
                       ": stop")));
    }
    if (standing == PushLedger::Standing::kFull) {
      return Close(session,
                   absl::ResourceExhaustedError(absl::StrCat(
                       "this shard knows ", options_.limits.max_workers, " workers, its limit")));
    }
    if (is_successor) clocks_.Enter(hello.worker_id);
  }
  absl::StatusOr<std::optional<uint64_t>> replaced = sessions_.Enter(session, hello);
  if (!replaced.ok()) return Close(session, replaced.status());
  if (replaced->has_value()) {
    Close(sessions_.Find(**replaced),
          absl::AbortedError(absl::StrCat("a newer session of worker ", hello.worker_id,
                                          " incarnation ", hello.incarnation, " lane ", hello.lane,
                                          " replaces this one")));
  }
  HelloReplyFrame reply;
  reply.protocol = kProtocol;
  reply.shard = options_.shard;
  reply.mode = static_cast<uint32_t>(options_.mode);
  reply.gradient_shards = options_.gradient_shards;
  session->credits.SetMaxRequests(max_requests_);
  reply.max_requests = max_requests_;
  reply.max_push_bytes = options_.limits.max_push_bytes;
  reply.max_reply_bytes = options_.limits.max_reply_bytes;
  reply.max_frame_bytes = options_.limits.max_frame_bytes;
  reply.max_wait_ms = options_.limits.max_wait_ms;
  reply.write_timeout_ms = options_.limits.write_timeout_ms;
  if (hello.role == SessionRole::kWorker) {
    reply.last_sequence = ledger_.last(hello.worker_id).sequence;
    reply.last_batch = ledger_.last(hello.worker_id).batch;
    reply.next_batch = ledger_.next_batch(hello.worker_id);
    reply.clock = clocks_.claimed(hello.worker_id);
  }
  reply.has_max_staleness = options_.max_staleness.has_value();
  reply.max_staleness = options_.max_staleness.value_or(0);
  reply.build_id = options_.build_id;
  Finish(request, std::move(reply));
}

bool Shard::Core::HasLeft(const Session& session) const {
  const auto note = notes_.find(session.worker);
  return note != notes_.end() && note->second.has_left &&
         note->second.left_incarnation == session.incarnation;
}

void Shard::Core::OnLeave(Session* session, const RequestRef& request) {
  if (session->role != SessionRole::kWorker)
    return Error(request, Outcome::kInvalid, "a reader has nothing to leave");
  WorkerNote& note = notes_[session->worker];
  note.has_left = true;
  note.left_incarnation = session->incarnation;
  Finish(request, LeaveReplyFrame());
  if (ssp_ == nullptr) return;
  clocks_.Leave(session->worker);
  ServeReads();
}

void Shard::Core::OnPutState(Session* session, const RequestRef& request,
                             const PutStateFrame& put) {
  if (session->role != SessionRole::kWorker)
    return Error(request, Outcome::kInvalid, "a reader has no state to put");
  if (put.sequence == 0)
    return Error(request, Outcome::kInvalid, "the sequence of a state is at least 1");
  if (put.state.size() > options_.limits.max_state_bytes) {
    return Error(request, Outcome::kInvalid,
                 absl::StrCat("a state of ", put.state.size(), " bytes, more than ",
                              options_.limits.max_state_bytes));
  }
  WorkerNote& note = notes_[session->worker];
  if (put.sequence >= note.state_sequence) {
    note.state_sequence = put.sequence;
    note.state = pool_->Allocate(put.state.size());
    put.state.CopyTo(note.state.data());
  }
  Finish(request, StateReplyFrame{note.state_sequence, {}});
}

void Shard::Core::OnGetState(Session* session, const RequestRef& request) {
  if (session->role != SessionRole::kWorker)
    return Error(request, Outcome::kInvalid, "a reader has no state to get");
  const auto note = notes_.find(session->worker);
  if (note == notes_.end() || note->second.state_sequence == 0)
    return Finish(request, StateReplyFrame());
  Finish(request, StateReplyFrame{note->second.state_sequence, Payload(note->second.state)});
}

}  // namespace weir
