// SPDX-License-Identifier: Apache-2.0
#include "weir/worker.h"

#include <unistd.h>

#include <algorithm>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "core/build_info.h"
#include "core/host_key.h"
#include "core/pages.h"
#include "core/transport.h"
#include "net/coordinator_client.h"
#include "net/shm_runtime.h"
#include "net/spin.h"
#include "worker/control.h"
#include "worker/data_loop.h"
#include "worker/memory_registry.h"
#include "worker/options.h"
#include "worker/slice_index.h"

namespace weir {
namespace {

constexpr absl::Duration kJoinTimeout = absl::Seconds(5);  // of one try
constexpr absl::Duration kQuietJoin = absl::Seconds(1);    // no answer for longer: say so, once
constexpr absl::Duration kJoinPause = absl::Milliseconds(200);

template <typename T>
Result<T> Take(CompleteEffect& end) {
  if (!end.status.ok()) return end.status;
  if (T* value = std::get_if<T>(&end.value)) return std::move(*value);
  return Status(StatusCode::kInternal, "a call ended with another kind of value");
}

std::optional<absl::Duration> AskedSpin(const Options& options) {
  if (!options.spin) return std::nullopt;
  return absl::FromChrono(*options.spin);
}

// Null: the transport does without shared memory, or there are no descriptors for it.
std::unique_ptr<ShmRuntime> StartShm(Transport transport, const Options& options) {
  if (transport != Transport::kAuto && transport != Transport::kShm) return nullptr;
  auto started = ShmRuntime::Start({});
  if (started.ok()) return *std::move(started);
  if (options.log) {
    options.log(LogLevel::kWarning,
                absl::StrCat("there is no shared memory: ", started.status().message(),
                             "; Unix sockets serve"));
  }
  return nullptr;
}

// Memory that servers of this host can read where it lies, as far as there is any.
MemoryRegistry::Source SourceOf(ShmRuntime* shm) {
  if (shm == nullptr) return MapPages;
  return [shm](size_t bytes) -> absl::StatusOr<std::shared_ptr<void>> {
    if (std::shared_ptr<void> shared = shm->Allocate(bytes)) return shared;
    return MapPages(bytes);
  };
}

// The Worker of a cluster: the coordinator through Control, the servers through DataLoop. Both call
// back into it, so each is closed before either is destroyed.
class ClusterWorker : public Worker {
 public:
  ClusterWorker(const Options& options, JobInfo job, Transport transport, std::string token,
                absl::Duration lease, std::unique_ptr<CoordinatorClient> coordinator)
      : deadline_(absl::FromChrono(options.deadline)),
        spin_(AskedSpin(options)),
        job_(std::move(job)),
        transport_(transport),
        host_key_(ReadHostKey()),
        shm_(StartShm(transport, options)),
        memory_(options.max_memory_bytes, SourceOf(shm_.get())) {
    DataLoop::Options data;
    data.client.job_id = job_.job_id;
    data.client.job_token = token;
    data.client.worker_id = job_.rank;
    data.client.incarnation = job_.incarnation;
    data.client.build_id = BuildId();
    data.client.transport = transport_;
    data.client.host_key = host_key_;
    data.client.mode = job_.mode;
    data.client.session_nonce = static_cast<uint64_t>(absl::GetCurrentTimeNanos());
    data.client.seed = job_.incarnation * 1000003 + job_.rank;
    data.client.default_deadline = deadline_;
    data.shm = shm_.get();
    data.fetch_layout = [this](uint64_t newer_than) { control_->FetchLayout(newer_than); };
    data.log = options.log;
    data_ = std::make_shared<DataLoop>(std::move(data));

    Control::Options control;
    control.client = std::move(coordinator);
    control.job.set_job_id(job_.job_id);
    control.job.set_job_token(token);
    control.rank = job_.rank;
    control.incarnation = job_.incarnation;
    control.lease = lease;
    control.stop = [this](Status why) { data_->Stop(std::move(why)); };
    control.layout = [this](Layout layout) { Use(std::move(layout)); };
    control.waits_for = [this] { return data_->WaitsFor(); };
    control.log = [this](LogLevel level, std::string text) { data_->Log(level, std::move(text)); };
    control_ = std::make_unique<Control>(std::move(control));
  }

