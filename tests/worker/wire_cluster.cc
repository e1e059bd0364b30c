// SPDX-License-Identifier: Apache-2.0
#include "tests/worker/wire_cluster.h"

#include <algorithm>
#include <deque>
#include <functional>
#include <thread>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"
#include "core/host_key.h"
#include "net/channel.h"
#include "net/coordinator_client.h"
#include "net/layout_proto.h"
#include "net/shm_host.h"
#include "net/shm_runtime.h"
#include "net/socket_directory.h"
#include "weir/v1/coordinator.pb.h"

namespace weir {

// A server with one shard. As in a real one, whoever brings an event takes the turn, if nobody has
// it, and so the lock is never held while the host is called; a thread waits for the layout and
// renews the lease.
class WireCluster::Server : public SessionHandler {
 public:
  Server(const WireCluster::Options& options, uint32_t rank, const std::string& coordinator)
      : options_(options), client_(coordinator) {
    if (options.shared_memory) OpenDoor();
    SessionHost::Options sessions;
    sessions.shm = door_.get();
    host_ = std::make_unique<SessionHost>(sessions);
    ServerHost::Options listen;
    listen.queued = {host_->queued()};
    listen.sockets = sockets_.get();
    host_->AddShard(rank, this);
    server_ = ServerHost::Start(listen).value();
    const v1::JoinReply joined = Join(rank);
    ShardOptions shard;
    shard.shard = rank;
    std::copy(joined.job_id().begin(), joined.job_id().end(), shard.job_id.begin());
    shard.job_token = options.token;
    shard.mode = static_cast<ConsistencyMode>(options.mode);
    shard.gradient_shards = options.gradient_shards;
    shard.optimizer = options.optimizer;
    shard.schedule = options.schedule;
    shard.seed = options.seed;
    if (options.max_reply_bytes > 0) shard.limits.max_reply_bytes = options.max_reply_bytes;
    pool_ = std::make_unique<BufferPool>(BufferPool::kNoLimit, shm_ ? shm_->arena() : nullptr);
    shard_ = std::make_unique<Shard>(shard, pool_.get());
    thread_ = std::thread([this] { Run(); });
  }

  ~Server() override {
    {
      absl::MutexLock lock(&mu_);
      closing_ = true;
    }
    client_.Cancel();
    thread_.join();
    server_->Shutdown(absl::ZeroDuration());
    door_.reset();
    shm_.reset();
  }

  void OnOpen(SessionId id, const std::string&) override {
    Bring([this, id](Effects* effects) { shard_->OnOpen(id, absl::Now(), effects); });
  }
  void OnFrame(SessionId id, ClientFrame&& frame, size_t) override {
    Bring([this, id, frame = std::move(frame)](Effects* effects) mutable {
      shard_->OnFrame(id, std::move(frame), absl::Now(), effects);
    });
  }
  void OnSent(SessionId id, uint64_t payload_bytes) override {
    Bring([this, id, payload_bytes](Effects* effects) {
      shard_->OnSent(id, payload_bytes, absl::Now(), effects);
    });
  }
  void OnClosed(SessionId id) override {
    Bring([this, id](Effects* effects) { shard_->OnClosed(id, absl::Now(), effects); });
  }

  void CopyWeights(std::vector<std::vector<float>>* all) {
    BringAndWait([&](Effects*) {
      for (size_t i = 0; i < shard_->slice_count(); ++i) {
        const SliceSnapshot slice = shard_->snapshot(i);
        std::copy(slice.weights.floats(), slice.weights.floats() + slice.spec.count,
                  (*all)[slice.spec.tensor_id - 1].begin() + slice.spec.offset);
      }
    });
  }

  ShardTotals totals() {
    ShardTotals totals;
    BringAndWait([&](Effects*) { totals = shard_->totals(); });
    return totals;
  }
  uint64_t allocated_blocks() const { return pool_->statistics().allocated; }
  SessionHost::Statistics sessions() const { return host_->statistics(); }

  void CutStreams() { host_->CloseAll(absl::UnavailableError("cut by the test")); }

 private:
  using Event = std::function<void(Effects*)>;

  void OpenDoor() {
    sockets_ = SocketDirectory::Make({"/tmp"}).value();
    shm_ = ShmRuntime::Start({}).value();
    ShmHost::Options door;
    door.link.arena = shm_->arena();
    door_ = ShmHost::Open(sockets_->PathOf("shm"), shm_->poller(), door).value();
  }

  v1::JoinReply Join(uint32_t rank) {
    v1::JoinRequest join;
    join.mutable_job()->set_job_token(options_.token);
    join.set_protocol_min(kProtocol);
    join.set_protocol_max(kProtocol);
    join.set_role(v1::MEMBER_ROLE_SERVER);
    join.set_has_rank(true);
    join.set_rank(rank);
    join.set_address(server_->address());
    if (sockets_ != nullptr) {
      join.set_uds_path(server_->socket_path());
      join.set_host_key(ReadHostKey());
    }
    v1::JoinReply joined = client_.Join(join, absl::Seconds(10)).value();
    *key_.mutable_job() = join.job();
    key_.mutable_job()->set_job_id(joined.job_id());
    key_.set_rank(rank);
    key_.set_incarnation(joined.incarnation());
    key_.set_role(v1::MEMBER_ROLE_SERVER);
    return joined;
  }

