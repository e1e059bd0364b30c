// SPDX-License-Identifier: Apache-2.0
// Calls in and the end of a call.
#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "worker/client_core.h"

namespace weir {
namespace {

void Widen(uint64_t version, bool first, uint64_t* min, uint64_t* max) {
  *min = first ? version : std::min(*min, version);
  *max = first ? version : std::max(*max, version);
}

void Count(PushOutcome outcome, PushTally* tally) {
  switch (outcome) {
    case PushOutcome::kApplied:
      ++tally->applied;
      break;
    case PushOutcome::kStale:
      ++tally->stale;
      break;
    case PushOutcome::kDuplicate:
      ++tally->duplicate;
      break;
    case PushOutcome::kInvalid:
      ++tally->invalid;
      break;
    case PushOutcome::kPending:
      break;
  }
}

}  // namespace

void Client::Core::Admit(uint64_t id, ClientCall call, Deadline deadline) {
  if (stopped_ || calls_.size() >= options_.max_calls) {
    const Status why = stopped_
                           ? *stopped_
                           : Status(StatusCode::kResourceExhausted,
                                    absl::StrCat(options_.max_calls,
                                                 " calls are under way, the most there may be"));
    effects_->push_back(CompleteEffect{id, why, {}});
    return;
  }
  call.deadline =
      now_ + (deadline.count() == 0 ? options_.default_deadline
                                    : absl::FromChrono(std::chrono::milliseconds(deadline)));
  deadlines_.insert({call.deadline, id});
  calls_.emplace(id, std::move(call));
  waiting_.push_back(id);
}

void Client::Core::Cancel(uint64_t id) {
  if (calls_.count(id) != 0)
    End(id, Status(StatusCode::kCancelled, "the caller cancelled the call"));
}

void Client::Core::SetLayout(const Layout& layout) {
  if (stopped_) return;
  if (layout.epoch <= epoch_) {
    if (fetching_ && !has_layout_) effects_->push_back(FetchLayoutEffect{epoch_});
    return;
  }
  if (has_layout_) Moved();
  refreshed_ = epoch_ == 0;
  epoch_ = layout.epoch;
  next_batch_ = 0;
  clock_ = 0;
  has_layout_ = true;
  fetching_ = false;
  slices_ = SliceIndex(layout);
  encoder_.Reset(slices_.counts());
  delivered_.assign(slices_.size(), kNever);
  names_.clear();
  for (const TensorShape& tensor : layout.tensors) names_.push_back(tensor.name);
  sessions_.assign(layout.shard_addresses.size(), ShardLink());
  for (size_t shard = 0; shard < sessions_.size(); ++shard) {
    absl::StatusOr<std::vector<Route>> routes =
        PickRoutes(layout.shard_addresses[shard], options_.transport, options_.host_key);
    if (!routes.ok()) {
      return Fail(Status(StatusCode::kFailedPrecondition, std::string(routes.status().message())));
    }
    sessions_[shard].routes = *std::move(routes);
    Connect(shard);
  }
}

PullResult Client::Core::MakePullResult(ClientCall& call) const {
  PullResult result;
  result.next_batch = next_batch_;
  result.clock = clock_;
  result.lent = std::move(call.lent);
  result.not_modified = call.not_modified;
  result.stale = call.stale;
  result.tensors.resize(call.pulls.size());
  for (size_t entry = 0; entry < call.pulls.size(); ++entry)
    result.tensors[entry].tensor = call.pulls[entry].tensor;
  bool first = true;
  for (const ClientPiece& piece : call.pieces) {
    TensorVersions& tensor = result.tensors[piece.entry];
    Widen(piece.version, tensor.slices.empty(), &tensor.min_version, &tensor.max_version);
    Widen(piece.version, first, &result.min_version, &result.max_version);
    tensor.slices.push_back(piece.version);
    first = false;
  }
  return result;
}

PushResult Client::Core::MakePushResult(ClientCall& call) {
  PushResult result;
  result.lent = std::move(call.lent);
  result.sequence = call.sequence;
  result.reason = call.reason;
  result.tensors.resize(call.pushes.size());
  result.slices.reserve(call.pieces.size());
  for (size_t entry = 0; entry < call.pushes.size(); ++entry)
    result.tensors[entry].tensor = call.pushes[entry].tensor;
  bool first_value = true;
  for (const ClientPiece& piece : call.pieces) {
    TensorPushResult& tensor = result.tensors[piece.entry];
    Widen(piece.outcome.version, tensor.tally.total() == 0, &tensor.min_version,
          &tensor.max_version);
    Count(piece.outcome.outcome, &tensor.tally);
    Count(piece.outcome.outcome, &result.tally);
    Count(piece.outcome.outcome, &statistics_.pushes);
    result.slices.push_back(piece.outcome);
    if (!call.want_values || piece.outcome.ended() == PushOutcome::kInvalid) continue;
    Widen(piece.outcome.values_version, first_value, &result.min_values_version,
          &result.max_values_version);
    first_value = false;
  }
  return result;
}

void Client::Core::Complete(uint64_t id, ClientCall& call) {
  if (IsRefresh(call)) refreshed_ = true;
  CompleteEffect done;
  done.call = id;
  done.loans = std::move(call.loans);
  switch (call.kind) {
    case ClientCallKind::kPull:
    case ClientCallKind::kSync:
      done.value = MakePullResult(call);
      break;
    case ClientCallKind::kPush:
      done.value = MakePushResult(call);
      break;
    case ClientCallKind::kNewSequence:
      done.value = call.sequence;
      break;
    case ClientCallKind::kGetState:
      done.value = std::move(call.found_state);
      break;
    case ClientCallKind::kPutState:
    case ClientCallKind::kLeave:
      break;
  }
  if (call.kind == ClientCallKind::kPush) {
    sequences_.End(call.sequence, /*final=*/true);
    encoder_.DropClosed(sequences_);
  }
  deadlines_.erase({call.deadline, id});
  calls_.erase(id);
  effects_->push_back(std::move(done));
}

// Ends a call before its answers are all in. What was sent stays on its way as orphans.
void Client::Core::End(uint64_t id, const Status& status) {
  ClientCall& call = calls_.at(id);
  for (const Loan& loan : call.loans) Returned(loan);  // nobody has seen them
  for (const uint64_t name : call.requests) {
    if (name == 0) continue;
    ClientRequest& request = requests_.at(name);
    if (request.state == ClientRequest::State::kSent) {
      request.orphan = true;
      if (request.kind == ClientRequestKind::kPush && call.push_options.sequence != 0)
        orphan_pushes_[{request.sequence, request.order}] = name;
      continue;
    }
    Detach(name, request);
    requests_.Erase(name);
  }
  if (call.sequence != 0 && call.kind == ClientCallKind::kPush) {
    sequences_.End(call.sequence, /*final=*/false);
    encoder_.DropClosed(sequences_);
  }
  if (!call.planned) waiting_.erase(std::find(waiting_.begin(), waiting_.end(), id));
  deadlines_.erase({call.deadline, id});
  calls_.erase(id);
  CompleteEffect done;
  done.call = id;
  done.status = status;
  effects_->push_back(std::move(done));
}

void Client::Core::ExpireCalls() {
  while (!deadlines_.empty() && deadlines_.begin()->first <= now_) {
    const uint64_t id = deadlines_.begin()->second;
    const ClientCall& call = calls_.at(id);
    std::string message = absl::StrCat(KindName(call), " not done in time: ", WaitsFor(call));
    if (call.kind == ClientCallKind::kPush && call.sequence != 0) {
      absl::StrAppend(&message, "; it may still be applied");
      if (call.push_options.sequence != 0)
        absl::StrAppend(&message, ": ask again with sequence ", call.sequence);
    }
    End(id, Status(StatusCode::kDeadlineExceeded, message));
  }
}

void Client::Core::Fail(const Status& why) {
  if (!stopped_) stopped_ = why;
  while (!calls_.empty()) End(calls_.begin()->first, *stopped_);
  for (const auto& [connection, shard] : shard_of_connection_)
    effects_->push_back(DisconnectEffect{connection});
  shard_of_connection_.clear();
  sessions_.clear();
  requests_.Clear();
  orphan_pushes_.clear();
  has_layout_ = false;
  fetching_ = false;
}

const char* Client::Core::KindName(const ClientCall& call) const {
  switch (call.kind) {
    case ClientCallKind::kPull:
      return "pull";
    case ClientCallKind::kSync:
      return "sync";
    case ClientCallKind::kPush:
      return call.want_values ? "push-pull" : "push";
    case ClientCallKind::kNewSequence:
      return "new sequence";
    case ClientCallKind::kPutState:
      return "put state";
    case ClientCallKind::kGetState:
      return "get state";
    case ClientCallKind::kLeave:
      return "leave";
  }
  return "call";
}

std::string Client::Core::WaitsFor(const ClientCall& call) const {
  if (!has_layout_)
    return fetching_ ? "waits for the layout of a newer epoch" : "waits for the layout";
  if (!call.planned) {
    for (size_t shard = 0; shard < sessions_.size(); ++shard) {
      if (!sessions_[shard].greeted)
        return absl::StrCat("waits for ", ShardName(shard), ": ", Trouble(shard));
    }
    return "waits to be sent";
  }
  if (call.open == 0) return "";
  const auto first = std::find_if(call.requests.begin(), call.requests.end(),
                                  [](uint64_t name) { return name != 0; });
  const ClientRequest& request = requests_.at(*first);
  const std::string who = absl::StrCat(call.open, call.open == 1 ? " answer is" : " answers are",
                                       " missing, the first from ", ShardName(request.shard));
  if (sessions_[request.shard].state != ShardLink::State::kReady)
    return absl::StrCat(who, ": ", Trouble(request.shard));
  if (!call.waits_for.empty()) return absl::StrCat(who, ": ", call.waits_for);
  switch (request.state) {
    case ClientRequest::State::kQueued:
      return absl::StrCat(who, ": no credit to send the request");
    case ClientRequest::State::kDelayed:
      return absl::StrCat(who, ": it is overloaded");
    case ClientRequest::State::kSent:
    case ClientRequest::State::kParked:
      break;
  }
  return who;
}

std::string Client::Core::WaitsFor() const {
  return calls_.empty() ? std::string() : WaitsFor(calls_.begin()->second);
}

}  // namespace weir