  ~ClusterWorker() override { ClusterWorker::Close(); }

  const JobInfo& job() const override { return job_; }

  Status Declare(const std::vector<TensorSpec>& tensors, Deadline deadline) override {
    std::vector<TensorShape> shapes;
    for (const TensorSpec& spec : tensors) {
      const auto kind = static_cast<InitializerSpec::Kind>(spec.initializer.kind);
      shapes.push_back(
          TensorShape{spec.name, spec.shape, {kind, spec.initializer.a, spec.initializer.b}});
    }
    const absl::Status valid = ValidateTensors(shapes);
    if (!valid.ok()) return ToStatus(valid);
    Result<Layout> layout = control_->Declare(shapes, Time(deadline));
    if (!layout.ok()) return layout.status();
    for (const ShardAddress& shard : layout->shard_addresses) {
      const absl::Status reachable = PickRoutes(shard, transport_, host_key_).status();
      if (!reachable.ok())
        return Status(StatusCode::kFailedPrecondition, std::string(reachable.message()));
    }
    Use(std::move(*layout));
    return Status();
  }

  Result<std::vector<SliceRange>> Slices(uint32_t tensor) const override {
    absl::MutexLock lock(&mu_);
    if (!declared_) return NotDeclared();
    Result<SliceIndex::Range> range = slices_.Find(tensor, 0, 0);
    if (!range.ok()) return range.status();
    std::vector<SliceRange> result;
    for (size_t i = range->first; i < range->last; ++i) {
      const SliceSpec& slice = slices_.slice(i);
      result.push_back(SliceRange{tensor, slice.offset, slice.count, slice.shard});
    }
    return result;
  }

  Result<TensorMemory> Allocate(size_t bytes) override { return memory_.Allocate(bytes); }
  PayloadTraffic Traffic() const override { return data_->traffic(); }

  Future<PullResult> PullAsync(std::vector<TensorPull> tensors,
                               const PullOptions& options) override {
    return Start<PullResult>(
        [tensors = std::move(tensors), options](Client& client, uint64_t call, absl::Time now,
                                                ClientEffects* effects) mutable {
          client.Pull(call, std::move(tensors), options, now, effects);
        });
  }

  Future<PullResult> SyncAsync(std::vector<TensorPull> tensors,
                               const PullOptions& options) override {
    return Start<PullResult>(
        [tensors = std::move(tensors), options](Client& client, uint64_t call, absl::Time now,
                                                ClientEffects* effects) mutable {
          client.Sync(call, std::move(tensors), options, now, effects);
        });
  }

  Future<PushResult> PushAsync(std::vector<TensorPush> tensors,
                               const PushOptions& options) override {
    return StartPush(std::move(tensors), options, /*want_values=*/false);
  }

  Future<PushResult> PushPullAsync(std::vector<TensorPush> tensors,
                                   const PushOptions& options) override {
    return StartPush(std::move(tensors), options, /*want_values=*/true);
  }

  Result<PushResult> Skip(uint64_t step, uint32_t part, Deadline deadline) override {
    std::vector<TensorPush> all;
    {
      absl::MutexLock lock(&mu_);
      all.resize(slices_.tensors());
    }
    for (size_t tensor = 0; tensor < all.size(); ++tensor)
      all[tensor].tensor = static_cast<uint32_t>(tensor);
    PushOptions options;
    options.deadline = deadline;
    options.step = step;
    options.first_part = part;
    return Push(std::move(all), options);
  }

  Result<uint64_t> NewSequence() override {
    return Start<uint64_t>(
               [](Client& client, uint64_t call, absl::Time now, ClientEffects* effects) {
                 client.NewSequence(call, Deadline{0}, now, effects);
               })
        .Get();
  }

  Status PutState(uint64_t sequence, const std::string& state, Deadline deadline) override {
    return Start<std::monostate>(
               [=](Client& client, uint64_t call, absl::Time now, ClientEffects* effects) {
                 client.PutState(call, sequence, state, deadline, now, effects);
               })
        .Get()
        .status();
  }

  Result<WorkerState> GetState(Deadline deadline) override {
    return Start<WorkerState>(
               [=](Client& client, uint64_t call, absl::Time now, ClientEffects* effects) {
                 client.GetState(call, deadline, now, effects);
               })
        .Get();
  }

