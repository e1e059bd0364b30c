// SPDX-License-Identifier: Apache-2.0
// Values that shards send, in answer to pulls and syncs: whether they fit, and where they go, to
// the caller's memory or lent to it where they lie.
#include <cstdint>
#include <utility>

#include "absl/strings/str_cat.h"
#include "worker/client_core.h"

namespace weir {
namespace {

Status Gone(uint64_t step, uint64_t newest) {
  return Status(
      StatusCode::kAborted,
      absl::StrCat("the weights that step ", step, " reads are gone: the newest version is ",
                   newest, "; sync without a step and go on from there"));
}

}  // namespace

// Whether an answer holds the values of the slice, in the codec asked for.
bool Client::Core::HasValues(size_t slice, Codec codec, const Payload& payload) const {
  return Specified(codec) == slices_.codec(slice).pull &&
         payload.size() == slices_.values_bytes(slice);
}

void Client::Core::Deliver(ClientCall& call, uint64_t id, size_t piece, Payload payload,
                           uint64_t version) {
  const ClientPiece& at = call.pieces[piece];
  const MutableTensorView& into =
      call.kind == ClientCallKind::kPush ? call.pushes[at.entry].into : call.pulls[at.entry].into;
  delivered_[at.slice] = version;
  statistics_.traffic.received_bytes += payload.size();
  statistics_.traffic.received_copied_bytes += payload.copied_bytes();
  const SliceSpec& slice = slices_.slice(at.slice);
  Buffer block;
  char* to = static_cast<char*>(into.data);
  if (to != nullptr) {
    to += slice.offset * sizeof(float);
  } else {
    if (Lend(call, at.slice, payload, version)) return;
    // Put together, or decoded, in a block that is warm from the last one.
    block = pool_->Allocate(slice.count * sizeof(float));
    call.lent.push_back({slices_.tensor(at.slice), slice.offset, slice.count, version,
                         block.floats(), block.owner()});
    to = block.data();
  }
  effects_->push_back(DeliverEffect{id, slices_.codec(at.slice).pull, std::move(payload), to,
                                    slice.count, std::move(block)});
}

// Lends values as they have come, if they lie in one piece.
bool Client::Core::Lend(ClientCall& call, size_t slice, const Payload& payload, uint64_t version) {
  if (slices_.codec(slice).pull != Codec::kF32 || payload.chunks().size() != 1) return false;
  const Payload::Chunk& chunk = payload.chunks()[0];
  if (reinterpret_cast<uintptr_t>(chunk.data) % alignof(float) != 0) return false;
  const SliceSpec& spec = slices_.slice(slice);
  ShardLink& session = sessions_[spec.shard];
  session.credits.Lend(payload.size());
  call.loans.push_back({call.lent.size(), session.connection, payload.size()});
  call.lent.push_back({slices_.tensor(slice), spec.offset, spec.count, version,
                       reinterpret_cast<const float*>(chunk.data), chunk.owner});
  return true;
}

// A session that has ended since holds no credit any more.
void Client::Core::Returned(const Loan& loan) {
  const auto at = shard_of_connection_.find(loan.connection);
  if (at != shard_of_connection_.end()) sessions_[at->second].credits.Returned(loan.bytes);
}

void Client::Core::OnPull(uint64_t id, ClientRequest& request, PullReplyFrame& reply) {
  const SliceSpec& slice = slices_.slice(request.order);
  const bool has_data = !reply.stale && !reply.not_modified;
  if (reply.tensor_id != slice.tensor_id || reply.offset != slice.offset ||
      reply.count != slice.count || reply.remaining != 0 ||
      (has_data && !HasValues(request.order, reply.codec, reply.tensor_data)) ||
      (reply.not_modified && request.condition != PullCondition::kHave) ||
      (reply.stale && request.condition != PullCondition::kExpect &&
       request.condition != PullCondition::kStep)) {
    return BadFrame(request.shard, "a pull's answer does not fit the pull");
  }
  ClientCall* call = FindCall(request);
  if (call == nullptr) return Answered(id, request);
  if (reply.stale && request.condition == PullCondition::kStep) {
    const uint64_t call_id = request.call;
    const uint64_t step = request.version;
    Drop(id, request);
    return End(call_id, Gone(step, reply.version));
  }
  ClientPiece& piece = call->pieces[request.piece];
  if (has_data)
    Deliver(*call, request.call, request.piece, std::move(reply.tensor_data), reply.version);
  if (call->kind == ClientCallKind::kPush) {
    piece.outcome.values_version = reply.version;
  } else {
    piece.version = reply.version;
    call->stale += reply.stale;
    call->not_modified += reply.not_modified;
    if (reply.not_modified) delivered_[piece.slice] = reply.version;
  }
  Answered(id, request);
}

void Client::Core::OnSyncPart(uint64_t id, ClientRequest& request, PullReplyFrame& reply) {
  const size_t slice = slices_.At(reply.tensor_id, reply.offset);
  ClientCall* call = FindCall(request);
  if (call == nullptr) {
    if (reply.remaining == 0) Answered(id, request);
    return;
  }
  const auto at = call->piece_of.find(slice);
  if (reply.stale) {
    const uint64_t call_id = request.call;
    if (reply.remaining == 0) Drop(id, request);
    return End(call_id, Gone(call->pull_options.step.value_or(0), reply.version));
  }
  if (at == call->piece_of.end() || slices_.slice(slice).shard != request.shard ||
      !HasValues(slice, reply.codec, reply.tensor_data) || reply.not_modified ||
      !request.answered.insert(slice).second ||
      reply.remaining != request.need.requests - request.answered.size()) {
    return BadFrame(request.shard, "a sync's answer does not fit the layout");
  }
  call->pieces[at->second].version = reply.version;
  Deliver(*call, request.call, at->second, std::move(reply.tensor_data), reply.version);
  if (reply.remaining == 0) Answered(id, request);
}

}  // namespace weir
