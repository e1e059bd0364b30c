// SPDX-License-Identifier: Apache-2.0
// ssp: what frames say of their worker's clock, and the reads that wait for the slowest.
#include <algorithm>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "ps/shard_core.h"

namespace weir {
namespace {

constexpr uint64_t kMaxClock = (uint64_t{1} << 63) - 1;  // one more can still be counted

}  // namespace

absl::Status Shard::Core::CheckClock(uint64_t step) const {
  if (ssp_ == nullptr || step <= kMaxClock) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("step ", step, " is above the greatest there may be, ", kMaxClock));
}

void Shard::Core::Claim(const Session& session, uint64_t clock) {
  if (ssp_ == nullptr || session.role != SessionRole::kWorker) return;
  if (clocks_.Claim(session.worker, clock)) ServeReads();
}

uint64_t Shard::Core::Reached(uint32_t slice) const {
  if (ssp_ == nullptr) return store_[slice].version;
  const std::optional<ClockTable::Slowest> slowest = clocks_.SlowestOn(slice);
  return slowest.has_value() ? slowest->clock : std::numeric_limits<uint64_t>::max();
}

void Shard::Core::ServeReads(uint32_t slice) {
  if (!waiting_.HasRead(slice)) return;
  for (const WaitingList::Read& read : waiting_.TakeReads(slice, Reached(slice))) {
    if (ssp_ == nullptr) {
      Read(read.request, slice, PullCondition::kStep, read.awaited);
    } else {
      ReadWhenDue(read.request, slice);
    }
  }
}

void Shard::Core::ServeReads() {
  for (uint32_t slice = 0; slice < store_.size(); ++slice) ServeReads(slice);
}

void Shard::Core::ReadByClock(const Session& session, const RequestRef& request,
                              const std::vector<uint32_t>& slices, PullCondition condition,
                              uint64_t version) {
  auto read = std::make_shared<ClockedRead>();
  if (condition == PullCondition::kStep) {
    Claim(session, version);
    read->clock = version;
  } else {
    read->condition = condition;
    read->version = version;
  }
  if (session.role == SessionRole::kWorker) read->worker = session.worker;
  if (request.together) read->slices = slices;
  RequestRef asker = request;
  asker.clocked = std::move(read);
  if (request.together) return ReadWhenDue(asker, slices.front());
  for (const uint32_t slice : slices) ReadWhenDue(asker, slice);
}

uint64_t Shard::Core::ReadingClock(const ClockedRead& read, uint32_t slice) const {
  if (!read.worker.has_value()) return read.clock;
  return std::max(read.clock, clocks_.reading_clock(*read.worker, slice));
}

// Of a sync, `slice` is the one that it has waited for.
void Shard::Core::ReadWhenDue(const RequestRef& request, uint32_t slice) {
  const ClockedRead& read = *request.clocked;
  const auto waits = [&](uint32_t at) {
    const uint64_t clock = ReadingClock(read, at);
    if (ssp_->CanRead(at, clock)) return false;
    waiting_.AddRead(request, at, ssp_->ClockAwaited(clock));
    return true;
  };
  if (!request.together) {
    if (!waits(slice)) Read(request, slice, read.condition, read.version);
    return;
  }
  if (std::any_of(read.slices.begin(), read.slices.end(), waits)) return;
  for (const uint32_t at : read.slices) Read(request, at, PullCondition::kAny, 0);
}

bool Shard::Core::BringsValues(const RequestRef& request, uint32_t slice,
                               const PushReplyFrame& reply) {
  const Session* session = Asker(request);
  if (ssp_ == nullptr || session == nullptr) return true;
  return reply.outcome == Outcome::kApplied &&
         ssp_->CanRead(slice, clocks_.clock(session->worker, slice));
}

uint64_t Shard::Core::ClocksAhead(uint32_t slice, uint64_t step) const {
  if (ssp_ == nullptr) return 0;
  return step - std::min(step, Reached(slice));
}

}  // namespace weir
