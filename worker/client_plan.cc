// SPDX-License-Identifier: Apache-2.0
// Planning: a call is cut into one piece a slice, and into requests.
#include <algorithm>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "worker/client_core.h"

namespace weir {
namespace {

constexpr size_t kMaxStateBytes = 64 << 10;  // see Worker::PutState

template <typename View>
Status CheckView(const View& view, uint64_t count, uint32_t tensor, const char* what) {
  if (view.type != ElementType::kFloat32 || view.device != Device::kCpu) {
    return Status(StatusCode::kUnimplemented,
                  absl::StrCat("the ", what, " of tensor ", tensor,
                               " is not f32 on the CPU: only that is supported yet"));
  }
  if (view.data == nullptr || static_cast<uint64_t>(view.count) != count) {
    return Status(StatusCode::kInvalidArgument,
                  absl::StrCat("the ", what, " of tensor ", tensor,
                               view.data == nullptr ? " has no data" : "", " has ", view.count,
                               " elements, the tensor has ", count));
  }
  return Status();
}

// Memory for values; none at all means that they are lent.
Status CheckMemory(const MutableTensorView& view, uint64_t count, uint32_t tensor) {
  if (view.data == nullptr && view.count == 0) return Status();
  return CheckView(view, count, tensor, "memory");
}

Status CheckVersions(size_t given, size_t slices, uint32_t tensor, const char* what) {
  if (given == 0 || given == slices) return Status();
  return Status(
      StatusCode::kInvalidArgument,
      absl::StrCat("tensor ", tensor, ": ", given, " ", what, " versions for ", slices, " slices"));
}

}  // namespace

void Client::Core::PlanWaiting() {
  while (!stopped_ && !waiting_.empty() && has_layout_ && AllGreeted()) {
    const uint64_t id = waiting_.front();
    waiting_.pop_front();
    ClientCall& call = calls_.at(id);
    call.planned = true;
    const Status status = Plan(id, call);
    if (!status.ok()) {
      End(id, status);
    } else if (call.open == 0) {
      Complete(id, call);
    }
  }
}

// Whether the call reads, and takes nothing for known of what it reads.
bool Client::Core::IsRefresh(const ClientCall& call) const {
  if (call.kind != ClientCallKind::kPull && call.kind != ClientCallKind::kSync) return false;
  if (call.pull_options.step || call.pull_options.expect) return false;
  return std::all_of(call.pulls.begin(), call.pulls.end(),
                     [](const TensorPull& pull) { return pull.have.empty(); });
}

Status Client::Core::Plan(uint64_t id, ClientCall& call) {
  const bool compares = call.kind == ClientCallKind::kPull || call.kind == ClientCallKind::kSync ||
                        call.kind == ClientCallKind::kPush;
  if (compares && !refreshed_ && !IsRefresh(call)) {
    return Status(StatusCode::kAborted,
                  absl::StrCat("the job has come to epoch ", epoch_,
                               ": steps and versions of before are void; sync, then go on from "
                               "what it brings"));
  }
  ClientRequest request;
  switch (call.kind) {
    case ClientCallKind::kPull:
      return PlanPull(id, call);
    case ClientCallKind::kSync:
      return PlanSync(id, call);
    case ClientCallKind::kPush:
      return PlanPush(id, call);
    case ClientCallKind::kNewSequence:
      call.sequence = sequences_.Reserve();
      return Status();
    case ClientCallKind::kPutState:
      if (call.state.size() > kMaxStateBytes) {
        return Status(StatusCode::kInvalidArgument,
                      absl::StrCat("a state of ", call.state.size(), " bytes; at most ",
                                   kMaxStateBytes, " are kept"));
      }
      // It takes no credit of pushed bytes: the shards release none for a state.
      request.kind = ClientRequestKind::kPutState;
      Ask(id, call, request);
      return Status();
    case ClientCallKind::kGetState:
      request.kind = ClientRequestKind::kGetState;
      Ask(id, call, request);
      return Status();
    case ClientCallKind::kLeave:
      request.kind = ClientRequestKind::kLeave;
      request.order = slices_.size();  // behind all else
      for (request.shard = 0; request.shard < sessions_.size(); ++request.shard)
        Ask(id, call, request);
      return Status();
  }
  return Status(StatusCode::kInternal, "a call of no kind");
}

// Cuts the ranges of a pull or sync into pieces, checking them.
Status Client::Core::CutPull(ClientCall& call) {
  for (size_t entry = 0; entry < call.pulls.size(); ++entry) {
    const TensorPull& pull = call.pulls[entry];
    Result<SliceIndex::Range> range = slices_.Find(pull.tensor, pull.offset, pull.count);
    if (!range.ok()) return range.status();
    Status status = CheckMemory(pull.into, slices_.count(pull.tensor), pull.tensor);
    if (status.ok()) status = CheckVersions(pull.have.size(), range->size(), pull.tensor, "`have`");
    if (!status.ok()) return status;
    for (size_t i = 0; i < range->size(); ++i) {
      ClientPiece piece;
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

Status Client::Core::PlanPull(uint64_t id, ClientCall& call) {
  const PullOptions& options = call.pull_options;
  if (options.step && options.expect) {
    return Status(StatusCode::kInvalidArgument,
                  "a pull names a step or the version it expects, not both");
  }
  Status status = CutPull(call);
  if (!status.ok()) return status;
  AskPulls(id, call);
  return Status();
}

void Client::Core::AskPulls(uint64_t id, ClientCall& call) {
  const PullOptions& options = call.pull_options;
  for (size_t i = 0; i < call.pieces.size(); ++i) {
    const ClientPiece& piece = call.pieces[i];
    ClientRequest request;
    request.piece = i;
    request.order = piece.slice;
    request.shard = slices_.slice(piece.slice).shard;
    request.need.reply_bytes = slices_.values_bytes(piece.slice);
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

Status Client::Core::PlanSync(uint64_t id, ClientCall& call) {
  for (const TensorPull& pull : call.pulls) {
    if (pull.offset != 0 || pull.count != 0 || !pull.have.empty() || call.pull_options.expect) {
      return Status(StatusCode::kInvalidArgument,
                    "a sync brings whole tensors, whatever the caller has");
    }
  }
  Status status = CutPull(call);
  if (!status.ok()) return status;
  std::vector<ClientRequest> requests(sessions_.size());
  for (size_t i = 0; i < call.pieces.size(); ++i) {
    const size_t slice = call.pieces[i].slice;
    if (!call.piece_of.emplace(slice, i).second) {
      return Status(StatusCode::kInvalidArgument,
                    absl::StrCat("tensor ", slices_.tensor(slice), " is named twice"));
    }
    ClientRequest& request = requests[slices_.slice(slice).shard];
    if (request.need.reply_bytes == 0) {
      request.order = slice;
      request.need.requests = 0;
    }
    ++request.need.requests;
    request.need.reply_bytes += slices_.values_bytes(slice);
  }
  for (size_t shard = 0; shard < requests.size(); ++shard) {
    const uint64_t limit = sessions_[shard].credits.max_reply_bytes();
    if (requests[shard].need.reply_bytes <= limit) continue;
    if (call.pull_options.step && bsp()) {  // a step's weights are a cut however they are asked for
      AskPulls(id, call);
      return Status();
    }
    return Status(StatusCode::kResourceExhausted,
                  absl::StrCat("the tensors have ", requests[shard].need.reply_bytes, " bytes on ",
                               ShardName(shard), ", a sync may ask for ", limit,
                               ": name fewer tensors, or pull"));
  }
  for (size_t shard = 0; shard < requests.size(); ++shard) {
    if (requests[shard].need.reply_bytes == 0) continue;
    requests[shard].kind = ClientRequestKind::kSync;
    requests[shard].shard = shard;
    Ask(id, call, requests[shard]);
  }
  return Status();
}

// Cuts the ranges of a push into pieces, checking them.
Status Client::Core::CutPush(ClientCall& call) {
  for (size_t entry = 0; entry < call.pushes.size(); ++entry) {
    const TensorPush& push = call.pushes[entry];
    Result<SliceIndex::Range> range = slices_.Find(push.tensor, push.offset, push.count);
    if (!range.ok()) return range.status();
    Status status;
    if (call.push_options.examples != 0)
      status = CheckView(push.gradient, slices_.count(push.tensor), push.tensor, "gradient");
    if (status.ok() && call.want_values)
      status = CheckMemory(push.into, slices_.count(push.tensor), push.tensor);
    if (status.ok()) status = CheckVersions(push.base.size(), range->size(), push.tensor, "base");
    if (!status.ok()) return status;
    for (size_t i = 0; i < range->size(); ++i) {
      ClientPiece piece;
      piece.entry = entry;
      piece.slice = range->first + i;
      piece.base = bsp()                ? call.push_options.step
                   : !push.base.empty() ? push.base[i]
                                        : delivered_[piece.slice];
      if (!bsp() && piece.base == kNever) {
        return Status(
            StatusCode::kInvalidArgument,
            absl::StrCat("tensor ", push.tensor,
                         " was never pulled, so the base of its gradient is not known: name it"));
      }
      const SliceSpec& slice = slices_.slice(piece.slice);
      piece.outcome.tensor = push.tensor;
      piece.outcome.offset = slice.offset;
      piece.outcome.count = slice.count;
      piece.outcome.base_version = piece.base;
      call.pieces.push_back(piece);
    }
  }
  if (call.pieces.empty()) return Status(StatusCode::kInvalidArgument, "the call names no tensor");
  return CheckNamedOnce(call);
}

Status Client::Core::CheckNamedOnce(const ClientCall& call) const {
  std::vector<size_t> slices;
  slices.reserve(call.pieces.size());
  for (const ClientPiece& piece : call.pieces) slices.push_back(piece.slice);
  std::sort(slices.begin(), slices.end());
  const auto twice = std::adjacent_find(slices.begin(), slices.end());
  if (twice == slices.end()) return Status();
  return Status(StatusCode::kInvalidArgument,
                absl::StrCat("a slice of tensor ", slices_.tensor(*twice), " is named twice"));
}

// A push of bsp keeps its requests until its step commits, and the step commits only when this
// worker's other blocks are in too: those that do not fit beside the first would wait until the
// deadline.
Status Client::Core::CheckStepFits(const ClientCall& call, std::set<uint64_t>* others) const {
  if (!bsp()) return Status();
  std::vector<uint64_t> here(sessions_.size());
  for (const ClientPiece& piece : call.pieces) ++here[slices_.slice(piece.slice).shard];
  std::vector<uint64_t> beside;  // requests of the same step by shard, counted when it may matter
  for (size_t shard = 0; shard < sessions_.size(); ++shard) {
    const uint64_t limit = sessions_[shard].credits.max_requests();
    if (requests_.size() + here[shard] <= limit) continue;
    if (beside.empty()) {
      beside.resize(sessions_.size());
      requests_.ForEach([&](uint64_t, const ClientRequest& request) {
        if (request.kind != ClientRequestKind::kPush || request.orphan) return;
        if (calls_.at(request.call).push_options.step != call.push_options.step) return;
        ++beside[request.shard];
        others->insert(request.call);
      });
    }
    if (here[shard] == 0 || beside[shard] == 0 || beside[shard] + here[shard] <= limit) continue;
    return Status(StatusCode::kResourceExhausted,
                  absl::StrCat("step ", call.push_options.step, " does not fit: ", ShardName(shard),
                               " takes ", limit, " requests at once, and a push of ", here[shard],
                               " slices comes beside ", others->size(), " blocks of the step with ",
                               beside[shard],
                               " requests that wait for it: use a larger slice_bytes or fewer "
                               "gradient_shards"));
  }
  return Status();
}

Status Client::Core::PlanPush(uint64_t id, ClientCall& call) {
  Status status = CutPush(call);
  if (!status.ok()) return status;
  std::set<uint64_t> others;
  status = CheckStepFits(call, &others);
  if (!status.ok()) {
    for (const uint64_t other : others) End(other, status);  // they would wait for this one
    return status;
  }
  const uint64_t ticket = call.push_options.sequence;
  if (ticket != 0) {
    status = sequences_.BeginTicket(ticket);
    if (!status.ok()) return status;
  }
  call.sequence = ticket != 0 ? ticket : sequences_.Begin();
  for (size_t i = 0; i < call.pieces.size(); ++i) {
    if (ticket != 0 && Adopt(id, call, i)) continue;
    const size_t slice = call.pieces[i].slice;
    ClientRequest request;
    request.kind = ClientRequestKind::kPush;
    request.piece = i;
    request.order = slice;
    request.shard = slices_.slice(slice).shard;
    request.sequence = call.sequence;
    if (call.push_options.examples != 0) request.need.push_bytes = slices_.push_bytes(slice);
    if (call.want_values) request.need.reply_bytes = slices_.values_bytes(slice);
    Ask(id, call, request);
  }
  return Status();
}

void Client::Core::Ask(uint64_t id, ClientCall& call, ClientRequest request) {
  const uint64_t name = next_request_++;
  ClientRequest& added = requests_.Add(name, std::move(request));
  Join(id, call, name, added);
  Queue(name, added);
}

void Client::Core::Join(uint64_t id, ClientCall& call, uint64_t name, ClientRequest& request) {
  request.call = id;
  request.index = call.requests.size();
  call.requests.push_back(name);
  ++call.open;
}

// A push asked for again whose request is still on its way: its answer is this call's.
bool Client::Core::Adopt(uint64_t id, ClientCall& call, size_t piece) {
  const auto at = orphan_pushes_.find({call.sequence, call.pieces[piece].slice});
  if (at == orphan_pushes_.end()) return false;
  ClientRequest& request = requests_.at(at->second);
  request.orphan = false;
  request.piece = piece;
  Join(id, call, at->second, request);
  orphan_pushes_.erase(at);
  return true;
}

}  // namespace weir
