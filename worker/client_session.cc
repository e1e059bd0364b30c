// SPDX-License-Identifier: Apache-2.0
// Connections, and the sending of requests within the credits.
#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "worker/client_core.h"

namespace weir {
namespace {

// The server is given less time than is left, so that its answer, which says whom it waits for,
// comes before the call ends.
constexpr int64_t kAnswerMs = 250;

// A read whose answer may overtake others on the stream; see net/outbound_queue.h.
constexpr uint64_t kSmallReadBytes = 8 << 10;

// One that waits for a step is none: it would keep its credit until others have been sent.
bool IsSmallRead(const ClientRequest& request) {
  return request.kind == ClientRequestKind::kPull && request.condition != PullCondition::kStep &&
         request.need.reply_bytes <= kSmallReadBytes;
}

bool Refuses(const absl::Status& why) {
  return why.code() == absl::StatusCode::kFailedPrecondition ||
         why.code() == absl::StatusCode::kUnauthenticated ||
         why.code() == absl::StatusCode::kPermissionDenied ||
         why.code() == absl::StatusCode::kUnimplemented;
}

}  // namespace

std::string Client::Core::ShardName(size_t shard) const {
  return absl::StrCat("shard ", shard, " (", sessions_[shard].address, ")");
}

std::string Client::Core::Trouble(size_t shard) const {
  const ShardLink& session = sessions_[shard];
  if (!session.trouble.empty()) return session.trouble;
  return session.state == ShardLink::State::kConnecting ? "connecting"
                                                        : "it has not said hello yet";
}

bool Client::Core::AllGreeted() const {
  return std::all_of(sessions_.begin(), sessions_.end(),
                     [](const ShardLink& s) { return s.greeted; });
}

void Client::Core::Connect(size_t shard) {
  ShardLink& session = sessions_[shard];
  session.state = ShardLink::State::kConnecting;
  session.connection = next_connection_++;
  session.due = now_ + kHandshakeTime;
  shard_of_connection_[session.connection] = shard;
  ++statistics_.connects;
  // The best way first, and again after a session that stood; then all in turn.
  const size_t turn = session.failures < 2 ? 0 : session.failures - 1;
  const Route& route = session.routes[turn % session.routes.size()];
  session.address = route.address;
  effects_->push_back(ConnectEffect{session.connection, static_cast<uint32_t>(shard),
                                    route.transport, route.address});
}

void Client::Core::Connected(uint64_t connection) {
  const auto at = shard_of_connection_.find(connection);
  if (at == shard_of_connection_.end()) return;
  ShardLink& session = sessions_[at->second];
  if (session.state == ShardLink::State::kConnecting) SendHello(session, at->second);
}

void Client::Core::Ready(ShardLink& session) {
  session.state = ShardLink::State::kReady;
  session.greeted = true;
  session.trouble.clear();
}

void Client::Core::Disconnected(uint64_t connection, const absl::Status& why) {
  const auto at = shard_of_connection_.find(connection);
  if (at == shard_of_connection_.end()) return;
  const size_t shard = at->second;
  if (Refuses(why)) {
    const Status failure(StatusCode::kFailedPrecondition,
                         absl::StrCat(ShardName(shard), " refuses: ", why.message()));
    shard_of_connection_.erase(at);
    Fail(failure);
    return;
  }
  // No Disconnect effect for a connection that has ended by itself.
  shard_of_connection_.erase(at);
  sessions_[shard].connection = 0;
  Lose(shard, why.ok() ? "the server ended the connection" : std::string(why.message()));
}

// The session's connection is of no use any more: what was sent is to be sent again on the next
// one.
void Client::Core::Lose(size_t shard, const std::string& why) {
  ShardLink& session = sessions_[shard];
  if (session.connection != 0) {
    effects_->push_back(DisconnectEffect{session.connection});
    shard_of_connection_.erase(session.connection);
    session.connection = 0;
  }
  session.state = ShardLink::State::kBackoff;
  session.trouble = why;
  session.due = now_ + backoff_.Next(++session.failures);
  session.credits.Reset();
  session.overtaking = CreditNeed{0};
  std::vector<uint64_t> sent;
  requests_.ForEach([&](uint64_t id, const ClientRequest& request) {
    if (request.shard == shard && request.state == ClientRequest::State::kSent) sent.push_back(id);
  });
  for (const uint64_t id : sent) {
    ClientRequest& request = requests_.at(id);
    if (request.orphan) {
      orphan_pushes_.erase({request.sequence, request.order});
      requests_.Erase(id);
      continue;
    }
    ++statistics_.resent;
    Queue(id, request);
  }
}

void Client::Core::TickSessions() {
  for (size_t shard = 0; shard < sessions_.size(); ++shard) {
    ShardLink& session = sessions_[shard];
    while (!session.delayed.empty() && session.delayed.begin()->first <= now_) {
      const uint64_t id = session.delayed.begin()->second;
      session.delayed.erase(session.delayed.begin());
      Queue(id, requests_.at(id));
    }
    if (session.state == ShardLink::State::kReady || session.due > now_) continue;
    switch (session.state) {
      case ShardLink::State::kBackoff:
        Connect(shard);
        break;
      case ShardLink::State::kBindLater:
        SendBind(session, shard);
        break;
      default:
        Lose(shard, "it did not answer hello in time");
        break;
    }
  }
}

void Client::Core::Queue(uint64_t id, ClientRequest& request) {
  request.state = ClientRequest::State::kQueued;
  request.has_overtaken = false;
  request.answered.clear();
  ShardLink& session = sessions_[request.shard];
  session.queue.insert({request.order, id});
  if (IsSmallRead(request)) session.small_reads.insert({request.order, id});
}

void Client::Core::Delay(uint64_t id, ClientRequest& request, absl::Duration wait) {
  request.state = ClientRequest::State::kDelayed;
  request.due = now_ + wait;
  sessions_[request.shard].delayed.insert({request.due, id});
}

void Client::Core::Detach(uint64_t id, ClientRequest& request) {
  ShardLink& session = sessions_[request.shard];
  switch (request.state) {
    case ClientRequest::State::kQueued:
      session.queue.erase({request.order, id});
      session.small_reads.erase({request.order, id});
      break;
    case ClientRequest::State::kDelayed:
      session.delayed.erase({request.due, id});
      break;
    case ClientRequest::State::kSent:
      session.credits.Answered(request.need);
      if (request.has_overtaken) {
        session.overtaking.requests -= request.need.requests;
        session.overtaking.reply_bytes -= request.need.reply_bytes;
      }
      break;
    case ClientRequest::State::kParked:
      break;
  }
}

void Client::Core::PumpAll() {
  for (size_t shard = 0; shard < sessions_.size(); ++shard) Pump(sessions_[shard], shard);
}

void Client::Core::Pump(ShardLink& session, size_t shard) {
  while (session.state == ShardLink::State::kReady && !session.queue.empty()) {
    const uint64_t id = session.queue.begin()->second;
    ClientRequest& request = requests_.at(id);
    if (!session.credits.CanHold(request.need)) {
      End(request.call,
          Status(StatusCode::kResourceExhausted,
                 absl::StrCat(ShardName(shard), " takes ", session.credits.max_push_bytes(),
                              " pushed bytes and ", session.credits.max_reply_bytes(),
                              " reply bytes at once; one request needs ", request.need.push_bytes,
                              " and ", request.need.reply_bytes)));
      continue;
    }
    if (!session.credits.Fits(request.need)) return PumpSmallReads(session, shard);
    SendRequest(id, request, session, shard);
  }
}

// A small read does not wait behind the gradients that wait for credit. But reads that follow each
// other for ever leave room for the one that waits first: it fits as soon as what is no such read
// has been answered.
void Client::Core::PumpSmallReads(ShardLink& session, size_t shard) {
  const CreditNeed first = requests_.at(session.queue.begin()->second).need;
  while (!session.small_reads.empty()) {
    const uint64_t id = session.small_reads.begin()->second;
    ClientRequest& request = requests_.at(id);
    CreditNeed overtaking = session.overtaking;
    overtaking.requests += request.need.requests;
    overtaking.reply_bytes += request.need.reply_bytes;
    if (!session.credits.Fits(request.need) || !session.credits.LeavesRoom(overtaking, first))
      return;
    session.overtaking = overtaking;
    request.has_overtaken = true;
    SendRequest(id, request, session, shard);
  }
}

void Client::Core::SendRequest(uint64_t id, ClientRequest& request, ShardLink& session,
                               size_t shard) {
  session.queue.erase({request.order, id});
  session.small_reads.erase({request.order, id});
  session.credits.Take(request.need);
  request.state = ClientRequest::State::kSent;
  SendEffect send;
  send.connection = session.connection;
  send.shard = static_cast<uint32_t>(shard);
  MakeFrame(id, request, session, &send);
  effects_->push_back(std::move(send));
}

void Client::Core::MakeFrame(uint64_t id, const ClientRequest& request, const ShardLink& session,
                             SendEffect* send) {
  const ClientCall& call = calls_.at(request.call);
  ClientFrame& frame = send->frame;
  frame.request_id = id;
  frame.epoch = epoch_;
  const int64_t left_ms = absl::ToInt64Milliseconds(call.deadline - now_);
  const int64_t server_ms = left_ms - std::min(left_ms / 8, kAnswerMs);
  frame.deadline_ms =
      static_cast<uint32_t>(std::clamp<int64_t>(server_ms, 1, std::max(session.max_wait_ms, 1u)));
  switch (request.kind) {
    case ClientRequestKind::kPull: {
      const SliceSpec& slice = slices_.slice(request.order);
      PullFrame pull;
      pull.tensor_id = slice.tensor_id;
      pull.worker_id = options_.worker_id;
      pull.condition = request.condition;
      pull.version = request.version;
      pull.offset = slice.offset;
      pull.count = slice.count;
      pull.codec = slices_.codec(request.order).pull;
      frame.kind = std::move(pull);
      break;
    }
    case ClientRequestKind::kSync: {
      SyncFrame sync;
      for (const TensorPull& pull : call.pulls) {
        if (TensorOnShard(pull.tensor, request.shard)) sync.tensor_ids.push_back(pull.tensor + 1);
      }
      sync.at_step = call.pull_options.step.has_value();
      sync.step = call.pull_options.step.value_or(0);
      sync.encoded = true;  // each slice in its tensor's own codec, f32 among them
      frame.kind = std::move(sync);
      break;
    }
    case ClientRequestKind::kPush:
      frame.kind = MakePush(request, send);
      break;
    case ClientRequestKind::kPutState: {
      PutStateFrame put;
      put.sequence = call.state_sequence;
      const Buffer copy = pool_->Allocate(call.state.size());
      std::memcpy(copy.data(), call.state.data(), call.state.size());
      put.state = Payload(copy, 0, call.state.size());
      statistics_.traffic.sent_bytes += call.state.size();
      statistics_.traffic.sent_copied_bytes += call.state.size();
      frame.kind = std::move(put);
      break;
    }
    case ClientRequestKind::kGetState:
      frame.kind = GetStateFrame{};
      break;
    case ClientRequestKind::kLeave:
      frame.kind = LeaveFrame{};
      break;
  }
}

bool Client::Core::TensorOnShard(uint32_t tensor, size_t shard) const {
  for (size_t i = slices_.At(tensor + 1, 0); i < slices_.size() && slices_.tensor(i) == tensor;
       ++i) {
    if (slices_.slice(i).shard == shard) return true;
  }
  return false;
}

PushFrame Client::Core::MakePush(const ClientRequest& request, SendEffect* send) {
  const ClientCall& call = calls_.at(request.call);
  const PushOptions& options = call.push_options;
  const ClientPiece& piece = call.pieces[request.piece];
  const SliceSpec& slice = slices_.slice(piece.slice);
  PushFrame push;
  push.is_push_pull = call.want_values;
  push.want_values = call.want_values;
  push.tensor_id = slice.tensor_id;
  push.worker_id = options_.worker_id;
  push.sequence = call.sequence;
  push.lowest_pending = sequences_.lowest_pending();
  push.base_version = piece.base;
  push.atomicity = bsp() ? Atomicity::kAll : Atomicity::kSlice;
  push.offset = slice.offset;
  push.count = slice.count;
  push.step = options.step;
  push.first_part = options.first_part;
  push.parts = options.parts;
  push.batch = options.batch;
  push.examples = options.examples;
  push.codec = slices_.codec(piece.slice).push;
  if (call.want_values) push.values_codec = slices_.codec(piece.slice).pull;
  push.learning_rate = options.learning_rate;
  if (options.examples != 0) push.gradient = MakeGradient(call, piece, send);
  return push;
}

// The slice's part of the gradient: borrowed from its owner, or a copy.
Payload Client::Core::MakeGradient(const ClientCall& call, const ClientPiece& piece,
                                   SendEffect* send) {
  if (slices_.codec(piece.slice).push != Codec::kF32) return EncodeGradient(call, piece, send);
  const size_t bytes = slices_.bytes(piece.slice);
  const char* gradient = static_cast<const char*>(call.pushes[piece.entry].gradient.data);
  const char* from = gradient + slices_.slice(piece.slice).offset * sizeof(float);
  statistics_.traffic.sent_bytes += bytes;
  if (const std::shared_ptr<const void>& owner = call.owners[piece.entry]) {
    Payload borrowed;
    borrowed.Append(from, bytes, owner);
    return borrowed;
  }
  statistics_.traffic.sent_copied_bytes += bytes;
  const Buffer copy = pool_->Allocate(bytes);
  std::memcpy(copy.data(), from, bytes);
  Payload copied(copy, 0, bytes);
  copied.CountCopied(bytes);
  return copied;
}

// (Writing it down in fewer bits is the encoding and no copy.)
Payload Client::Core::EncodeGradient(const ClientCall& call, const ClientPiece& piece,
                                     SendEffect* send) {
  const auto* gradient = static_cast<const float*>(call.pushes[piece.entry].gradient.data);
  const SliceSpec& slice = slices_.slice(piece.slice);
  const TensorCodec& codec = slices_.codec(piece.slice);
  statistics_.traffic.sent_bytes += slices_.push_bytes(piece.slice);
  // A gradient without an owner may be gone when the call has ended.
  const std::shared_ptr<const void>& owner = call.owners[piece.entry];
  if (!options_.encodes_late || owner == nullptr || !GradientEncoder::CanWait(codec))
    return encoder_.Encode(call.sequence, slice, codec, gradient);
  send->encode = encoder_.Later(slice, codec, gradient, owner);
  Payload nowhere;
  nowhere.Append(nullptr, slices_.push_bytes(piece.slice), nullptr);
  return nowhere;
}

absl::Time Client::Core::NextTick() const {
  absl::Time next = deadlines_.empty() ? absl::InfiniteFuture() : deadlines_.begin()->first;
  for (const ShardLink& session : sessions_) {
    if (!session.delayed.empty()) next = std::min(next, session.delayed.begin()->first);
    if (session.state != ShardLink::State::kReady) next = std::min(next, session.due);
  }
  return next;
}

}  // namespace weir