  void Bring(Event event) {
    {
      absl::MutexLock lock(&mu_);
      mail_.push_back(std::move(event));
      if (turn_) return;
      turn_ = true;
    }
    for (;;) {
      Event next;
      {
        absl::MutexLock lock(&mu_);
        turn_ = !mail_.empty();
        if (!turn_) return;
        next = std::move(mail_.front());
        mail_.pop_front();
      }
      Effects effects;
      next(&effects);
      CarryOut(&effects);
    }
  }
  void BringAndWait(const Event& event) {
    absl::Notification done;
    Bring([&](Effects* effects) {
      event(effects);
      done.Notify();
    });
    done.WaitForNotification();
  }

  void CarryOut(Effects* effects) {
    while (!effects->empty()) {
      Effects next;
      for (Effects::Send& send : effects->sends) host_->Send(send.session, std::move(send.frame));
      for (Effects::Close& close : effects->closes) host_->Close(close.session, close.status);
      for (const Job& job : effects->jobs)
        shard_->OnJobDone(job.id, RunJob(job), absl::Now(), &next);
      *effects = std::move(next);
    }
  }

  bool Closing() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return closing_; }

  void Run() {
    v1::GetLayoutRequest wanted;
    *wanted.mutable_job() = key_.job();
    wanted.set_role(key_.role());
    wanted.set_rank(key_.rank());
    wanted.set_incarnation(key_.incarnation());
    wanted.set_wait_ms(static_cast<uint32_t>(absl::ToInt64Milliseconds(options_.lease / 3)));
    bool serving = false;
    while (true) {
      v1::HeartbeatRequest beat = key_;
      beat.set_serving(serving);
      if (absl::IsCancelled(client_.Heartbeat(beat, options_.lease).status())) return;
      if (!serving) {
        const absl::StatusOr<v1::GetLayoutReply> reply = client_.GetLayout(wanted, options_.lease);
        if (absl::IsCancelled(reply.status())) return;
        if (reply.ok()) {
          const Layout layout = LayoutFromProto(reply->layout()).value();
          BringAndWait([&](Effects* effects) {
            serving = shard_->Install(layout, absl::Now(), effects).ok();
          });
        }
        continue;
      }
      absl::MutexLock lock(&mu_);
      if (mu_.AwaitWithTimeout(absl::Condition(this, &Server::Closing), options_.lease / 3)) return;
    }
  }

  const WireCluster::Options options_;
  CoordinatorClient client_;
  v1::HeartbeatRequest key_;                  // set by the constructor
  std::unique_ptr<SocketDirectory> sockets_;  // these three: null without shared memory
  std::unique_ptr<ShmRuntime> shm_;
  std::unique_ptr<ShmHost> door_;
  std::unique_ptr<SessionHost> host_;
  std::unique_ptr<ServerHost> server_;
  std::unique_ptr<BufferPool> pool_;
  std::unique_ptr<Shard> shard_;  // of whoever has the turn
  absl::Mutex mu_;
  std::deque<Event> mail_ ABSL_GUARDED_BY(mu_);
  bool turn_ ABSL_GUARDED_BY(mu_) = false;  // somebody has it
  bool closing_ ABSL_GUARDED_BY(mu_) = false;
  std::thread thread_;
};

WireCluster::WireCluster(const Options& options) : options_(options) {
  Membership::Options membership;
  membership.job_id.fill(7);
  membership.job_token = options.token;
  membership.lease = options.lease;
  membership.settings.name = "wire";
  membership.settings.servers = membership.settings.shards = options.servers;
  membership.settings.workers = options.workers;
  membership.settings.gradient_shards = options.gradient_shards;
  membership.settings.mode = options.mode;
  membership.settings.slice_bytes = options.slice_bytes;
  membership.settings.seed = options.seed;
  membership.settings.topology = "name: wire\n";
  service_ = std::make_unique<CoordinatorService>(membership);
  ServerHost::Options listen;
  listen.has_token = true;
  listen.services = {service_->service()};
  coordinator_ = ServerHost::Start(listen).value();
  for (uint32_t rank = 0; rank < options.servers; ++rank) {
    servers_.push_back(std::make_unique<Server>(options, rank, coordinator_->address()));
  }
}

WireCluster::~WireCluster() {
  servers_.clear();
  coordinator_->Shutdown(absl::ZeroDuration());
}

weir::Options WireCluster::WorkerOptions() const {
  weir::Options options;
  options.coordinator = coordinator_->address();
  options.token = options_.token;
  options.host = "test";
  if (options_.shared_memory) options.transport = "shm";
  return options;
}

std::vector<std::vector<float>> WireCluster::Weights(const std::vector<TensorSpec>& tensors) {
  std::vector<std::vector<float>> all;
  for (const TensorSpec& tensor : tensors)
    all.emplace_back(static_cast<size_t>(ElementCount(tensor.shape)));
  for (const std::unique_ptr<Server>& server : servers_) server->CopyWeights(&all);
  return all;
}

ShardTotals WireCluster::totals() {
  ShardTotals all;
  for (const std::unique_ptr<Server>& server : servers_) {
    const ShardTotals one = server->totals();
    all.applied += one.applied;
    all.stale += one.stale;
    all.duplicate += one.duplicate;
    all.invalid += one.invalid;
  }
  return all;
}

uint64_t WireCluster::allocated_blocks() const {
  uint64_t blocks = 0;
  for (const std::unique_ptr<Server>& server : servers_) blocks += server->allocated_blocks();
  return blocks;
}

SessionHost::Statistics WireCluster::sessions(uint32_t server) const {
  return servers_[server]->sessions();
}

void WireCluster::CutStreams() {
  for (const std::unique_ptr<Server>& server : servers_) server->CutStreams();
}

void WireCluster::StopCoordinator() { coordinator_->Shutdown(absl::ZeroDuration()); }

}  // namespace weir
