// SPDX-License-Identifier: Apache-2.0
#include "tests/worker/local_cluster.h"

#include <utility>

#include "core/pages.h"
#include "worker/memory_registry.h"
#include "worker/slice_index.h"

namespace weir {
namespace {

const std::string kJob(16, 'j');

}  // namespace

class LocalCluster::LocalWorker : public Worker {
 public:
  LocalWorker(LocalCluster* cluster, uint32_t rank) : cluster_(cluster) {
    job_.name = "local";
    job_.job_id = kJob;
    job_.rank = rank;
    job_.incarnation = 1;
    job_.workers = cluster->options_.workers;
    job_.servers = job_.shards = cluster->options_.shards;
    job_.gradient_shards = cluster->options_.gradient_shards;
    job_.mode = cluster->options_.mode;
    job_.max_staleness = cluster->options_.max_staleness;
    job_.seed = cluster->options_.seed;
  }

  const JobInfo& job() const override { return job_; }
  Status Declare(const std::vector<TensorSpec>& tensors, Deadline) override {
    return cluster_->Declare(job_.rank, tensors);
  }

  Result<std::vector<SliceRange>> Slices(uint32_t tensor) const override {
    absl::MutexLock lock(&cluster_->mu_);
    std::vector<SliceRange> result;
    for (const SliceSpec& slice : cluster_->layout_->slices) {
      if (slice.tensor_id == tensor + 1)
        result.push_back({tensor, slice.offset, slice.count, slice.shard});
    }
    return result;
  }

  Result<TensorMemory> Allocate(size_t bytes) override { return memory_.Allocate(bytes); }
  PayloadTraffic Traffic() const override {
    absl::MutexLock lock(&cluster_->mu_);
    return cluster_->nodes_[job_.rank].client->statistics().traffic;
  }

  Future<PullResult> PullAsync(std::vector<TensorPull> tensors,
                               const PullOptions& options) override {
    return Start<PullResult>(
        [&](Client& client, uint64_t call, absl::Time now, ClientEffects* effects) {
          client.Pull(call, std::move(tensors), options, now, effects);
        });
  }
  Future<PullResult> SyncAsync(std::vector<TensorPull> tensors,
                               const PullOptions& options) override {
    return Start<PullResult>(
        [&](Client& client, uint64_t call, absl::Time now, ClientEffects* effects) {
          client.Sync(call, std::move(tensors), options, now, effects);
        });
  }
  Future<PushResult> PushAsync(std::vector<TensorPush> tensors,
                               const PushOptions& options) override {
    return Start<PushResult>(
        [&](Client& client, uint64_t call, absl::Time now, ClientEffects* effects) {
          std::vector<std::shared_ptr<const void>> owners = memory_.Owners(tensors);
          client.Push(call, std::move(tensors), std::move(owners), options, false, now, effects);
        });
  }
  Future<PushResult> PushPullAsync(std::vector<TensorPush> tensors,
                                   const PushOptions& options) override {
    return Start<PushResult>(
        [&](Client& client, uint64_t call, absl::Time now, ClientEffects* effects) {
          std::vector<std::shared_ptr<const void>> owners = memory_.Owners(tensors);
          client.Push(call, std::move(tensors), std::move(owners), options, true, now, effects);
        });
  }
  Result<PushResult> Skip(uint64_t step, uint32_t part, Deadline) override {
    size_t tensors = 0;
    {
      absl::MutexLock lock(&cluster_->mu_);
      tensors = cluster_->layout_->tensors.size();
    }
    std::vector<TensorPush> all(tensors);
    for (size_t i = 0; i < tensors; ++i) all[i].tensor = static_cast<uint32_t>(i);
    PushOptions options;
    options.step = step;
    options.first_part = part;
    return Push(std::move(all), options);
  }
  Result<uint64_t> NewSequence() override {
    return Start<uint64_t>(
               [&](Client& client, uint64_t call, absl::Time now, ClientEffects* effects) {
                 client.NewSequence(call, Deadline{0}, now, effects);
               })
        .Get();
  }
  Status PutState(uint64_t sequence, const std::string& state, Deadline deadline) override {
    return Start<std::monostate>(
               [&](Client& client, uint64_t call, absl::Time now, ClientEffects* effects) {
                 client.PutState(call, sequence, state, deadline, now, effects);
               })
        .Get()
        .status();
  }
  Result<WorkerState> GetState(Deadline deadline) override {
    return Start<WorkerState>(
               [&](Client& client, uint64_t call, absl::Time now, ClientEffects* effects) {
                 client.GetState(call, deadline, now, effects);
               })
        .Get();
  }
  Status Report(const std::string& name, double value) override {
    absl::MutexLock lock(&cluster_->mu_);
    cluster_->reported_[name] = value;
    return Status();
  }
  void Progress(uint64_t, uint64_t) override {}
  Status Fail(const std::string&) override { return Status(); }
  Status Leave(Deadline deadline) override {
    return Start<std::monostate>(
               [&](Client& client, uint64_t call, absl::Time now, ClientEffects* effects) {
                 client.Leave(call, deadline, now, effects);
               })
        .Get()
        .status();
  }
  void Close() override {}

