// SPDX-License-Identifier: Apache-2.0
// Hello and bind, from the connection to the session that requests may go by.
#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "worker/client_core.h"

namespace weir {
namespace {

// Of the answer to a bind, encoded, at most: a binding beside its name, a slice, and all that is
// asked for at once, a part of what a frame holds.
constexpr uint64_t kBindingBytes = 32 + 11 * kMaxDimensions;
constexpr uint64_t kSliceBytes = 26;
constexpr uint64_t kMaxBindBytes = 1 << 20;

}  // namespace

void Client::Core::SendHello(ShardLink& session, size_t shard) {
  HelloFrame hello;
  hello.job_id = options_.job_id;
  hello.job_token = options_.job_token;
  hello.role = options_.role;
  hello.worker_id = options_.worker_id;
  hello.incarnation = options_.incarnation;
  hello.session_nonce = next_nonce_++;
  hello.lane = options_.lane;
  hello.shard = static_cast<uint32_t>(shard);
  hello.build_id = options_.build_id;
  session.state = ShardLink::State::kHello;
  session.handshake = next_request_++;
  ClientFrame frame;
  frame.request_id = session.handshake;
  frame.epoch = epoch_;
  frame.kind = std::move(hello);
  effects_->push_back(
      SendEffect{session.connection, static_cast<uint32_t>(shard), std::move(frame)});
}

// Up to which tensor from bind_first the answer fits a frame; one alone always does.
size_t Client::Core::BindEnd(const ShardLink& session, size_t shard) const {
  const uint64_t limit = std::min(session.max_frame_bytes, kMaxBindBytes);
  uint64_t bytes = 0;
  size_t tensor = session.bind_first;
  size_t slice = slices_.At(static_cast<uint32_t>(tensor + 1), 0);
  for (; tensor < names_.size(); ++tensor) {
    bytes += kBindingBytes + names_[tensor].size();
    for (; slice < slices_.size() && slices_.tensor(slice) == tensor; ++slice) {
      if (slices_.slice(slice).shard == shard) bytes += kSliceBytes;
    }
    if (bytes > limit && tensor > session.bind_first) break;
  }
  return tensor;
}

// All names at once, or as many as fit; the answer brings the next.
void Client::Core::SendBind(ShardLink& session, size_t shard) {
  BindFrame bind;
  session.bind_end = BindEnd(session, shard);
  if (session.bind_first != 0 || session.bind_end != names_.size()) {
    bind.layer_names.assign(names_.begin() + session.bind_first, names_.begin() + session.bind_end);
  }
  session.state = ShardLink::State::kBind;
  session.handshake = next_request_++;
  session.due = now_ + kHandshakeTime;
  ClientFrame frame;
  frame.request_id = session.handshake;
  frame.epoch = epoch_;
  frame.kind = std::move(bind);
  effects_->push_back(
      SendEffect{session.connection, static_cast<uint32_t>(shard), std::move(frame)});
}

void Client::Core::OnHelloReply(size_t shard, const ServerFrame& frame) {
  ShardLink& session = sessions_[shard];
  const auto* hello = std::get_if<HelloReplyFrame>(&frame.kind);
  if (hello == nullptr || session.state != ShardLink::State::kHello || hello->shard != shard) {
    return BadFrame(shard, "it did not answer hello");
  }
  if (hello->protocol != kProtocol) {
    return Fail(Status(StatusCode::kFailedPrecondition,
                       absl::StrCat(ShardName(shard), " speaks protocol ", hello->protocol,
                                    ", this worker ", kProtocol)));
  }
  const uint32_t mode = static_cast<uint32_t>(options_.mode);  // values are those of weir.v1.Mode
  if (hello->mode != mode) {
    return Fail(Status(StatusCode::kFailedPrecondition,
                       absl::StrCat(ShardName(shard), " runs mode ", hello->mode,
                                    ", this worker's job mode ", mode)));
  }
  if (hello->last_sequence > Sequences::kMax) {
    return BadFrame(shard, absl::StrCat("it remembers sequence ", hello->last_sequence,
                                        ", above the greatest there may be"));
  }
  session.credits.SetLimits(hello->max_requests, hello->max_push_bytes, hello->max_reply_bytes);
  session.max_wait_ms = hello->max_wait_ms;
  sequences_.Seen(hello->last_sequence);
  next_batch_ = std::max(next_batch_, hello->next_batch);
  clock_ = std::max(clock_, hello->clock);
  session.max_frame_bytes = hello->max_frame_bytes;
  session.bind_first = 0;
  SendBind(session, shard);
}

void Client::Core::OnBindReply(size_t shard, const BindReplyFrame& reply) {
  ShardLink& session = sessions_[shard];
  if (session.state != ShardLink::State::kBind) return BadFrame(shard, "a bind reply out of turn");
  const auto asked = [&session](uint32_t tensor_id) {
    return tensor_id > session.bind_first && tensor_id <= session.bind_end;
  };
  for (const BindReplyFrame::Binding& binding : reply.bindings) {
    if (!asked(binding.tensor_id) || names_[binding.tensor_id - 1] != binding.layer_name) {
      return Lose(shard,
                  absl::StrCat("it binds ", binding.layer_name, " to another id than the layout"));
    }
  }
  size_t ours = 0;
  for (size_t i = 0; i < slices_.size(); ++i) {
    ours += slices_.slice(i).shard == shard && asked(slices_.slice(i).tensor_id);
  }
  bool same = ours == reply.slices.size();
  for (const SliceSpec& slice : reply.slices) {
    const size_t at = slices_.At(slice.tensor_id, slice.offset);
    same = same && asked(slice.tensor_id) && at < slices_.size() &&
           slices_.slice(at).count == slice.count && slices_.slice(at).shard == shard;
  }
  if (!same) return Lose(shard, "it holds other slices than the layout says");
  if (session.bind_end == names_.size()) return Ready(session);
  session.bind_first = session.bind_end;
  SendBind(session, shard);
}

}  // namespace weir