  Status Report(const std::string& name, double value) override {
    return control_->Report(name, value);
  }
  void Progress(uint64_t step, uint64_t steps) override { control_->Progress(step, steps); }
  Status Fail(const std::string& why) override {
    return control_->Fail(why, std::min(deadline_, kJoinTimeout));
  }

  Status Leave(Deadline deadline) override {
    Status status;
    if (Declared()) {
      status = Start<std::monostate>(
                   [=](Client& client, uint64_t call, absl::Time now, ClientEffects* effects) {
                     client.Leave(call, deadline, now, effects);
                   })
                   .Get()
                   .status();
    }
    const Status left = control_->Leave(Time(deadline));
    Close();
    return status.ok() ? left : status;
  }

  void Close() override {
    control_->Close();
    data_->Close();
  }

 private:
  static Status NotDeclared() {
    return Status(StatusCode::kFailedPrecondition, "no model is declared yet: call Declare first");
  }

  bool Declared() const {
    absl::MutexLock lock(&mu_);
    return declared_;
  }

  absl::Duration Time(Deadline deadline) const {
    return deadline.count() == 0 ? deadline_ : absl::FromChrono(deadline);
  }

  // A layout from the coordinator.
  void Use(Layout layout) {
    const bool local = std::all_of(layout.shard_addresses.begin(), layout.shard_addresses.end(),
                                   [this](const ShardAddress& shard) {
                                     return !host_key_.empty() && shard.host_key == host_key_;
                                   });
    data_->SetSpin(
        SpinTime(spin_, UsableCores(), SpinnersOfJob(job_.servers, job_.workers, local)));
    {
      absl::MutexLock lock(&mu_);
      slices_ = SliceIndex(layout);
      declared_ = true;
    }
    data_->SetLayout(std::move(layout));
  }

  template <typename T>
  Future<T> Start(DataLoop::Begin begin) {
    auto state = std::make_shared<FutureState<T>>();
    if (!Declared()) {
      state->Set(NotDeclared());
      return Future<T>(std::move(state));
    }
    // Cancel may be called as soon as the Future exists, but the id is known only now.
    auto call = std::make_shared<uint64_t>(0);
    std::weak_ptr<DataLoop> loop = data_;
    state->cancel = [loop, call] {
      if (const std::shared_ptr<DataLoop> alive = loop.lock()) alive->Cancel(*call);
    };
    *call =
        data_->Call(std::move(begin), [state](CompleteEffect& end) { state->Set(Take<T>(end)); });
    return Future<T>(std::move(state));
  }

  Future<PushResult> StartPush(std::vector<TensorPush> tensors, const PushOptions& options,
                               bool want_values) {
    return Start<PushResult>([owners = memory_.Owners(tensors), tensors = std::move(tensors),
                              options, want_values](Client& client, uint64_t call, absl::Time now,
                                                    ClientEffects* effects) mutable {
      client.Push(call, std::move(tensors), std::move(owners), options, want_values, now, effects);
    });
  }

  const absl::Duration deadline_;
  const std::optional<absl::Duration> spin_;
  const JobInfo job_;
  const Transport transport_;
  const std::string host_key_;
  const std::unique_ptr<ShmRuntime> shm_;  // null: none; self-synchronised
  MemoryRegistry memory_;                  // self-synchronised
  std::shared_ptr<DataLoop> data_;         // self-synchronised
  std::unique_ptr<Control> control_;       // self-synchronised