 private:
  template <typename T, typename Begin>
  Future<T> Start(const Begin& begin) {
    auto state = std::make_shared<FutureState<T>>();
    auto call = std::make_shared<uint64_t>(0);
    state->cancel = [cluster = cluster_, rank = job_.rank, call] { cluster->Cancel(rank, *call); };
    *call = cluster_->Call(job_.rank, begin, [state](CompleteEffect& end) {
      if (!end.status.ok()) return state->Set(end.status);
      state->Set(std::move(std::get<T>(end.value)));
    });
    return Future<T>(state);
  }

  LocalCluster* const cluster_;
  JobInfo job_;
  MemoryRegistry memory_{size_t{1} << 30, MapPages};
};

LocalCluster::LocalCluster(const Options& options) : options_(options) {
  absl::MutexLock lock(&mu_);
  for (uint32_t id = 0; id < options.shards; ++id) {
    ShardOptions shard;
    shard.shard = id;
    std::copy(kJob.begin(), kJob.end(), shard.job_id.begin());
    shard.mode = static_cast<ConsistencyMode>(options.mode);  // both as weir.v1.Mode
    shard.workers = options.workers;
    shard.max_staleness = options.max_staleness;
    shard.gradient_shards = options.gradient_shards;
    shard.optimizer = options.optimizer;
    shard.schedule = options.schedule;
    shard.seed = options.seed;
    shards_.push_back(std::make_unique<Shard>(shard, &pool_));
  }
  for (uint32_t rank = 0; rank < options.workers; ++rank) {
    ClientOptions client;
    client.job_id = kJob;
    client.worker_id = rank;
    client.incarnation = 1;
    client.mode = options.mode;
    client.seed = rank;
    nodes_.push_back(Node{std::make_unique<Client>(client, &pool_), {}});
  }
}

LocalCluster::~LocalCluster() = default;

std::unique_ptr<Worker> LocalCluster::Join(uint32_t rank) {
  return std::make_unique<LocalWorker>(this, rank);
}

Status LocalCluster::Declare(uint32_t rank, const std::vector<TensorSpec>& tensors) {
  absl::MutexLock lock(&mu_);
  if (!layout_) {
    std::vector<TensorShape> shapes;
    for (const TensorSpec& spec : tensors) {
      const auto kind = static_cast<InitializerSpec::Kind>(spec.initializer.kind);
      shapes.push_back({spec.name, spec.shape, {kind, spec.initializer.a, spec.initializer.b}});
    }
    layout_ = MakeLayout(shapes, options_.slice_bytes, options_.shards, /*epoch=*/1).value();
    layout_->shard_addresses.resize(options_.shards);
    layout_->codecs.assign(shapes.size(), options_.codec);
    for (uint32_t shard = 0; shard < options_.shards; ++shard) {
      Effects effects;
      const absl::Status installed = shards_[shard]->Install(*layout_, now_, &effects);
      if (!installed.ok()) return Status(StatusCode::kInternal, std::string(installed.message()));
      Take(shard, &effects);
    }
  }
  ClientEffects effects;
  nodes_[rank].client->SetLayout(*layout_, now_, &effects);
  Take(rank, &effects);
  RunAll();
  return Status();
}

uint64_t LocalCluster::Call(
    uint32_t rank, const std::function<void(Client&, uint64_t, absl::Time, ClientEffects*)>& begin,
    Done done) {
  absl::MutexLock lock(&mu_);
  const uint64_t call = next_call_++;
  nodes_[rank].done[call] = std::move(done);
  ClientEffects effects;
  begin(*nodes_[rank].client, call, now_, &effects);
  Take(rank, &effects);
  RunAll();
  return call;
}

void LocalCluster::Cancel(uint32_t rank, uint64_t call) {
  absl::MutexLock lock(&mu_);
  ClientEffects effects;
  nodes_[rank].client->Cancel(call, now_, &effects);
  Take(rank, &effects);
  RunAll();
}

void LocalCluster::RunAll() {
  while (!queue_.empty()) {
    const std::function<void()> event = std::move(queue_.front());
    queue_.pop_front();
    event();
  }
}

void LocalCluster::Take(uint32_t rank, ClientEffects* effects) {
  for (ClientEffect& effect : *effects) {
    if (auto* connect = std::get_if<ConnectEffect>(&effect)) {
      const uint64_t session = next_session_++;
      sessions_[session] = Session{rank, connect->connection, connect->shard};
      session_of_[{rank, connect->connection}] = session;
      Later([this, session, rank, connection = connect->connection, shard = connect->shard]()
                ABSL_NO_THREAD_SAFETY_ANALYSIS {
                  Effects opened;
                  shards_[shard]->OnOpen(session, now_, &opened);
                  Take(shard, &opened);
                  ClientEffects next;
                  nodes_[rank].client->Connected(connection, now_, &next);
                  Take(rank, &next);
                });
    } else if (auto* send = std::get_if<SendEffect>(&effect)) {
      const auto at = session_of_.find({rank, send->connection});
      if (at == session_of_.end()) continue;
      Later([this, session = at->second, shard = send->shard, frame = std::move(send->frame)]()
                ABSL_NO_THREAD_SAFETY_ANALYSIS {
                  Effects next;
                  if (sessions_.count(session) != 0)
                    shards_[shard]->OnFrame(session, frame, now_, &next);
                  Take(shard, &next);
                });
    } else if (auto* deliver = std::get_if<DeliverEffect>(&effect)) {
      DeliverValues(*deliver);
    } else if (auto* complete = std::get_if<CompleteEffect>(&effect)) {
      const auto at = nodes_[rank].done.find(complete->call);
      const Done done = std::move(at->second);
      nodes_[rank].done.erase(at);
      done(*complete);
    } else if (auto* disconnect = std::get_if<DisconnectEffect>(&effect)) {
      const auto at = session_of_.find({rank, disconnect->connection});
      if (at != session_of_.end()) End(at->second, absl::CancelledError("closed by the client"));
    }
  }
}

void LocalCluster::Take(uint32_t shard, Effects* effects) {
  for (Effects::Send& send : effects->sends) {
    Later([this, shard, session = send.session, frame = std::move(send.frame)]()
              ABSL_NO_THREAD_SAFETY_ANALYSIS {
                if (sessions_.count(session) == 0) return;
                Effects next;
                shards_[shard]->OnSent(session, PayloadBytesOf(frame), now_, &next);
                Take(shard, &next);
                ToClient(session, frame);
              });
  }
  for (Effects::Close& close : effects->closes) {
    Later([this, session = close.session, status = close.status]() ABSL_NO_THREAD_SAFETY_ANALYSIS {
      if (sessions_.count(session) != 0) End(session, status);
    });
  }
  for (Job& job : effects->jobs) {
    Later([this, shard, job = std::move(job)]() ABSL_NO_THREAD_SAFETY_ANALYSIS {
      const JobResult result = RunJob(job);
      Effects next;
      shards_[shard]->OnJobDone(job.id, result, now_, &next);
      Take(shard, &next);
    });
  }
}

void LocalCluster::ToClient(uint64_t session, ServerFrame frame) {
  const Session& at = sessions_.at(session);
  ClientEffects effects;
  nodes_[at.rank].client->Receive(at.connection, std::move(frame), now_, &effects);
  Take(at.rank, &effects);
}

void LocalCluster::End(uint64_t session, const absl::Status& why) {
  const Session ended = sessions_.at(session);
  sessions_.erase(session);
  session_of_.erase({ended.rank, ended.connection});
  Later([this, session, ended, why]() ABSL_NO_THREAD_SAFETY_ANALYSIS {
    Effects closed;
    shards_[ended.shard]->OnClosed(session, now_, &closed);
    Take(ended.shard, &closed);
    ClientEffects next;
    nodes_[ended.rank].client->Disconnected(ended.connection, why, now_, &next);
    Take(ended.rank, &next);
  });
}

void LocalCluster::CutConnections() {
  absl::MutexLock lock(&mu_);
  std::vector<uint64_t> all;
  for (const auto& [session, at] : sessions_) all.push_back(session);
  for (const uint64_t session : all) End(session, absl::UnavailableError("cut"));
  RunAll();
  now_ += absl::Seconds(5);  // beyond any back-off
  for (uint32_t rank = 0; rank < nodes_.size(); ++rank) {
    ClientEffects effects;
    nodes_[rank].client->Tick(now_, &effects);
    Take(rank, &effects);
  }
  RunAll();
}

std::vector<std::vector<float>> LocalCluster::Weights() {
  absl::MutexLock lock(&mu_);
  std::vector<std::vector<float>> all;
  for (const TensorShape& tensor : layout_->tensors)
    all.emplace_back(static_cast<size_t>(tensor.count()));
  for (const std::unique_ptr<Shard>& shard : shards_) {
    for (size_t i = 0; i < shard->slice_count(); ++i) {
      const SliceSnapshot slice = shard->snapshot(i);
      std::copy(slice.weights.floats(), slice.weights.floats() + slice.spec.count,
                all[slice.spec.tensor_id - 1].begin() + slice.spec.offset);
    }
  }
  return all;
}

double LocalCluster::reported(const std::string& name) {
  absl::MutexLock lock(&mu_);
  const auto value = reported_.find(name);
  return value == reported_.end() ? 0 : value->second;
}

ShardTotals LocalCluster::totals() {
  absl::MutexLock lock(&mu_);
  ShardTotals sum;
  for (const std::unique_ptr<Shard>& shard : shards_) {
    const ShardTotals one = shard->totals();
    sum.applied += one.applied;
    sum.stale += one.stale;
    sum.duplicate += one.duplicate;
    sum.invalid += one.invalid;
    sum.payload_bytes += one.payload_bytes;
    sum.payload_bytes_copied += one.payload_bytes_copied;
  }
  return sum;
}

}  // namespace weir
