// SPDX-License-Identifier: Apache-2.0
// Events, effects and calls. Start, lease and end: worker_process_start.cc; checks:
// worker_process_checks.cc.
#include "tests/sim/worker_process.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/tensor_sum.h"

namespace weir::sim {

WorkerProcess::WorkerProcess(World* world, Network* network, CoordinatorNode* coordinator,
                             std::vector<ShardNode*> shards, uint32_t rank, uint64_t process)
    : world_(world),
      network_(network),
      coordinator_(coordinator),
      shards_(std::move(shards)),
      rank_(rank),
      process_(process) {}

WorkerProcess::~WorkerProcess() = default;

void WorkerProcess::Deliver(std::function<void()> event) {
  if (!running()) return;
  if (paused_) {
    kept_.push_back(std::move(event));
  } else {
    event();
  }
}

void WorkerProcess::After(absl::Duration wait, std::function<void()> then) {
  world_->queue.After(wait, [this, then = std::move(then)]() mutable { Deliver(std::move(then)); });
}

void WorkerProcess::Pause(absl::Duration time) {
  world_->Note("pause", {{"rank", rank_}, {"process", process_}});
  paused_ = true;
  world_->queue.After(time, [this] { Resume(); });
}

void WorkerProcess::Resume() {
  if (!running()) return;
  world_->Note("resume", {{"rank", rank_}, {"process", process_}});
  paused_ = false;
  resumed_ = world_->queue.now();
  std::vector<std::function<void()>> kept = std::move(kept_);
  kept_.clear();
  for (std::function<void()>& event : kept) Deliver(std::move(event));
}

void WorkerProcess::Crash() {
  world_->Note("crash", {{"rank", rank_}, {"process", process_}});
  state_ = State::kCrashed;
  for (const auto& [id, connection] : connections_) network_->Leave(connection.link);
  connections_.clear();
}

void WorkerProcess::End() {
  if (!running()) return;
  state_ = State::kEnded;
  world_->Note("end", {{"rank", rank_}, {"process", process_}});
  if (client_ != nullptr) {
    Handle([](Client& client, absl::Time now, ClientEffects* effects) {
      client.Stop(Status(StatusCode::kCancelled, "the process ends"), now, effects);
    });
  }
  CheckQuiet();
}

void WorkerProcess::CheckQuiet() {
  if (state_ == State::kCrashed) return;
  const bool open = std::any_of(calls_.begin(), calls_.end(),
                                [](const auto& call) { return !call.second.ended; });
  world_->judge.Expect(Promise::kOutcome, !open, [&] {
    return absl::StrCat("worker ", rank_, " has ended, but not all its calls");
  });
}

std::string WorkerProcess::WaitsFor() const {
  std::string text =
      absl::StrCat("worker ", rank_, " incarnation ", who_.incarnation, " (process ", process_,
                   ", state ", static_cast<int>(state_), paused_ ? ", paused): " : "): ");
  return client_ == nullptr ? text : absl::StrCat(text, client_->WaitsFor());
}

bool WorkerProcess::InTheMiddleOf(uint64_t sequence) const {
  size_t received = 0;
  size_t sent = 0;
  const PushKey first{rank_, who_.incarnation, sequence, 0};
  for (auto at = world_->pushes.lower_bound(first); at != world_->pushes.end(); ++at) {
    const PushKey& key = at->first;
    if (key.worker != rank_ || key.incarnation != who_.incarnation || key.sequence != sequence)
      break;
    ++sent;
    received += at->second.received > 0;
  }
  return received > 0 && received < sent;
}

void WorkerProcess::Connected(uint64_t connection) {
  Deliver([this, connection] {
    Handle([&](Client& client, absl::Time now, ClientEffects* effects) {
      client.Connected(connection, now, effects);
    });
  });
}

void WorkerProcess::Disconnected(uint64_t connection, const absl::Status& why) {
  Deliver([this, connection, why] {
    connections_.erase(connection);
    Handle([&](Client& client, absl::Time now, ClientEffects* effects) {
      client.Disconnected(connection, why, now, effects);
    });
  });
}

void WorkerProcess::Receive(uint64_t link, uint64_t connection, ServerFrame frame) {
  auto shared = std::make_shared<ServerFrame>(std::move(frame));
  Deliver([this, link, connection, shared] {
    network_->Read(link);
    const auto at = connections_.find(connection);
    if (at != connections_.end()) CheckReceived(&at->second, *shared);
    Handle([&](Client& client, absl::Time now, ClientEffects* effects) {
      client.Receive(connection, std::move(*shared), now, effects);
    });
  });
}

void WorkerProcess::Handle(const Event& event) {
  ClientEffects effects;
  event(*client_, world_->queue.now(), &effects);
  std::vector<CompleteEffect> ended;
  CarryOut(&effects, &ended);
  for (const CompleteEffect& end : ended) Complete(end);
  ArmTimer();
}

void WorkerProcess::CarryOut(ClientEffects* effects, std::vector<CompleteEffect>* ended) {
  for (ClientEffect& effect : *effects) {
    if (auto* connect = std::get_if<ConnectEffect>(&effect)) {
      connections_[connect->connection].link =
          network_->Connect(this, connect->connection, shards_[connect->shard], /*faulty=*/true);
    } else if (auto* disconnect = std::get_if<DisconnectEffect>(&effect)) {
      const auto at = connections_.find(disconnect->connection);
      if (at == connections_.end()) continue;
      network_->Leave(at->second.link);
      connections_.erase(at);
    } else if (auto* send = std::get_if<SendEffect>(&effect)) {
      Send(send);
    } else if (auto* deliver = std::get_if<DeliverEffect>(&effect)) {
      DeliverValues(*deliver);
    } else if (auto* complete = std::get_if<CompleteEffect>(&effect)) {
      const auto call = calls_.find(complete->call);
      if (call != calls_.end()) call->second.ended = true;
      ended->push_back(std::move(*complete));
    } else if (auto* fetch = std::get_if<FetchLayoutEffect>(&effect)) {
      FetchLayout(fetch->newer_than);
    }
  }
}

void WorkerProcess::Send(SendEffect* send) {
  const auto at = connections_.find(send->connection);
  if (!world_->judge.Expect(Promise::kOutcome, at != connections_.end(),
                            [] { return "the client sends on a connection that is over"; })) {
    return;
  }
  CheckSend(&at->second, send->frame);
  if (const auto* push = std::get_if<PushFrame>(&send->frame.kind))
    NotePush(*push, send->frame.epoch);
  if (auto* hello = std::get_if<HelloFrame>(&send->frame.kind)) hello->build_id = kHonestBuild;
  network_->SendToServer(at->second.link, std::move(send->frame));
}

void WorkerProcess::NotePush(const PushFrame& frame, uint64_t epoch) {
  SentPush push;
  push.key = {frame.worker_id, who_.incarnation, frame.sequence,
              world_->reference.Find(frame.tensor_id, frame.offset)};
  push.gradient.resize(frame.gradient.size() / sizeof(float));
  frame.gradient.CopyTo(reinterpret_cast<char*>(push.gradient.data()));
  if (const SentPush* known = world_->FindPush(push.key)) {
    world_->judge.Expect(
        Promise::kExactlyOnce,
        known->epoch == epoch && known->gradient.size() == push.gradient.size() &&
            (push.gradient.empty() ||
             std::memcmp(known->gradient.data(), push.gradient.data(), frame.gradient.size()) == 0),
        [&] {
          return absl::StrCat("worker ", rank_, " uses sequence ", frame.sequence,
                              " for two pushes");
        });
    return;
  }
  push.epoch = epoch;
  push.base = frame.base_version;
  push.step = frame.step;
  push.block = {frame.first_part, frame.parts};
  push.examples = frame.examples;
  push.learning_rate = frame.learning_rate;
  push.poison = !AllFinite(push.gradient.data(), push.gradient.size());
  world_->AddPush(std::move(push));
}

void WorkerProcess::Complete(const CompleteEffect& end) {
  const auto at = calls_.find(end.call);
  if (!world_->judge.Expect(Promise::kOutcome, at != calls_.end(), [&] {
        return absl::StrCat("call ", end.call, " of worker ", rank_, " has ended twice");
      })) {
    return;
  }
  const OpenCall call = std::move(at->second);
  calls_.erase(at);
  world_->Note(
      "call ended",
      {{"rank", rank_}, {"call", end.call}, {"code", static_cast<uint64_t>(end.status.code())}},
      end.status.message());
  world_->judge.Expect(Promise::kDeadline, world_->queue.now() <= std::max(call.deadline, resumed_),
                       [&] {
                         return absl::StrCat("call ", end.call, " of worker ", rank_,
                                             " has ended after its deadline");
                       });
  if (running()) call.done(end);
}

void WorkerProcess::ArmTimer() {
  const absl::Time due = client_->NextTick();
  absl::Time first_deadline = absl::InfiniteFuture();
  for (const auto& [id, call] : calls_) {
    if (!call.ended) first_deadline = std::min(first_deadline, call.deadline);
  }
  world_->judge.Expect(Promise::kDeadline, due <= first_deadline, [&] {
    return absl::StrCat("worker ", rank_, " would sleep beyond the deadline of a call");
  });
  if (due >= timer_) return;
  timer_ = due;
  world_->queue.At(due, [this, due] {
    if (timer_ != due) return;
    timer_ = absl::InfiniteFuture();
    Deliver([this] {
      Handle([](Client& client, absl::Time now, ClientEffects* effects) {
        client.Tick(now, effects);
      });
    });
  });
}

uint64_t WorkerProcess::Begin(
    const std::function<void(Client&, uint64_t call, absl::Time, ClientEffects*)>& begin,
    Deadline deadline, Done done) {
  const uint64_t id = next_call_++;
  calls_[id] = {world_->queue.now() + absl::FromChrono(deadline), std::move(done), false};
  Handle([&](Client& client, absl::Time now, ClientEffects* effects) {
    begin(client, id, now, effects);
  });
  return id;
}

void WorkerProcess::Pull(std::vector<TensorPull> tensors, const PullOptions& options, bool sync,
                         std::function<void(const Status&, const PullResult&)> done) {
  Begin(
      [&](Client& client, uint64_t call, absl::Time now, ClientEffects* effects) {
        sync ? client.Sync(call, tensors, options, now, effects)
             : client.Pull(call, tensors, options, now, effects);
      },
      options.deadline,
      [this, tensors, options, done = std::move(done)](const CompleteEffect& end) {
        const PullResult result = end.status.ok() ? std::get<PullResult>(end.value) : PullResult();
        if (end.status.ok()) CheckPulled(tensors, options, result);
        done(end.status, result);
      });
}

uint64_t WorkerProcess::Push(std::vector<TensorPush> tensors, std::shared_ptr<const void> owner,
                             const PushOptions& options, bool want_values,
                             std::function<void(const Status&, const PushResult&)> done) {
  return Begin(
      [&](Client& client, uint64_t call, absl::Time now, ClientEffects* effects) {
        std::vector<std::shared_ptr<const void>> owners(tensors.size(), owner);
        client.Push(call, tensors, std::move(owners), options, want_values, now, effects);
      },
      options.deadline,
      [this, tensors, options, want_values, done = std::move(done)](const CompleteEffect& end) {
        const PushResult result = end.status.ok() ? std::get<PushResult>(end.value) : PushResult();
        if (end.status.ok()) CheckPushed(tensors, options, want_values, result);
        done(end.status, result);
      });
}

void WorkerProcess::NewSequence(std::function<void(const Status&, uint64_t)> done) {
  const Deadline deadline(absl::ToInt64Milliseconds(world_->scenario.call_deadline));
  Begin([&](Client& client, uint64_t call, absl::Time now,
            ClientEffects* effects) { client.NewSequence(call, deadline, now, effects); },
        deadline,
        [done = std::move(done)](const CompleteEffect& end) {
          done(end.status, end.status.ok() ? std::get<uint64_t>(end.value) : 0);
        });
}

void WorkerProcess::PutState(uint64_t sequence, const std::string& state,
                             std::function<void(const Status&)> done) {
  const Deadline deadline(absl::ToInt64Milliseconds(world_->scenario.call_deadline));
  Begin(
      [&](Client& client, uint64_t call, absl::Time now, ClientEffects* effects) {
        client.PutState(call, sequence, state, deadline, now, effects);
      },
      deadline, [done = std::move(done)](const CompleteEffect& end) { done(end.status); });
}

void WorkerProcess::GetState(std::function<void(const Status&, const WorkerState&)> done) {
  const Deadline deadline(absl::ToInt64Milliseconds(world_->scenario.call_deadline));
  Begin([&](Client& client, uint64_t call, absl::Time now,
            ClientEffects* effects) { client.GetState(call, deadline, now, effects); },
        deadline,
        [done = std::move(done)](const CompleteEffect& end) {
          done(end.status, end.status.ok() ? std::get<WorkerState>(end.value) : WorkerState());
        });
}

void WorkerProcess::Cancel(uint64_t call) {
  Handle([&](Client& client, absl::Time now, ClientEffects* effects) {
    client.Cancel(call, now, effects);
  });
}

}  // namespace weir::sim
