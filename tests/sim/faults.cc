// SPDX-License-Identifier: Apache-2.0
// What goes wrong, and when: the part of Cluster that injects faults.
#include <utility>
#include <vector>

#include "tests/sim/cluster.h"

namespace weir::sim {

void Cluster::InjectFaults() {
  const uint64_t ended = world_->totals.ended();
  const std::vector<PlannedFault>& faults = world_->scenario.faults;
  while (next_fault_ < faults.size() && faults[next_fault_].after_ended <= ended)
    Inject(faults[next_fault_++].kind);
  if (world_->finishing || world_->shards_behind > 0 || ended < Scenario::kMinEnded ||
      next_fault_ < faults.size())
    return;
  if (world_->totals.injected() < Scenario::kMinFaults)
    return Inject(FaultKind::kCut);  // some found nobody to hit
  world_->finishing = true;
  world_->Note("finishing", {});
}

// A worker that trains; null: there is none now.
WorkerProcess* Cluster::AnyWorker() {
  std::vector<WorkerProcess*> workers;
  for (const Place& place : places_) {
    if (place.process != nullptr && place.process->state() == WorkerProcess::State::kTraining &&
        !place.process->paused()) {
      workers.push_back(place.process);
    }
  }
  return workers.empty() ? nullptr : workers[world_->random.Below(workers.size())];
}

void Cluster::Inject(FaultKind kind) {
  world_->Note("fault", {{"kind", static_cast<uint64_t>(kind)}});
  const std::vector<uint64_t> links = network_.OpenLinks();
  const uint64_t link = links.empty() ? 0 : links[world_->random.Below(links.size())];
  WorkerProcess* const worker = AnyWorker();
  switch (kind) {
    case FaultKind::kCut:
      if (link != 0) network_.Cut(link);
      return;
    case FaultKind::kCutAll:
      return CutAll();
    case FaultKind::kSlow:
      if (link != 0) network_.SlowDown(link);
      return;
    case FaultKind::kNotReading:
      if (link != 0)
        network_.StopReading(link,
                             world_->random.Between(absl::Milliseconds(100), absl::Seconds(15)));
      return;
    case FaultKind::kPause:
      if (worker == nullptr) return;
      world_->Count(Fault::kPause);
      worker->Pause(world_->random.Between(absl::Milliseconds(50), absl::Seconds(6)));
      return;
    case FaultKind::kPauseOverLease:
      return PauseOverLease(worker);
    case FaultKind::kCrash:
      return CrashWorker(worker);
    case FaultKind::kCrashInPush:
      ++crashes_in_push_;
      return;
    case FaultKind::kEpochChange:
      return ChangeEpoch();
    case FaultKind::kPoison:
      world_->poison_wanted = true;
      return;
    case FaultKind::kHostile:
      world_->Count(Fault::kHostile);
      strangers_.push_back(std::make_unique<Hostile>(
          world_, &network_, shards_[world_->random.Below(shards_.size())].get()));
      return strangers_.back()->Start();
    case FaultKind::kControlLost:
      return coordinator_.LoseCalls(static_cast<uint32_t>(world_->random.Between(1, 4)));
    case FaultKind::kCount:
      return;
  }
}

void Cluster::CutAll() {
  const ServerEnd* const shard = shards_[world_->random.Below(shards_.size())].get();
  for (const uint64_t link : network_.OpenLinks(shard)) network_.Cut(link);
}

// Its successor comes once the lease is over, and meets it again.
void Cluster::PauseOverLease(WorkerProcess* worker) {
  if (worker == nullptr) return;
  world_->Count(Fault::kPause);
  world_->Count(Fault::kPauseOverLease);
  const uint32_t rank = worker->rank();
  places_[rank].replacing = true;
  worker->Pause(Scenario::kLease + world_->random.Between(absl::Seconds(1), absl::Seconds(6)));
  const absl::Duration wait =
      Scenario::kLease + world_->random.Between(absl::ZeroDuration(), absl::Seconds(3));
  world_->queue.After(wait, [this, rank] { StartWorker(rank); });
}

void Cluster::CrashWorker(WorkerProcess* worker) {
  if (worker == nullptr) return;
  world_->Count(Fault::kCrash);
  worker->Crash();
}

// A shard has received a slice of a push: when a worker is to die between two, this is the moment.
void Cluster::CrashInPush(uint64_t worker, uint64_t sequence) {
  if (crashes_in_push_ == 0 || worker >= places_.size()) return;
  WorkerProcess* const process = places_[worker].process;
  if (process == nullptr || !process->running() || !process->InTheMiddleOf(sequence)) return;
  --crashes_in_push_;
  world_->Count(Fault::kDeathInPush);
  CrashWorker(process);
}

// The operator publishes a layout of the next epoch; each shard installs it when it hears of it.
void Cluster::ChangeEpoch() {
  world_->Count(Fault::kEpochChange);
  auto layout = std::make_shared<Layout>(world_->scenario.layout);
  ++layout->epoch;
  layout->shard_addresses.assign(shards_.size(), ShardAddress{"server:1", "", ""});
  coordinator_.Publish(layout);
  world_->newest_epoch = layout->epoch;
  world_->shards_behind = static_cast<uint32_t>(shards_.size());
  for (const auto& shard : shards_) {
    const absl::Duration late = world_->random.Between(absl::ZeroDuration(), absl::Seconds(1));
    world_->queue.After(late, [this, layout, node = shard.get()] {
      node->Install(*layout);
      --world_->shards_behind;
    });
  }
}

}  // namespace weir::sim
