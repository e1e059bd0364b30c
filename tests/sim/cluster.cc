// SPDX-License-Identifier: Apache-2.0
#include "tests/sim/cluster.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"

namespace weir::sim {
namespace {

constexpr absl::Duration kServerBeat = absl::Seconds(2);
constexpr absl::Duration kLook = absl::Milliseconds(500);  // between two looks of the agent

}  // namespace

Cluster::Cluster(World* world)
    : world_(world), network_(world), coordinator_(world), places_(world->scenario.workers) {
  for (uint32_t shard = 0; shard < world->scenario.job.shards; ++shard) {
    shards_.push_back(std::make_unique<ShardNode>(world, &network_, shard));
    shards_.back()->OnPushReceived(
        [this](uint64_t worker, uint64_t sequence) { CrashInPush(worker, sequence); });
  }
}

void Cluster::Run() {
  for (uint32_t shard = 0; shard < shards_.size(); ++shard) StartServer(shard);
  for (uint32_t rank = 0; rank < places_.size(); ++rank) {
    world_->queue.After(world_->random.Between(absl::ZeroDuration(), absl::Milliseconds(50)),
                        [this, rank] { StartWorker(rank); });
  }
  world_->queue.After(kLook, [this] { Supervise(); });
  const absl::Time latest = world_->queue.now() + kMaxTime;
  absl::Time end = absl::InfiniteFuture();
  while (!world_->judge.broken() && !world_->queue.empty() && world_->queue.now() < end) {
    world_->queue.RunNext();
    InjectFaults();
    if (end == absl::InfiniteFuture() && Done()) end = world_->queue.now() + kAfterglow;
    world_->judge.Expect(Promise::kDeadline,
                         world_->queue.events() < kMaxEvents && world_->queue.now() < latest,
                         [&] { return absl::StrCat("the job does not finish: ", WaitsFor()); });
  }
  if (!world_->judge.broken()) CheckQuiet();
  world_->totals.events = world_->queue.events();
}

bool Cluster::Done() const {
  return std::all_of(places_.begin(), places_.end(), [](const Place& place) {
    return place.process != nullptr && place.process->state() == WorkerProcess::State::kLeft;
  });
}

std::string Cluster::WaitsFor() const {
  std::string text;
  for (const Place& place : places_) {
    if (place.process != nullptr) absl::StrAppend(&text, place.process->WaitsFor(), "; ");
  }
  return text;
}

void Cluster::CheckQuiet() {
  for (const auto& shard : shards_) shard->CheckQuiet();
  for (const auto& stranger : strangers_) stranger->CheckQuiet();
  for (const auto& process : processes_) {
    if (!process->running()) process->CheckQuiet();
  }
  const absl::Time now = world_->queue.now();
  const absl::StatusOr<JobStatus> status =
      coordinator_.membership().GetStatus(coordinator_.key(), now);
  world_->judge.Expect(
      Promise::kMembership, status.ok() && status->failure.empty() && status->finished, [&] {
        return absl::StrCat("at the end: ",
                            status.ok() ? status->failure : status.status().ToString());
      });
}

void Cluster::StartServer(uint32_t number) {
  const std::string address = absl::StrCat("server", number, ":1");
  coordinator_.Join(
      MemberRole::kServer, number, address, next_process_++,
      [this, number](const absl::StatusOr<JoinAnswer>& joined) {
        world_->judge.Expect(Promise::kMembership, joined.ok(),
                             [&] { return joined.status().ToString(); });
        if (!joined.ok()) return;
        const MemberId who{MemberRole::kServer, joined->rank, joined->incarnation};
        ShardNode* const shard = shards_[number].get();
        shard->Tell(joined->roster);
        BeatServer(shard, who, joined->roster.generation);
        coordinator_.GetLayout(
            who, absl::Minutes(1), 0,
            [this, shard](const absl::StatusOr<std::shared_ptr<const Layout>>& layout) {
              world_->judge.Expect(Promise::kMembership, layout.ok(),
                                   [&] { return layout.status().ToString(); });
              if (layout.ok()) shard->Install(**layout);
            });
      });
}

// Calls of servers are not lost.
void Cluster::BeatServer(ShardNode* shard, const MemberId& who, uint64_t roster) {
  HeartbeatEvent event;
  event.serving = shard->serving();
  event.roster_generation = roster;
  const absl::Duration pause = event.serving ? kServerBeat : absl::Milliseconds(20);
  coordinator_.Heartbeat(
      who, event, [this, shard, who, roster, pause](const absl::StatusOr<HeartbeatAnswer>& answer) {
        uint64_t newest = roster;
        if (answer.ok() && answer->roster.has_value()) {
          newest = answer->roster->generation;
          shard->Tell(*answer->roster);
        }
        world_->queue.After(pause, [this, shard, who, newest] { BeatServer(shard, who, newest); });
      });
}

void Cluster::StartWorker(uint32_t rank) {
  std::vector<ShardNode*> shards;
  for (const auto& shard : shards_) shards.push_back(shard.get());
  processes_.push_back(std::make_unique<WorkerProcess>(world_, &network_, &coordinator_,
                                                       std::move(shards), rank, next_process_++));
  places_[rank] = {processes_.back().get(), false, coordinator_.restarts(rank)};
  processes_.back()->Start();
}

// The agent: a place whose process has ended, or whose lease it sees run out, gets another one.
void Cluster::Supervise() {
  for (uint32_t rank = 0; rank < places_.size(); ++rank) {
    Place& place = places_[rank];
    if (place.process == nullptr || place.replacing) continue;
    const WorkerProcess::State state = place.process->state();
    if (state != WorkerProcess::State::kEnded && state != WorkerProcess::State::kCrashed) continue;
    place.replacing = true;
    if (world_->random.Chance(50)) coordinator_.ReportLoss(rank, place.restarts);
    world_->queue.After(world_->random.Between(absl::ZeroDuration(), absl::Seconds(1)),
                        [this, rank] { StartWorker(rank); });
  }
  world_->queue.After(kLook, [this] { Supervise(); });
}

Verdict Simulate(uint64_t seed, Trace::Lines lines) {
  World world(MakeScenario(seed), lines);
  Cluster cluster(&world);
  cluster.Run();
  Verdict verdict;
  verdict.broken = world.judge.broken();
  verdict.totals = world.totals;
  verdict.totals.seeds = 1;
  verdict.trace_hash = world.trace.hash();
  verdict.last_lines.assign(world.trace.last().begin(), world.trace.last().end());
  return verdict;
}

}  // namespace weir::sim
