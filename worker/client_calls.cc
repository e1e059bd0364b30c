// SPDX-License-Identifier: Apache-2.0
// Calls in, planning, the end of a call.
#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "worker/client_core.h"

namespace weir {
namespace {

template <typename View>
Status CheckView(const View& view, uint64_t count, uint32_t tensor, const char* what) {
  if (view.type != ElementType::kFloat32 || view.device != Device::kCpu) {
    return Status(StatusCode::kUnimplemented,
                  absl::StrCat("the ", what, " of tensor ", tensor, " is not f32 on the CPU: only that is supported yet"));
  }
  if (view.data == nullptr || static_cast<uint64_t>(view.count) != count) {
    return Status(StatusCode::kInvalidArgument,
                  absl::StrCat("the ", what, " of tensor ", tensor, view.data == nullptr ? " has no data" : "", " has ",
                               view.count, " elements, the tensor has ", count));
  }
  return Status();
}

Status CheckVersions(size_t given, size_t slices, uint32_t tensor, const char* what) {
  if (given == 0 || given == slices) return Status();
  return Status(StatusCode::kInvalidArgument, absl::StrCat("tensor ", tensor, ": ", given, " ", what, " versions for ", slices,
                                                           " slices"));
}

void Widen(uint64_t version, bool first, uint64_t* min, uint64_t* max) {
  *min = first ? version : std::min(*min, version);
  *max = first ? version : std::max(*max, version);
}

void Count(PushOutcome outcome, PushTally* tally) {
  switch (outcome) {
    case PushOutcome::kApplied: ++tally->applied; break;
    case PushOutcome::kStale: ++tally->stale; break;
    case PushOutcome::kDuplicate: ++tally->duplicate; break;
    case PushOutcome::kInvalid: ++tally->invalid; break;
    case PushOutcome::kPending: break;
  }
}

}  // namespace

void Client::Core::Admit(uint64_t id, Call call, Deadline deadline) {
  if (stopped_ || calls_.size() >= options_.max_calls) {
    const Status why = stopped_ ? *stopped_
                                : Status(StatusCode::kResourceExhausted,
                                         absl::StrCat(options_.max_calls, " calls are under way, the most there may be"));
    effects_->push_back(CompleteEffect{id, why, {}});
    return;
  }
  call.deadline =
      now_ + (deadline.count() == 0 ? options_.default_deadline : absl::FromChrono(std::chrono::milliseconds(deadline)));
  deadlines_.insert({call.deadline, id});
  calls_.emplace(id, std::move(call));
  waiting_.push_back(id);
}

void Client::Core::Cancel(uint64_t id) {
  if (calls_.count(id) != 0) End(id, Status(StatusCode::kCancelled, "the caller cancelled the call"));
}

void Client::Core::SetLayout(const Layout& layout) {
  if (stopped_) return;
  if (layout.epoch <= epoch_) {
    if (fetching_ && !has_layout_) effects_->push_back(FetchLayoutEffect{epoch_});
    return;
  }
  if (has_layout_) Moved();
  epoch_ = layout.epoch;
  has_layout_ = true;
  fetching_ = false;
  slices_ = SliceIndex(layout);
  delivered_.assign(slices_.size(), kNever);
  names_.clear();
  for (const TensorShape& tensor : layout.tensors) names_.push_back(tensor.name);
  sessions_.assign(layout.shard_addresses.size(), ShardLink());
  for (size_t shard = 0; shard < sessions_.size(); ++shard) {
    sessions_[shard].address = layout.shard_addresses[shard];
    Connect(shard);
  }
}

void Client::Core::PlanWaiting() {
  while (!stopped_ && !waiting_.empty() && has_layout_ && AllGreeted()) {
    const uint64_t id = waiting_.front();
    waiting_.pop_front();
    Call& call = calls_.at(id);
    call.planned = true;
    const Status status = Plan(id, call);
    if (!status.ok()) {
      End(id, status);
    } else if (call.requests.empty()) {
      Complete(id, call);
    }
  }
}

Status Client::Core::Plan(uint64_t id, Call& call) {
  Request request;
  switch (call.kind) {
    case CallKind::kPull: return PlanPull(id, call);
    case CallKind::kSync: return PlanSync(id, call);
    case CallKind::kPush: return PlanPush(id, call);
    case CallKind::kNewSequence:
      call.sequence = sequences_.Reserve();
      return Status();
    case CallKind::kPutState:
      request.kind = RequestKind::kPutState;
      request.need.push_bytes = call.state.size();
      Ask(id, call, request);
      return Status();
    case CallKind::kGetState:
      request.kind = RequestKind::kGetState;
      Ask(id, call, request);
      return Status();
    case CallKind::kLeave:
      request.kind = RequestKind::kLeave;
      request.order = slices_.size();  // behind all else
      for (request.shard = 0; request.shard < sessions_.size(); ++request.shard) Ask(id, call, request);
      return Status();
  }
  return Status(StatusCode::kInternal, "a call of no kind");
}

// Cuts the ranges of a pull or sync into pieces, checking them.
Status Client::Core::CutPull(Call& call) {
  for (size_t entry = 0; entry < call.pulls.size(); ++entry) {
    const TensorPull& pull = call.pulls[entry];
    Result<SliceIndex::Range> range = slices_.Find(pull.tensor, pull.offset, pull.count);
    if (!range.ok()) return range.status();
    Status status = CheckView(pull.into, slices_.count(pull.tensor), pull.tensor, "memory");
    if (status.ok()) status = CheckVersions(pull.have.size(), range->size(), pull.tensor, "`have`");
    if (!status.ok()) return status;
    for (size_t i = 0; i < range->size(); ++i) {
      Piece piece;
      piece.entry = entry;
      piece.slice = range->first + i;
      piece.has_base = !pull.have.empty();
      if (piece.has_base) piece.base = pull.have[i];
      call.pieces.push_back(piece);
    }
  }
  if (call.pieces.empty()) return Status(StatusCode::kInvalidArgument, "the call names no tensor");
  return Status();
}

Status Client::Core::PlanPull(uint64_t id, Call& call) {
  const PullOptions& options = call.pull_options;
  if (options.step && options.expect) {
    return Status(StatusCode::kInvalidArgument, "a pull names a step or the version it expects, not both");
  }
  Status status = CutPull(call);
  if (!status.ok()) return status;
  AskPulls(id, call);
  return Status();
}

void Client::Core::AskPulls(uint64_t id, Call& call) {
  const PullOptions& options = call.pull_options;
  for (size_t i = 0; i < call.pieces.size(); ++i) {
    const Piece& piece = call.pieces[i];
    Request request;
    request.piece = i;
    request.order = piece.slice;
    request.shard = slices_.slice(piece.slice).shard;
    request.need.reply_bytes = slices_.bytes(piece.slice);
    if (options.step || options.expect) {
      request.condition = options.step ? PullCondition::kStep : PullCondition::kExpect;
      request.version = options.step ? *options.step : *options.expect;
    } else if (piece.has_base) {
      request.condition = PullCondition::kHave;
      request.version = piece.base;
    }
    Ask(id, call, request);
  }
}

Status Client::Core::PlanSync(uint64_t id, Call& call) {
  for (const TensorPull& pull : call.pulls) {
    if (pull.offset != 0 || pull.count != 0 || !pull.have.empty() || call.pull_options.expect) {
      return Status(StatusCode::kInvalidArgument, "a sync brings whole tensors, whatever the caller has");
    }
  }
  Status status = CutPull(call);
  if (!status.ok()) return status;
  std::vector<Request> requests(sessions_.size());
  for (size_t i = 0; i < call.pieces.size(); ++i) {
    const size_t slice = call.pieces[i].slice;
    if (!call.piece_of.emplace(slice, i).second) {
      return Status(StatusCode::kInvalidArgument, absl::StrCat("tensor ", slices_.tensor(slice), " is named twice"));
    }
    Request& request = requests[slices_.slice(slice).shard];
    if (request.need.reply_bytes == 0) request.order = slice;
    request.need.reply_bytes += slices_.bytes(slice);
  }
  for (size_t shard = 0; shard < requests.size(); ++shard) {
    const uint64_t limit = sessions_[shard].credits.max_reply_bytes();
    if (requests[shard].need.reply_bytes <= limit) continue;
    if (call.pull_options.step) {  // a step's weights are a cut however they are asked for
      AskPulls(id, call);
      return Status();
    }
    return Status(StatusCode::kResourceExhausted,
                  absl::StrCat("the tensors have ", requests[shard].need.reply_bytes, " bytes on ", ShardName(shard),
                               ", a sync may ask for ", limit, ": name fewer tensors, or pull"));
  }
  for (size_t shard = 0; shard < requests.size(); ++shard) {
    if (requests[shard].need.reply_bytes == 0) continue;
    requests[shard].kind = RequestKind::kSync;
    requests[shard].shard = shard;
    Ask(id, call, requests[shard]);
  }
  return Status();
}

// Cuts the ranges of a push into pieces, checking them.
Status Client::Core::CutPush(Call& call) {
  for (size_t entry = 0; entry < call.pushes.size(); ++entry) {
    const TensorPush& push = call.pushes[entry];
    Result<SliceIndex::Range> range = slices_.Find(push.tensor, push.offset, push.count);
    if (!range.ok()) return range.status();
    Status status;
    if (call.push_options.examples != 0) status = CheckView(push.gradient, slices_.count(push.tensor), push.tensor, "gradient");
    if (status.ok() && call.want_values) status = CheckView(push.into, slices_.count(push.tensor), push.tensor, "memory");
    if (status.ok()) status = CheckVersions(push.base.size(), range->size(), push.tensor, "base");
    if (!status.ok()) return status;
    for (size_t i = 0; i < range->size(); ++i) {
      Piece piece;
      piece.entry = entry;
      piece.slice = range->first + i;
      piece.base = options_.bsp         ? call.push_options.step
                   : !push.base.empty() ? push.base[i]
                                        : delivered_[piece.slice];
      if (!options_.bsp && piece.base == kNever) {
        return Status(StatusCode::kInvalidArgument,
                      absl::StrCat("tensor ", push.tensor, " was never pulled, so the base of its gradient is not known: name it"));
      }
      const SliceSpec& slice = slices_.slice(piece.slice);
      piece.outcome.tensor = push.tensor;
      piece.outcome.offset = slice.offset;
      piece.outcome.count = slice.count;
      call.pieces.push_back(piece);
    }
  }
  if (call.pieces.empty()) return Status(StatusCode::kInvalidArgument, "the call names no tensor");
  std::set<size_t> seen;
  for (const Piece& piece : call.pieces) {
    if (!seen.insert(piece.slice).second) {
      return Status(StatusCode::kInvalidArgument, absl::StrCat("a slice of tensor ", slices_.tensor(piece.slice), " is named twice"));
    }
  }
  return Status();
}

Status Client::Core::PlanPush(uint64_t id, Call& call) {
  Status status = CutPush(call);
  if (!status.ok()) return status;
  const uint64_t ticket = call.push_options.sequence;
  if (ticket != 0) {
    status = sequences_.BeginTicket(ticket);
    if (!status.ok()) return status;
  }
  call.sequence = ticket != 0 ? ticket : sequences_.Begin();
  for (size_t i = 0; i < call.pieces.size(); ++i) {
    if (ticket != 0 && Adopt(id, call, i)) continue;
    const size_t slice = call.pieces[i].slice;
    Request request;
    request.kind = RequestKind::kPush;
    request.piece = i;
    request.order = slice;
    request.shard = slices_.slice(slice).shard;
    request.sequence = call.sequence;
    if (call.push_options.examples != 0) request.need.push_bytes = slices_.bytes(slice);
    if (call.want_values) request.need.reply_bytes = slices_.bytes(slice);
    Ask(id, call, request);
  }
  return Status();
}

void Client::Core::Ask(uint64_t id, Call& call, Request request) {
  request.call = id;
  const uint64_t name = next_request_++;
  call.requests.insert(name);
  Queue(name, requests_.emplace(name, request).first->second);
}

// A push asked for again whose request is still on its way: its answer is this call's.
bool Client::Core::Adopt(uint64_t id, Call& call, size_t piece) {
  const auto at = orphan_pushes_.find({call.sequence, call.pieces[piece].slice});
  if (at == orphan_pushes_.end()) return false;
  Request& request = requests_.at(at->second);
  request.orphan = false;
  request.call = id;
  request.piece = piece;
  call.requests.insert(at->second);
  orphan_pushes_.erase(at);
  return true;
}

PullResult Client::Core::MakePullResult(const Call& call) const {
  PullResult result;
  result.not_modified = call.not_modified;
  result.stale = call.stale;
  result.tensors.resize(call.pulls.size());
  for (size_t entry = 0; entry < call.pulls.size(); ++entry) result.tensors[entry].tensor = call.pulls[entry].tensor;
  bool first = true;
  for (const Piece& piece : call.pieces) {
    TensorVersions& tensor = result.tensors[piece.entry];
    Widen(piece.version, tensor.slices.empty(), &tensor.min_version, &tensor.max_version);
    Widen(piece.version, first, &result.min_version, &result.max_version);
    tensor.slices.push_back(piece.version);
    first = false;
  }
  return result;
}

PushResult Client::Core::MakePushResult(const Call& call) {
  PushResult result;
  result.sequence = call.sequence;
  result.reason = call.reason;
  result.tensors.resize(call.pushes.size());
  result.slices.reserve(call.pieces.size());
  for (size_t entry = 0; entry < call.pushes.size(); ++entry) result.tensors[entry].tensor = call.pushes[entry].tensor;
  bool first_value = true;
  for (const Piece& piece : call.pieces) {
    TensorPushResult& tensor = result.tensors[piece.entry];
    Widen(piece.outcome.version, tensor.tally.total() == 0, &tensor.min_version, &tensor.max_version);
    Count(piece.outcome.outcome, &tensor.tally);
    Count(piece.outcome.outcome, &result.tally);
    Count(piece.outcome.outcome, &statistics_.pushes);
    result.slices.push_back(piece.outcome);
    if (!call.want_values || piece.outcome.outcome == PushOutcome::kInvalid) continue;
    Widen(piece.outcome.values_version, first_value, &result.min_values_version, &result.max_values_version);
    first_value = false;
  }
  return result;
}

void Client::Core::Complete(uint64_t id, Call& call) {
  CompleteEffect done;
  done.call = id;
  switch (call.kind) {
    case CallKind::kPull:
    case CallKind::kSync: done.value = MakePullResult(call); break;
    case CallKind::kPush: done.value = MakePushResult(call); break;
    case CallKind::kNewSequence: done.value = call.sequence; break;
    case CallKind::kGetState: done.value = std::move(call.found_state); break;
    case CallKind::kPutState:
    case CallKind::kLeave: break;
  }
  if (call.kind == CallKind::kPush) sequences_.End(call.sequence, /*final=*/true);
  deadlines_.erase({call.deadline, id});
  calls_.erase(id);
  effects_->push_back(std::move(done));
}

// Ends a call before its answers are all in. What was sent stays on its way as orphans.
void Client::Core::End(uint64_t id, const Status& status) {
  Call& call = calls_.at(id);
  for (const uint64_t name : call.requests) {
    Request& request = requests_.at(name);
    if (request.state == Request::State::kSent) {
      request.orphan = true;
      if (request.kind == RequestKind::kPush && call.push_options.sequence != 0) orphan_pushes_[{request.sequence, request.order}] = name;
      continue;
    }
    Detach(name, request);
    requests_.erase(name);
  }
  if (call.sequence != 0 && call.kind == CallKind::kPush) sequences_.End(call.sequence, /*final=*/false);
  if (!call.planned) waiting_.erase(std::find(waiting_.begin(), waiting_.end(), id));
  deadlines_.erase({call.deadline, id});
  calls_.erase(id);
  effects_->push_back(CompleteEffect{id, status, {}});
}

void Client::Core::ExpireCalls() {
  while (!deadlines_.empty() && deadlines_.begin()->first <= now_) {
    const uint64_t id = deadlines_.begin()->second;
    const Call& call = calls_.at(id);
    std::string message = absl::StrCat(KindName(call), " not done in time: ", WaitsFor(call));
    if (call.kind == CallKind::kPush && call.sequence != 0) {
      absl::StrAppend(&message, "; it may still be applied");
      if (call.push_options.sequence != 0) absl::StrAppend(&message, ": ask again with sequence ", call.sequence);
    }
    End(id, Status(StatusCode::kDeadlineExceeded, message));
  }
}

void Client::Core::Fail(const Status& why) {
  if (!stopped_) stopped_ = why;
  while (!calls_.empty()) End(calls_.begin()->first, *stopped_);
  for (const auto& [connection, shard] : shard_of_connection_) effects_->push_back(DisconnectEffect{connection});
  shard_of_connection_.clear();
  sessions_.clear();
  requests_.clear();
  orphan_pushes_.clear();
  has_layout_ = false;
  fetching_ = false;
}

const char* Client::Core::KindName(const Call& call) const {
  switch (call.kind) {
    case CallKind::kPull: return "pull";
    case CallKind::kSync: return "sync";
    case CallKind::kPush: return call.want_values ? "push-pull" : "push";
    case CallKind::kNewSequence: return "new sequence";
    case CallKind::kPutState: return "put state";
    case CallKind::kGetState: return "get state";
    case CallKind::kLeave: return "leave";
  }
  return "call";
}

std::string Client::Core::WaitsFor(const Call& call) const {
  if (!has_layout_) return fetching_ ? "waits for the layout of a newer epoch" : "waits for the layout";
  if (!call.planned) {
    for (size_t shard = 0; shard < sessions_.size(); ++shard) {
      if (!sessions_[shard].greeted) return absl::StrCat("waits for ", ShardName(shard), ": ", Trouble(shard));
    }
    return "waits to be sent";
  }
  if (call.requests.empty()) return "";
  const Request& request = requests_.at(*call.requests.begin());
  const std::string who =
      absl::StrCat(call.requests.size(), call.requests.size() == 1 ? " answer is" : " answers are", " missing, the first from ",
                   ShardName(request.shard));
  if (sessions_[request.shard].state != ShardLink::State::kReady) return absl::StrCat(who, ": ", Trouble(request.shard));
  if (!call.waits_for.empty()) return absl::StrCat(who, ": ", call.waits_for);
  switch (request.state) {
    case Request::State::kQueued: return absl::StrCat(who, ": no credit to send the request");
    case Request::State::kDelayed: return absl::StrCat(who, ": it is overloaded");
    case Request::State::kSent:
    case Request::State::kParked: break;
  }
  return who;
}

std::string Client::Core::WaitsFor() const {
  return calls_.empty() ? std::string() : WaitsFor(calls_.begin()->second);
}

}  // namespace weir
