// SPDX-License-Identifier: Apache-2.0
#include "ps/clock_table.h"

#include <algorithm>
#include <iterator>

namespace weir {

ClockTable::ClockTable(uint32_t workers) : members_(workers) {
  for (uint32_t rank = 0; rank < workers; ++rank) members_[rank] = rank;
  known_.insert(members_.begin(), members_.end());
}

void ClockTable::Begin(size_t slices) {
  slices_ = slices;
  workers_.clear();
}

const ClockTable::Worker* ClockTable::Find(uint64_t worker) const {
  const auto at = workers_.find(worker);
  return at == workers_.end() ? nullptr : &at->second;
}

ClockTable::Worker& ClockTable::Known(uint64_t worker) {
  Worker& known = workers_[worker];
  known.over.resize(slices_);
  return known;
}

bool ClockTable::Claim(uint64_t worker, uint64_t clock) {
  heirs_.erase(worker);
  if (clock <= claimed(worker)) return false;
  Worker& known = Known(worker);
  const bool grows = clock > known.claimed + 1 || known.ended < slices_;
  known.claimed = clock;
  known.ended = 0;
  known.over.assign(slices_, false);
  return grows;
}

void ClockTable::Finish(uint64_t worker, uint32_t slice) {
  Worker& known = Known(worker);
  known.ended += known.over[slice] ? 0 : 1;
  known.over[slice] = true;
}

uint64_t ClockTable::claimed(uint64_t worker) const {
  const Worker* known = Find(worker);
  return known == nullptr ? 0 : known->claimed;
}

uint64_t ClockTable::clock(uint64_t worker, uint32_t slice) const {
  const Worker* known = Find(worker);
  return known == nullptr ? 0 : known->claimed + (known->over[slice] ? 1 : 0);
}

uint64_t ClockTable::reading_clock(uint64_t worker, uint32_t slice) const {
  return heirs_.count(worker) > 0 ? claimed(worker) : clock(worker, slice);
}

uint64_t ClockTable::furthest(uint64_t worker) const {
  const Worker* known = Find(worker);
  return known == nullptr ? 0 : known->claimed + (known->ended > 0 ? 1 : 0);
}

void ClockTable::SetRoster(const Roster& roster) {
  if (roster.generation <= generation_) return;
  generation_ = roster.generation;
  const uint64_t begin = SlowestClaim().value_or(Slowest()).clock;
  for (const uint32_t rank : roster.owners) {
    if (known_.insert(rank).second) Claim(rank, begin);
  }
  members_.clear();
  std::set_difference(roster.owners.begin(), roster.owners.end(), roster.lost.begin(),
                      roster.lost.end(), std::back_inserter(members_));
}

void ClockTable::Leave(uint64_t worker) { left_.insert(worker); }

void ClockTable::Enter(uint64_t worker) {
  left_.erase(worker);
  heirs_.insert(worker);
}

template <typename ClockOf>
std::optional<ClockTable::Slowest> ClockTable::Least(ClockOf clock_of) const {
  std::optional<Slowest> least;
  for (const uint32_t rank : members_) {
    if (left_.count(rank) > 0) continue;
    const uint64_t its = clock_of(rank);
    if (!least.has_value() || its < least->clock) least = Slowest{rank, its};
  }
  return least;
}

std::optional<ClockTable::Slowest> ClockTable::SlowestOn(uint32_t slice) const {
  return Least([&](uint32_t rank) { return clock(rank, slice); });
}

std::optional<ClockTable::Slowest> ClockTable::SlowestClaim() const {
  return Least([&](uint32_t rank) { return claimed(rank); });
}

}  // namespace weir
