// SPDX-License-Identifier: Apache-2.0
// Events in: dispatch, sessions, ticks, status.
#include "ps/shard.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/part_tree.h"
#include "ps/shard_core.h"

namespace weir {
namespace {

constexpr uint64_t kLargestLimit = uint64_t{1} << 48;

SessionTable::Options SessionOptions(const ShardLimits& limits) {
  SessionTable::Options options;
  options.credits = {limits.max_requests, limits.max_push_bytes, limits.max_reply_bytes};
  options.max_sessions = limits.max_sessions;
  options.hello_timeout = absl::Milliseconds(limits.hello_timeout_ms);
  options.write_timeout = absl::Milliseconds(limits.write_timeout_ms);
  return options;
}

absl::Status CheckLimit(const char* name, uint64_t value) {
  if (value >= 1 && value <= kLargestLimit) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(name, " is ", value, ", not between 1 and 2^48"));
}

absl::Status CheckLimits(const ShardLimits& limits) {
  const std::pair<const char*, uint64_t> all[] = {
      {"max_requests", limits.max_requests},         {"max_push_bytes", limits.max_push_bytes},
      {"max_reply_bytes", limits.max_reply_bytes},   {"max_frame_bytes", limits.max_frame_bytes},
      {"max_wait_ms", limits.max_wait_ms},           {"write_timeout_ms", limits.write_timeout_ms},
      {"hello_timeout_ms", limits.hello_timeout_ms}, {"max_sessions", limits.max_sessions},
      {"max_workers", limits.max_workers},           {"max_state_bytes", limits.max_state_bytes},
  };
  for (const auto& [name, value] : all) {
    if (absl::Status status = CheckLimit(name, value); !status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::Status CheckMode(const ShardOptions& options) {
  switch (options.mode) {
    case ConsistencyMode::kBsp:
    case ConsistencyMode::kAsp:
      return absl::OkStatus();
    case ConsistencyMode::kSsp:
      if (!options.max_staleness.has_value())
        return absl::InvalidArgumentError("ssp without max_staleness");
      if (options.workers >= 1 && options.workers <= options.limits.max_workers)
        return absl::OkStatus();
      return absl::InvalidArgumentError(absl::StrCat("workers is ", options.workers,
                                                     ", not between 1 and max_workers, ",
                                                     options.limits.max_workers));
  }
  return absl::InvalidArgumentError(
      absl::StrCat("unknown mode ", static_cast<uint32_t>(options.mode)));
}

}  // namespace

absl::Status ValidateShardOptions(const ShardOptions& options) {
  if (absl::Status status = CheckLimits(options.limits); !status.ok()) return status;
  if (absl::Status status = CheckMode(options); !status.ok()) return status;
  if (options.gradient_shards < 1 || options.gradient_shards > kMaxParts) {
    return absl::InvalidArgumentError(absl::StrCat("gradient_shards is ", options.gradient_shards,
                                                   ", not between 1 and ", kMaxParts));
  }
  if (absl::Status status = Validate(options.optimizer); !status.ok()) return status;
  return Validate(options.schedule);
}

uint64_t StatedMaxRequests(const ShardOptions& options, uint64_t slices) {
  constexpr uint64_t kSpare = 16;  // for what is not of a slice
  const uint64_t given = options.limits.max_requests;
  if (options.mode == ConsistencyMode::kAsp) return given;
  if (options.mode == ConsistencyMode::kSsp)
    return std::max(given, std::min(2 * slices + kSpare, kMostRequests));
  // A contiguous range of parts has at most two maximal blocks on each level of the tree.
  uint64_t blocks = 0;
  for (uint64_t parts = 1; parts < options.gradient_shards; parts *= 2) blocks += 2;
  const uint64_t needed = slices * (std::max<uint64_t>(blocks, 1) + 1) + kSpare;
  return std::max(given, std::min(needed, kMostRequests));
}

Shard::Core::Core(ShardOptions options, BufferPool* pool)
    : options_(std::move(options)),
      pool_(pool),
      state_tensors_(StateTensors(options_.optimizer.type)),
      epoch_(options_.epoch),
      max_requests_(StatedMaxRequests(options_, 0)),
      ledger_(options_.limits.max_workers, options_.limits.max_requests),
      sessions_(SessionOptions(options_.limits)),
      clocks_(options_.workers) {}

bool Shard::Core::Begin(absl::Time now, Effects* effects) {
  now_ = now;
  out_ = effects;
  if (!lapsed_ && now_ >= lease_until_) Lapse();
  return !lapsed_;
}

void Shard::Core::OnOpen(uint64_t id) {
  absl::Status status = sessions_.Open(id, now_);
  if (!status.ok()) Close(sessions_.Find(id), std::move(status));
}

void Shard::Core::OnSent(uint64_t id, uint64_t payload_bytes) {
  Session* session = sessions_.Find(id);
  if (session != nullptr) sessions_.Sent(session, payload_bytes, now_);
}

void Shard::Core::OnClosed(uint64_t id) {
  waiting_.Drop(id);
  sessions_.Erase(id);
}

RequestRef Shard::Core::RefOf(const Session& session, const ClientFrame& frame) const {
  const uint32_t longest = options_.limits.max_wait_ms;
  RequestRef request;
  request.session = session.id;
  request.request_id = frame.request_id;
  request.trace_id = frame.trace_id;
  request.deadline =
      now_ +
      absl::Milliseconds(frame.deadline_ms == 0 ? longest : std::min(frame.deadline_ms, longest));
  const auto* pull = std::get_if<PullFrame>(&frame.kind);
  request.by_name = pull != nullptr && !pull->layer_name.empty();
  return request;
}

void Shard::Core::OnFrame(uint64_t id, ClientFrame frame) {
  Session* session = sessions_.Find(id);
  if (session == nullptr || session->state == Session::State::kClosing) return;
  const auto* hello = std::get_if<HelloFrame>(&frame.kind);
  if ((hello != nullptr) != (session->state == Session::State::kNew)) {
    return Close(session, absl::FailedPreconditionError(
                              hello == nullptr ? "the first frame of a session must be hello"
                                               : "a second hello in one session"));
  }
  absl::Status credit = session->credits.Begin(frame.request_id);
  const auto* push = std::get_if<PushFrame>(&frame.kind);
  if (credit.ok() && push != nullptr) credit = session->credits.Receive(push->gradient.size());
  if (!credit.ok()) return Close(session, std::move(credit));
  if (push != nullptr) {
    totals_.payload_bytes += push->gradient.size();
    totals_.payload_bytes_copied += push->gradient.copied_bytes();
  }
  const RequestRef request = RefOf(*session, frame);
  if (hello != nullptr) return OnHello(session, request, *hello);
  OnKind(session, request, std::move(frame));
}

void Shard::Core::OnKind(Session* session, const RequestRef& request, ClientFrame frame) {
  if (frame.epoch != epoch_) {
    return Refuse(request, frame, Outcome::kMoved,
                  absl::StrCat("the job is in epoch ", epoch_, ", the frame of ", frame.epoch));
  }
  if (session->role == SessionRole::kWorker &&
      ledger_.IsFenced(session->worker, session->incarnation)) {
    return Refuse(request, frame, Outcome::kFenced,
                  absl::StrCat("incarnation ", ledger_.newest(session->worker), " of worker ",
                               session->worker, " has been here, this is incarnation ",
                               session->incarnation));
  }
  if (!serving())
    return Refuse(request, frame, Outcome::kOverloaded,
                  absl::StrCat("not serving yet: ", WhyNotServing()));
  if (auto* push = std::get_if<PushFrame>(&frame.kind))
    return OnPush(session, request, std::move(*push));
  if (auto* pull = std::get_if<PullFrame>(&frame.kind)) return OnPull(session, request, *pull);
  if (auto* sync = std::get_if<SyncFrame>(&frame.kind)) return OnSync(session, request, *sync);
  if (auto* bind = std::get_if<BindFrame>(&frame.kind)) return OnBind(request, *bind);
  if (std::holds_alternative<LeaveFrame>(frame.kind)) return OnLeave(session, request);
  if (auto* put = std::get_if<PutStateFrame>(&frame.kind))
    return OnPutState(session, request, *put);
  if (std::holds_alternative<GetStateFrame>(frame.kind)) return OnGetState(session, request);
  const auto* unknown = std::get_if<UnknownFrame>(&frame.kind);
  const uint32_t field = unknown == nullptr ? 0 : unknown->field;
  Error(request, Outcome::kInvalid,
        field == 0 ? std::string("unsupported: the frame holds no kind")
                   : absl::StrCat("unsupported: frame kind ", field));
}

void Shard::Core::OnJobDone(uint64_t job, const JobResult& result) {
  const auto it = running_.find(job);
  if (it == running_.end()) return;
  Running running = std::move(it->second);
  running_.erase(it);
  const uint32_t slice = running.slice;
  if (running.push.has_value()) {
    FinishJob(std::move(running), result);
  } else {
    FinishInit(running, result);
  }
  Advance(slice);
}

void Shard::Core::OnRoster(const Roster& roster) {
  clocks_.SetRoster(roster);
  if (ssp_ != nullptr) ServeReads();
}

void Shard::Core::OnTick() {
  for (const WaitingList::Expired& waiter : waiting_.TakeExpired(now_)) {
    const ClockedRead* read = waiter.request.clocked.get();
    std::string reason = read != nullptr
                             ? ssp_->WhyWaiting(waiter.slice, ReadingClock(*read, waiter.slice))
                             : policy_->WaitsFor(waiter.slice, store_[waiter.slice].version);
    if (!waiter.push.has_value()) {
      Error(waiter.request, Outcome::kPending, std::move(reason));
      continue;
    }
    PushReplyFrame reply;
    reply.outcome = Outcome::kPending;
    reply.version = store_[waiter.slice].version;
    reply.reason = std::move(reason);
    AnswerPush(waiter.request, waiter.slice, waiter.push->sequence, std::move(reply));
  }
  for (auto& [id, status] : sessions_.Expired(now_)) Close(sessions_.Find(id), std::move(status));
}

absl::Time Shard::Core::NextDeadline() const {
  if (lapsed_) return absl::InfiniteFuture();
  return std::min({waiting_.NextDeadline(), sessions_.NextDeadline(), lease_until_});
}

std::string Shard::Core::WhyNotServing() const {
  if (!failure_.empty()) return failure_;
  return absl::StrCat("waits for ", WhatIsMissing());
}

std::string Shard::Core::WhatIsMissing() const {
  if (!installed_) return "a layout";
  return absl::StrCat("the first weights of ", uninitialised_,
                      uninitialised_ == 1 ? " slice" : " slices");
}

ShardStatus Shard::Core::status() const {
  ShardStatus status;
  status.serving = serving();
  status.lapsed = lapsed_;
  status.epoch = epoch_;
  status.failure = failure_;
  if (!status.serving) {
    if (failure_.empty()) status.waits_for = WhatIsMissing();
  } else if (store_.size() > 0) {
    const uint32_t least = store_.Least();
    status.step = store_[least].version;
    if (ssp_ != nullptr) status.step = clocks_.SlowestClaim().value_or(ClockTable::Slowest()).clock;
    if (ssp_ == nullptr || waiting_.size() > 0)
      status.waits_for = policy_->WaitsFor(least, status.step);
  }
  return status;
}

Shard::Shard(ShardOptions options, BufferPool* pool)
    : core_(std::make_unique<Core>(std::move(options), pool)) {}
Shard::~Shard() = default;

absl::Status Shard::Install(const Layout& layout, absl::Time now, Effects* effects) {
  absl::Status status =
      core_->Begin(now, effects) ? core_->Install(layout, nullptr) : core_->LeaseIsOver();
  core_->End();
  return status;
}

absl::Status Shard::InstallRestored(const Layout& layout, const ShardRestore& restore,
                                    absl::Time now, Effects* effects) {
  absl::Status status =
      core_->Begin(now, effects) ? core_->Install(layout, &restore) : core_->LeaseIsOver();
  core_->End();
  return status;
}

absl::Status Shard::OnCut(uint64_t number, absl::Time now, Effects* effects) {
  absl::Status status = core_->Begin(now, effects) ? core_->OnCut(number) : core_->LeaseIsOver();
  core_->End();
  return status;
}

void Shard::OnCutDone(absl::Time now, Effects* effects) {
  if (core_->Begin(now, effects)) core_->OnCutDone();
  core_->End();
}

void Shard::OnOpen(uint64_t session, absl::Time now, Effects* effects) {
  if (core_->Begin(now, effects)) {
    core_->OnOpen(session);
  } else {
    core_->TurnAway(session);
  }
  core_->End();
}

void Shard::OnFrame(uint64_t session, ClientFrame frame, absl::Time now, Effects* effects) {
  if (core_->Begin(now, effects)) core_->OnFrame(session, std::move(frame));
  core_->End();
}

void Shard::OnSent(uint64_t session, uint64_t payload_bytes, absl::Time now, Effects* effects) {
  if (core_->Begin(now, effects)) core_->OnSent(session, payload_bytes);
  core_->End();
}

void Shard::OnClosed(uint64_t session, absl::Time now, Effects* effects) {
  if (core_->Begin(now, effects)) core_->OnClosed(session);
  core_->End();
}

void Shard::OnJobDone(uint64_t job, const JobResult& result, absl::Time now, Effects* effects) {
  if (core_->Begin(now, effects)) core_->OnJobDone(job, result);
  core_->End();
}

void Shard::OnRoster(const Roster& roster, absl::Time now, Effects* effects) {
  if (core_->Begin(now, effects)) core_->OnRoster(roster);
  core_->End();
}

void Shard::OnTick(absl::Time now, Effects* effects) {
  if (core_->Begin(now, effects)) core_->OnTick();
  core_->End();
}

void Shard::SetLease(absl::Time until, absl::Time now, Effects* effects) {
  if (core_->Begin(now, effects)) core_->SetLease(until);
  core_->End();
}

absl::Time Shard::NextDeadline() const { return core_->NextDeadline(); }
ShardTotals Shard::totals() const { return core_->totals(); }
ShardStatus Shard::status() const { return core_->status(); }
uint64_t Shard::max_requests() const { return core_->max_requests(); }
size_t Shard::slice_count() const { return core_->store().size(); }

SliceSnapshot Shard::snapshot(size_t slice) const {
  const StoredSlice& stored = core_->store()[slice];
  return {stored.spec, stored.version, stored.values.weights};
}

}  // namespace weir
