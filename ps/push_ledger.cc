// SPDX-License-Identifier: Apache-2.0
#include "ps/push_ledger.h"

#include <algorithm>

namespace weir {

const PushLedger::Worker* PushLedger::Find(uint64_t worker) const {
  const auto it = workers_.find(worker);
  return it == workers_.end() ? nullptr : &it->second;
}

PushLedger::Standing PushLedger::Enter(uint64_t worker, uint64_t incarnation) {
  const auto it = workers_.find(worker);
  if (it == workers_.end()) {
    if (workers_.size() >= max_workers_) return Standing::kFull;
    workers_[worker].incarnation = incarnation;
    return Standing::kCurrent;
  }
  Worker& known = it->second;
  if (incarnation < known.incarnation) return Standing::kFenced;
  if (incarnation > known.incarnation) {
    known.incarnation = incarnation;
    known.floor = 0;
    known.outcomes.clear();
  }
  return Standing::kCurrent;
}

bool PushLedger::IsFenced(uint64_t worker, uint64_t incarnation) const {
  return incarnation < newest(worker);
}

uint64_t PushLedger::newest(uint64_t worker) const {
  const Worker* known = Find(worker);
  return known == nullptr ? 0 : known->incarnation;
}

PushLedger::Verdict PushLedger::Look(const PushId& id, uint32_t slice, PushEnd* outcome) const {
  const Worker* known = Find(id.worker);
  if (known == nullptr) return Verdict::kNew;
  if (id.incarnation < known->incarnation || id.sequence < known->floor) return Verdict::kFenced;
  const auto it = known->outcomes.find({id.sequence, slice});
  if (it != known->outcomes.end()) {
    *outcome = it->second;
    return Verdict::kDuplicate;
  }
  return known->outcomes.size() < max_unconfirmed_ ? Verdict::kNew : Verdict::kFull;
}

void PushLedger::Record(const PushId& id, uint32_t slice, uint64_t batch, PushEnd outcome) {
  const auto it = workers_.find(id.worker);
  if (it == workers_.end() || id.incarnation != it->second.incarnation) return;
  Worker& known = it->second;
  if (id.incarnation != known.last_incarnation || id.sequence >= known.last.sequence) {
    known.last_incarnation = id.incarnation;
    known.last = {id.sequence, batch};
  }
  if (outcome.outcome == Outcome::kApplied && batch != ~uint64_t{0})
    known.next_batch = std::max(known.next_batch, batch + 1);
  if (id.sequence < known.floor) return;
  known.outcomes.emplace(std::make_pair(id.sequence, slice), std::move(outcome));
}

void PushLedger::Confirm(uint64_t worker, uint64_t incarnation, uint64_t lowest_pending) {
  const auto it = workers_.find(worker);
  if (it == workers_.end() || incarnation != it->second.incarnation) return;
  Worker& known = it->second;
  known.floor = std::max(known.floor, lowest_pending);
  known.outcomes.erase(known.outcomes.begin(), known.outcomes.lower_bound({known.floor, 0}));
}

PushLedger::Last PushLedger::last(uint64_t worker) const {
  const Worker* known = Find(worker);
  return known == nullptr ? Last() : known->last;
}

uint64_t PushLedger::next_batch(uint64_t worker) const {
  const Worker* known = Find(worker);
  return known == nullptr ? 0 : known->next_batch;
}

void PushLedger::Forget(uint64_t max_unconfirmed) {
  max_unconfirmed_ = max_unconfirmed;
  for (auto& [worker, known] : workers_) {
    known.floor = 0;
    known.last = {};
    known.next_batch = 0;
    known.outcomes.clear();
  }
}

std::vector<uint64_t> PushLedger::workers() const {
  std::vector<uint64_t> all;
  all.reserve(workers_.size());
  for (const auto& [worker, known] : workers_) all.push_back(worker);
  return all;
}

void PushLedger::Restore(uint64_t worker, uint64_t incarnation, uint64_t next_batch) {
  const auto it = workers_.find(worker);
  if (it == workers_.end() && workers_.size() >= max_workers_) return;
  Worker& known = workers_[worker];
  known.incarnation = std::max(known.incarnation, incarnation);
  known.next_batch = next_batch;
}

uint64_t PushLedger::unconfirmed(uint64_t worker) const {
  const Worker* known = Find(worker);
  return known == nullptr ? 0 : known->outcomes.size();
}

}  // namespace weir
