// SPDX-License-Identifier: Apache-2.0
// Frames out: answers, refusals, credits, closes.
#include <utility>

#include "ps/shard_core.h"

namespace weir {

uint64_t PayloadBytesOf(const ServerFrame& frame) {
  if (const auto* pull = std::get_if<PullReplyFrame>(&frame.kind)) return pull->tensor_data.size();
  if (const auto* push = std::get_if<PushReplyFrame>(&frame.kind)) return push->tensor_data.size();
  if (const auto* state = std::get_if<StateReplyFrame>(&frame.kind)) return state->state.size();
  return 0;
}

Session* Shard::Core::Asker(const RequestRef& request) {
  Session* session = sessions_.Find(request.session);
  if (session == nullptr || session->state != Session::State::kOpen) return nullptr;
  return session->credits.InFlight(request.request_id) ? session : nullptr;
}

void Shard::Core::Answer(const RequestRef& request, Kind kind, uint64_t settles) {
  Session* session = Asker(request);
  if (session == nullptr) return;
  const uint32_t remaining = session->credits.Answer(request.request_id, settles);
  if (auto* pull = std::get_if<PullReplyFrame>(&kind)) pull->remaining = remaining;
  Queue(session, request, std::move(kind));
}

void Shard::Core::Finish(const RequestRef& request, Kind kind) {
  Session* session = Asker(request);
  if (session == nullptr) return;
  session->credits.End(request.request_id);
  Queue(session, request, std::move(kind));
}

void Shard::Core::Queue(Session* session, const RequestRef& request, Kind kind) {
  const bool is_answer = !std::holds_alternative<CreditFrame>(kind);
  ServerFrame frame;
  frame.request_id = request.request_id;
  frame.epoch = epoch_;
  frame.trace_id = request.trace_id;
  frame.push_bytes_released = session->credits.TellReleased();
  frame.hurry = request.sole;
  frame.kind = std::move(kind);
  sessions_.Queue(session, PayloadBytesOf(frame), is_answer, now_);
  out_->sends.push_back({session->id, std::move(frame)});
}

void Shard::Core::Error(const RequestRef& request, Outcome outcome, std::string reason) {
  Finish(request, ErrorReplyFrame{outcome, std::move(reason)});
}

void Shard::Core::Refuse(const RequestRef& request, const ClientFrame& frame, Outcome outcome,
                         std::string reason) {
  const auto* push = std::get_if<PushFrame>(&frame.kind);
  if (push == nullptr) return Error(request, outcome, std::move(reason));
  Release(request.session, push->gradient.size());
  Count(outcome);
  PushReplyFrame reply;
  reply.sequence = push->sequence;
  reply.tensor_id = push->tensor_id;
  reply.offset = push->offset;
  reply.outcome = outcome;
  reply.reason = std::move(reason);
  if (outcome == Outcome::kOverloaded) reply.retry_after_ms = kRetryAfterMs;
  Finish(request, std::move(reply));
}

void Shard::Core::Close(Session* session, absl::Status status) {
  sessions_.MarkClosing(session);
  waiting_.Drop(session->id);
  out_->closes.push_back({session->id, std::move(status)});
}

void Shard::Core::Release(uint64_t id, uint64_t push_bytes) {
  Session* session = push_bytes == 0 ? nullptr : sessions_.Find(id);
  if (session == nullptr) return;
  session->credits.Release(push_bytes);
  released_.push_back(id);
}

void Shard::Core::End() {
  for (const uint64_t id : released_) {
    Session* session = sessions_.Find(id);
    if (session == nullptr || session->state != Session::State::kOpen) continue;
    if (!session->credits.WantsCredit(store_.largest_slice_bytes())) continue;
    Queue(session, RequestRef(), CreditFrame());
  }
  released_.clear();
  out_ = nullptr;
}

void Shard::Core::Count(Outcome outcome) {
  switch (outcome) {
    case Outcome::kApplied:
      ++totals_.applied;
      break;
    case Outcome::kStale:
      ++totals_.stale;
      break;
    case Outcome::kDuplicate:
      ++totals_.duplicate;
      break;
    case Outcome::kOverloaded:
      ++totals_.overloaded;
      break;
    case Outcome::kMoved:
      ++totals_.moved;
      break;
    case Outcome::kInvalid:
      ++totals_.invalid;
      break;
    case Outcome::kFenced:
      ++totals_.fenced;
      break;
    case Outcome::kUnspecified:
    case Outcome::kPending:
      break;
  }
}

}  // namespace weir
