// SPDX-License-Identifier: Apache-2.0
// How a worker joins, keeps its lease, and leaves.
#include <utility>

#include "absl/strings/str_cat.h"
#include "tests/sim/worker_process.h"

namespace weir::sim {
namespace {

constexpr absl::Duration kBeat = absl::Milliseconds(2500);  // a quarter of the lease
constexpr absl::Duration kRetry = absl::Milliseconds(300);
constexpr absl::Duration kLayoutWait = absl::Seconds(5);

// The same call may be made again.
bool Again(const absl::Status& status) { return status.code() == absl::StatusCode::kUnavailable; }

}  // namespace

void WorkerProcess::Start() {
  world_->Note("start", {{"rank", rank_}, {"process", process_}});
  Join();
}

void WorkerProcess::Join() {
  coordinator_->Join(MemberRole::kWorker, rank_, "", process_,
                     [this](const absl::StatusOr<JoinAnswer>& answer) {
                       Deliver([this, answer] {
                         if (answer.ok()) {
                           who_ = {MemberRole::kWorker, answer->rank, answer->incarnation};
                           Declare();
                           Beat();
                         } else if (Again(answer.status()) ||
                                    answer.status().code() == absl::StatusCode::kAlreadyExists) {
                           After(kRetry, [this] { Join(); });
                         } else {
                           world_->judge.Expect(Promise::kMembership, world_->finishing,
                                                [&] { return answer.status().ToString(); });
                           state_ = State::kLeft;  // the others have finished the job
                         }
                       });
                     });
}

void WorkerProcess::Declare() {
  coordinator_->Declare(who_, [this](const absl::StatusOr<uint64_t>& epoch) {
    Deliver([this, epoch] {
      if (epoch.ok()) return FetchFirstLayout();
      if (!Again(epoch.status())) return End();
      After(kRetry, [this] { Declare(); });
    });
  });
}

void WorkerProcess::FetchFirstLayout() {
  coordinator_->GetLayout(who_, kLayoutWait, 0,
                          [this](const absl::StatusOr<std::shared_ptr<const Layout>>& layout) {
                            Deliver([this, layout] {
                              if (layout.ok()) return BeginTraining(**layout);
                              if (!Again(layout.status())) return End();
                              After(kRetry, [this] { FetchFirstLayout(); });
                            });
                          });
}

void WorkerProcess::BeginTraining(const Layout& layout) {
  const Scenario& scenario = world_->scenario;
  ClientOptions options;
  options.job_id = coordinator_->key().job_id;
  options.job_token = coordinator_->key().job_token;
  options.worker_id = rank_;
  options.incarnation = who_.incarnation;
  options.mode = static_cast<Mode>(scenario.shard.mode);  // both as weir.v1.Mode
  options.seed = Mix(scenario.seed, process_);
  options.default_deadline = scenario.call_deadline;
  client_ = std::make_unique<Client>(options, &pool_);
  state_ = State::kTraining;
  Handle([&](Client& client, absl::Time now, ClientEffects* effects) {
    client.SetLayout(layout, now, effects);
  });
  trainer_ = scenario.bsp()   ? MakeBspTrainer(this)
             : scenario.ssp() ? MakeSspTrainer(this)
                              : MakeAspTrainer(this);
  trainer_->Start();
}

void WorkerProcess::FetchLayout(uint64_t newer_than) {
  coordinator_->GetLayout(
      who_, kLayoutWait, newer_than,
      [this, newer_than](const absl::StatusOr<std::shared_ptr<const Layout>>& layout) {
        Deliver([this, newer_than, layout] {
          if (layout.ok()) {
            Handle([&](Client& client, absl::Time now, ClientEffects* effects) {
              client.SetLayout(**layout, now, effects);
            });
          } else if (Again(layout.status())) {
            After(kRetry, [this, newer_than] { FetchLayout(newer_than); });
          } else {
            End();
          }
        });
      });
}

void WorkerProcess::Beat() {
  HeartbeatEvent event;
  event.serving = state_ == State::kTraining;
  coordinator_->Heartbeat(who_, event, [this](const absl::StatusOr<HeartbeatAnswer>& answer) {
    Deliver([this, answer] {
      if (answer.ok() && answer->stop) {
        world_->judge.Expect(Promise::kMembership, false,
                             [&] { return absl::StrCat("told to stop: ", answer->reason); });
        return End();
      }
      if (answer.ok() || Again(answer.status())) return;
      if (doomed_) return;
      doomed_ = true;
      // Another process may have its place. A quick one notices; a slow one goes on for a while.
      const bool quick = world_->random.Chance(30);
      After(
          quick ? absl::ZeroDuration() : world_->random.Between(absl::Seconds(1), absl::Seconds(8)),
          [this] { End(); });
    });
  });
  After(kBeat, [this] {
    if (!doomed_) Beat();
  });
}

void WorkerProcess::Leave() {
  const Deadline deadline(absl::ToInt64Milliseconds(world_->scenario.call_deadline));
  Begin([&](Client& client, uint64_t call, absl::Time now,
            ClientEffects* effects) { client.Leave(call, deadline, now, effects); },
        deadline,
        [this](const CompleteEffect& end) {
          if (end.status.ok()) return LeaveJob();
          if (end.status.code() == StatusCode::kFailedPrecondition ||
              end.status.code() == StatusCode::kCancelled)
            return End();
          After(kRetry, [this] { Leave(); });
        });
}

void WorkerProcess::LeaveJob() {
  coordinator_->Leave(who_, [this](const absl::StatusOr<bool>& left) {
    Deliver([this, left] {
      if (Again(left.status())) return LeaveJob();
      if (left.ok()) {
        End();
        state_ = State::kLeft;
      } else {
        End();
      }
    });
  });
}

}  // namespace weir::sim
