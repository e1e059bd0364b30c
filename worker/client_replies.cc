// SPDX-License-Identifier: Apache-2.0
// Answers of the shards. What a shard sends is data: an answer that does not fit its request ends
// the connection, and the request is sent again.
#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "worker/client_core.h"

namespace weir {
namespace {

// A request whose call has less time left is not sent again after OUTCOME_PENDING: the call ends
// first.
constexpr absl::Duration kWorthAsking = absl::Milliseconds(300);
constexpr absl::Duration kPendingPause = absl::Milliseconds(10);
// Refusals in a row of one push before tickets are given up for it.
constexpr uint32_t kPatience = 3;

Status Fenced(const std::string& reason) {
  return Status(StatusCode::kFailedPrecondition,
                absl::StrCat("fenced: a newer incarnation of this worker exists; stop",
                             reason.empty() ? "" : ": ", reason));
}

// How a push that is a duplicate can have ended before.
bool IsFirst(Outcome outcome) {
  return outcome == Outcome::kApplied || outcome == Outcome::kStale ||
         outcome == Outcome::kInvalid || outcome == Outcome::kPending;
}

}  // namespace

ClientCall* Client::Core::FindCall(const ClientRequest& request) {
  const auto at = calls_.find(request.call);
  return request.orphan || at == calls_.end() ? nullptr : &at->second;
}

void Client::Core::Receive(uint64_t connection, ServerFrame& frame) {
  const auto at = shard_of_connection_.find(connection);
  if (at == shard_of_connection_.end()) return;
  const size_t shard = at->second;
  ShardLink& session = sessions_[shard];
  session.credits.Released(frame.push_bytes_released);
  if (frame.epoch > epoch_) return Moved();
  if (frame.epoch < epoch_) {
    if (session.state != ShardLink::State::kReady) {
      Lose(shard,
           absl::StrCat("it serves epoch ", frame.epoch, ", the layout is of epoch ", epoch_));
    }
    return;  // of an epoch gone by: means nothing here
  }
  if (std::holds_alternative<CreditFrame>(frame.kind)) return;
  if (session.state != ShardLink::State::kReady) {
    if (frame.request_id != session.handshake) return;
    if (auto* bound = std::get_if<BindReplyFrame>(&frame.kind)) return OnBindReply(shard, *bound);
    if (auto* error = std::get_if<ErrorReplyFrame>(&frame.kind))
      return OnHandshakeError(shard, *error);
    return OnHelloReply(shard, frame);
  }
  ClientRequest* const found = requests_.Find(frame.request_id);
  if (found == nullptr || found->state != ClientRequest::State::kSent || found->shard != shard) {
    ++statistics_.ignored;
    return;
  }
  session.failures = 0;
  const uint64_t id = frame.request_id;
  ClientRequest& request = *found;
  if (auto* error = std::get_if<ErrorReplyFrame>(&frame.kind)) return OnError(id, request, *error);
  if (auto* pull = std::get_if<PullReplyFrame>(&frame.kind)) {
    if (request.kind == ClientRequestKind::kPull) return OnPull(id, request, *pull);
    if (request.kind == ClientRequestKind::kSync) return OnSyncPart(id, request, *pull);
  }
  auto* push = std::get_if<PushReplyFrame>(&frame.kind);
  if (push != nullptr && request.kind == ClientRequestKind::kPush)
    return OnPush(id, request, *push);
  auto* state = std::get_if<StateReplyFrame>(&frame.kind);
  if (state != nullptr && (request.kind == ClientRequestKind::kGetState ||
                           request.kind == ClientRequestKind::kPutState)) {
    return OnState(id, request, *state);
  }
  if (std::holds_alternative<LeaveReplyFrame>(frame.kind) &&
      request.kind == ClientRequestKind::kLeave)
    return Answered(id, request);
  BadFrame(shard, "it answered with a frame of another kind");
}

void Client::Core::BadFrame(size_t shard, const std::string& what) {
  Lose(shard, absl::StrCat("bad frame: ", what));
}

void Client::Core::OnHandshakeError(size_t shard, const ErrorReplyFrame& error) {
  ShardLink& session = sessions_[shard];
  switch (error.outcome) {
    case Outcome::kMoved:
      return Moved();
    case Outcome::kFenced:
      return Fail(Fenced(error.reason));
    case Outcome::kOverloaded:
      if (session.state != ShardLink::State::kBind) break;
      session.state = ShardLink::State::kBindLater;
      session.trouble = error.reason;
      session.due = now_ + backoff_.Jitter(options_.min_backoff);
      return;
    default:
      break;
  }
  Lose(shard, error.reason);
}

// The request's last answer is in; the call is done when it was the last request.
void Client::Core::Answered(uint64_t id, ClientRequest& request) {
  ClientCall* call = FindCall(request);
  const uint64_t call_id = request.call;
  Detach(id, request);
  if (request.orphan) orphan_pushes_.erase({request.sequence, request.order});
  if (call != nullptr) Part(*call, request);
  requests_.Erase(id);
  if (call == nullptr) {
    ++statistics_.ignored;
    return;
  }
  if (call->open == 0) Complete(call_id, *call);
}

void Client::Core::Part(ClientCall& call, const ClientRequest& request) {
  call.requests[request.index] = 0;
  --call.open;
}

// Takes an answered request out of its call, which goes on or is ended by the caller.
void Client::Core::Drop(uint64_t id, ClientRequest& request) {
  if (ClientCall* call = FindCall(request)) Part(*call, request);
  Detach(id, request);
  requests_.Erase(id);
}

void Client::Core::OnPush(uint64_t id, ClientRequest& request, PushReplyFrame& reply) {
  const SliceSpec& slice = slices_.slice(request.order);
  if (reply.sequence != request.sequence || reply.tensor_id != slice.tensor_id ||
      reply.offset != slice.offset ||
      (reply.count != 0 &&
       (reply.count != slice.count || !HasValues(request.order, reply.codec, reply.tensor_data)))) {
    return BadFrame(request.shard, "a push's answer does not fit the push");
  }
  if (reply.outcome == Outcome::kDuplicate && !IsFirst(reply.first)) {
    return BadFrame(request.shard, absl::StrCat("a duplicate of a push that ended as ",
                                                static_cast<int>(reply.first)));
  }
  switch (reply.outcome) {
    case Outcome::kApplied:
    case Outcome::kStale:
    case Outcome::kInvalid:
    case Outcome::kDuplicate:
      return OnPushFinal(id, request, reply);
    case Outcome::kOverloaded:
      return OnOverloaded(id, request, reply.retry_after_ms);
    case Outcome::kMoved:
      return Moved();
    case Outcome::kFenced:
      return request.orphan ? Answered(id, request) : Fail(Fenced(reply.reason));
    case Outcome::kPending:
      return OnPending(id, request, reply.reason);
    case Outcome::kUnspecified:
      break;
  }
  BadFrame(request.shard,
           absl::StrCat("outcome ", static_cast<int>(reply.outcome), " is not known"));
}

void Client::Core::OnPushFinal(uint64_t id, ClientRequest& request, PushReplyFrame& reply) {
  ClientCall* call = FindCall(request);
  if (call == nullptr) return Answered(id, request);
  ClientPiece& piece = call->pieces[request.piece];
  piece.outcome.outcome = static_cast<PushOutcome>(reply.outcome);
  piece.outcome.version = reply.version;
  piece.outcome.clocks_ahead = reply.clocks_ahead;
  if (reply.outcome == Outcome::kDuplicate)
    piece.outcome.first = static_cast<PushOutcome>(reply.first);
  if (reply.outcome == Outcome::kInvalid && call->reason.empty()) call->reason = reply.reason;
  if (!call->want_values || piece.outcome.ended() == PushOutcome::kInvalid) {
    return Answered(id, request);
  }
  // A duplicate names the version of its first end, so its values are asked for with the version
  // they have.
  if (reply.count == 0 || reply.outcome == Outcome::kDuplicate) return FollowWithPull(id, request);
  piece.outcome.values_version = reply.version;
  Deliver(*call, request.call, request.piece, std::move(reply.tensor_data), reply.version);
  Answered(id, request);
}

// The push is over but its answer brought no values: in bsp the weights that the next step reads
// are pulled, else the newest; in ssp as soon as the worker may read them.
void Client::Core::FollowWithPull(uint64_t id, ClientRequest& request) {
  ClientCall& call = calls_.at(request.call);
  ClientRequest pull;
  pull.piece = request.piece;
  pull.order = request.order;
  pull.shard = request.shard;
  pull.need.reply_bytes = slices_.values_bytes(request.order);
  if (bsp() && call.pieces[request.piece].outcome.ended() != PushOutcome::kStale) {
    pull.condition = PullCondition::kStep;
    pull.version = call.push_options.step + 1;
  }
  const uint64_t call_id = request.call;
  Drop(id, request);
  Ask(call_id, call, pull);
}

void Client::Core::OnState(uint64_t id, ClientRequest& request, StateReplyFrame& reply) {
  ClientCall* call = FindCall(request);
  if (call != nullptr && request.kind == ClientRequestKind::kGetState) {
    call->found_state.sequence = reply.sequence;
    call->found_state.state.resize(reply.state.size());
    reply.state.CopyTo(&call->found_state.state[0]);
  }
  Answered(id, request);
}

void Client::Core::OnError(uint64_t id, ClientRequest& request, const ErrorReplyFrame& error) {
  switch (error.outcome) {
    case Outcome::kMoved:
      return Moved();
    case Outcome::kFenced:
      return request.orphan ? Answered(id, request) : Fail(Fenced(error.reason));
    case Outcome::kOverloaded:
      return OnOverloaded(id, request, 0);
    case Outcome::kPending:
      return OnPending(id, request, error.reason);
    default:
      break;
  }
  const size_t shard = request.shard;
  const uint64_t call_id = request.call;
  if (FindCall(request) == nullptr) return Answered(id, request);
  Drop(id, request);
  End(call_id,
      Status(StatusCode::kInvalidArgument, absl::StrCat(ShardName(shard), ": ", error.reason)));
}

void Client::Core::OnOverloaded(uint64_t id, ClientRequest& request, uint32_t retry_after_ms) {
  ++statistics_.overloaded;
  if (request.orphan) return Answered(id, request);
  Detach(id, request);
  // A ticket that nobody comes back to keeps the shards from forgetting anything after it, until
  // they are full.
  if (request.kind == ClientRequestKind::kPush && request.refused >= kPatience) {
    sequences_.ForgetOldestTicket();
  }
  Delay(id, request,
        std::max(absl::Milliseconds(retry_after_ms), backoff_.Next(++request.refused)));
}

void Client::Core::OnPending(uint64_t id, ClientRequest& request, const std::string& reason) {
  ClientCall* call = FindCall(request);
  if (call == nullptr) return Answered(id, request);
  call->waits_for = reason;
  Detach(id, request);
  if (call->deadline - now_ > kWorthAsking) {
    Delay(id, request, kPendingPause);
  } else {
    request.state = ClientRequest::State::kParked;
  }
}

void Client::Core::Moved() {
  ++statistics_.moved;
  const Status why(
      StatusCode::kAborted,
      absl::StrCat("the job has left epoch ", epoch_,
                   ": what was known of it is void; sync, then go on from what it brings"));
  std::vector<uint64_t> planned;
  for (const auto& [id, call] : calls_) {
    if (call.planned) planned.push_back(id);
  }
  for (const uint64_t id : planned) End(id, why);
  for (const auto& [connection, shard] : shard_of_connection_)
    effects_->push_back(DisconnectEffect{connection});
  shard_of_connection_.clear();
  sessions_.clear();
  requests_.Clear();
  orphan_pushes_.clear();
  sequences_.ForgetTickets();
  delivered_.assign(delivered_.size(), kNever);
  has_layout_ = false;
  if (fetching_) return;
  fetching_ = true;
  effects_->push_back(FetchLayoutEffect{epoch_});
}

}  // namespace weir