  mutable absl::Mutex mu_;
  bool declared_ ABSL_GUARDED_BY(mu_) = false;
  SliceIndex slices_ ABSL_GUARDED_BY(mu_);
};

std::string HostName() {
  char name[256] = "";
  if (gethostname(name, sizeof(name) - 1) != 0) return "unknown";
  return name;
}

Result<v1::JoinReply> Join(const Options& options, const std::string& token,
                           CoordinatorClient* coordinator) {
  v1::JoinRequest request;
  request.mutable_job()->set_job_token(token);
  request.set_protocol_min(kProtocol);
  request.set_protocol_max(kProtocol);
  request.set_role(v1::MEMBER_ROLE_WORKER);
  request.set_has_rank(options.rank.has_value());
  request.set_rank(options.rank.value_or(0));
  request.set_host(options.host.empty() ? HostName() : options.host);
  request.set_process_id(static_cast<uint64_t>(getpid()));
  request.set_build_id(BuildId());
  const absl::Duration limit = absl::FromChrono(options.connect_timeout);
  const absl::Time began = absl::Now(), end = began + limit;
  bool told = false;
  while (true) {
    const absl::Duration left = std::max(end - absl::Now(), absl::Milliseconds(1));
    absl::StatusOr<v1::JoinReply> reply = coordinator->Join(request, std::min(left, kJoinTimeout));
    if (reply.ok()) return *std::move(reply);
    const bool again =
        absl::IsUnavailable(reply.status()) || absl::IsDeadlineExceeded(reply.status());
    if (!again) return ToStatus(reply.status());
    if (absl::Now() + kJoinPause >= end)
      return Status(StatusCode::kUnavailable, std::string(reply.status().message()));
    if (options.log && !told && absl::Now() - began > kQuietJoin) {
      options.log(LogLevel::kWarning,
                  absl::StrCat("cannot reach the coordinator at ", options.coordinator,
                               " yet; trying for ", absl::ToDoubleSeconds(limit), " s"));
      told = true;
    }
    // One that is not there yet: as soon as it is. One that is and will not: not at once again.
    if (coordinator->AwaitConnected(kJoinPause)) absl::SleepFor(kJoinPause);
  }
}

JobInfo MakeJobInfo(const v1::JoinReply& reply) {
  const v1::JobSettings& settings = reply.settings();
  JobInfo job;
  job.name = settings.name();
  job.job_id = reply.job_id();
  job.rank = reply.rank();
  job.incarnation = reply.incarnation();
  job.workers = settings.workers();
  job.servers = settings.servers();
  job.shards = settings.shards();
  job.gradient_shards = settings.gradient_shards();
  job.mode = static_cast<Mode>(settings.mode());  // the values are the same; Connect has looked
  if (settings.has_max_staleness()) job.max_staleness = settings.max_staleness();
  job.seed = settings.seed();
  job.topology = settings.topology();
  return job;
}

}  // namespace

Result<std::unique_ptr<Worker>> Worker::Connect(const Options& options) {
  if (options.coordinator.empty())
    return Status(StatusCode::kInvalidArgument, "Options::coordinator is empty");
  if (!options.transport.empty() && !TransportOf(options.transport).ok())
    return ToStatus(TransportOf(options.transport).status());
  if (options.deadline.count() < 1)
    return Status(StatusCode::kInvalidArgument, "Options::deadline is below 1 ms");
  const absl::Status spin =
      CheckSpin("Options::spin", AskedSpin(options).value_or(absl::ZeroDuration()));
  if (!spin.ok()) return ToStatus(spin);
  Result<std::string> token = ReadToken(options);
  if (!token.ok()) return token.status();
  auto coordinator = std::make_unique<CoordinatorClient>(options.coordinator);
  Result<v1::JoinReply> joined = Join(options, *token, coordinator.get());
  if (!joined.ok()) return joined.status();
  const uint32_t mode = joined->settings().mode();
  if (mode != v1::MODE_BSP && mode != v1::MODE_ASP && mode != v1::MODE_SSP) {
    return Status(StatusCode::kUnimplemented,
                  absl::StrCat("the job's mode ", mode, " is not known to this build"));
  }
  if (joined->settings().workers() == 0 || joined->settings().gradient_shards() == 0 ||
      joined->lease_ms() == 0) {
    return Status(StatusCode::kInternal,
                  "the coordinator's answer to Join lacks workers, gradient_shards or the lease");
  }
  const absl::StatusOr<Transport> transport = options.transport.empty()
                                                  ? TransportOf(joined->settings().transport())
                                                  : TransportOf(options.transport);
  if (!transport.ok()) return ToStatus(transport.status());
  const absl::Duration lease = absl::Milliseconds(joined->lease_ms());
  return std::unique_ptr<Worker>(new ClusterWorker(options, MakeJobInfo(*joined), *transport,
                                                   *token, lease, std::move(coordinator)));
}

}  // namespace weir
