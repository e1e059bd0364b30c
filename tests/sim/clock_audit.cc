// SPDX-License-Identifier: Apache-2.0
#include "tests/sim/clock_audit.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace weir::sim {
namespace {

template <typename Key>
uint64_t ValueOf(const std::map<Key, uint64_t>& values, const Key& key) {
  const auto at = values.find(key);
  return at == values.end() ? 0 : at->second;
}

}  // namespace

ClockAudit::ClockAudit(World* world, uint32_t shard) : world_(world), shard_(shard) {
  for (uint32_t rank = 0; rank < world->scenario.workers; ++rank) roster_.owners.push_back(rank);
}

template <typename Sentence>
void ClockAudit::Expect(Promise promise, bool holds, Sentence sentence) {
  world_->judge.Expect(promise, holds,
                       [&] { return absl::StrCat("shard ", shard_, ": ", sentence()); });
}

void ClockAudit::Installing() {
  claimed_.clear();
  ended_.clear();
  promised_.clear();
}

void ClockAudit::Told(const Roster& roster) {
  if (roster.generation > roster_.generation) roster_ = roster;
}

void ClockAudit::Greeted(uint64_t worker, uint64_t clock, bool is_successor) {
  if (is_successor) {
    left_.erase(worker);
    heirs_.insert(worker);
  }
  Expect(Promise::kStaleness, clock == claimed(worker), [&] {
    return absl::StrCat("worker ", worker, " is told to go on at clock ", clock, ", but had said ",
                        claimed(worker));
  });
}

void ClockAudit::Claimed(uint64_t worker, uint64_t clock) {
  heirs_.erase(worker);
  uint64_t& claimed = claimed_[worker];
  claimed = std::max(claimed, clock);
}

uint64_t ClockAudit::claimed(uint64_t worker) const { return ValueOf(claimed_, worker); }

uint64_t ClockAudit::clock(uint64_t worker, size_t slice) const {
  return std::max(claimed(worker), ValueOf(ended_, std::make_pair(worker, slice)));
}

uint64_t ClockAudit::ReadingClock(uint64_t worker, size_t slice, uint64_t named) const {
  return std::max(named, heirs_.count(worker) > 0 ? claimed(worker) : clock(worker, slice));
}

bool ClockAudit::Counts(uint32_t rank) const {
  return left_.count(rank) == 0 &&
         !std::binary_search(roster_.lost.begin(), roster_.lost.end(), rank);
}

bool ClockAudit::Exceeds(size_t slice, uint64_t step) const {
  return std::any_of(roster_.owners.begin(), roster_.owners.end(), [&](uint32_t rank) {
    return Counts(rank) && step > clock(rank, slice) + bound();
  });
}

void ClockAudit::Applied(size_t slice, const SentPush& push) {
  const uint64_t worker = push.key.worker;
  uint64_t& ended = ended_[{worker, slice}];
  const auto who = [&] {
    return absl::StrCat("a push of step ", push.step, " of worker ", worker, " incarnation ",
                        push.key.incarnation, " was applied to slice ", slice);
  };
  Expect(Promise::kStaleness, !Exceeds(slice, push.step),
         [&] { return absl::StrCat(who(), ", beyond the bound of ", bound(), " clocks"); });
  Expect(Promise::kExactlyOnce, push.step == ended,
         [&] { return absl::StrCat(who(), ", where ", ended, " of its steps had ended"); });
  const uint64_t promised = ValueOf(promised_, std::make_pair(worker, slice));
  Expect(Promise::kStaleness, push.step >= promised, [&] {
    return absl::StrCat(who(), ", but readers were told that they have all of its first ", promised,
                        " steps");
  });
  ended = push.step + 1;
}

void ClockAudit::Read(size_t slice, uint64_t clock) {
  Expect(Promise::kStaleness, !Exceeds(slice, clock), [&] {
    return absl::StrCat("values of slice ", slice, " went to a reader at clock ", clock,
                        ", beyond the bound of ", bound(), " clocks");
  });
  if (clock <= bound()) return;
  for (const uint32_t rank : roster_.owners) {
    if (!Counts(rank)) continue;
    uint64_t& promised = promised_[{rank, slice}];
    promised = std::max(promised, clock - bound());
  }
}

}  // namespace weir::sim
