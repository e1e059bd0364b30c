// SPDX-License-Identifier: Apache-2.0
#include "launcher/server_process.h"

#include <glog/logging.h>
#include <string.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "core/build_info.h"
#include "core/steady_clock.h"
#include "core/transport.h"
#include "launcher/coordinator_codec.h"
#include "launcher/counted.h"
#include "launcher/server_shards.h"
#include "net/layout_proto.h"
#include "net/spin.h"

namespace weir {
namespace {

constexpr absl::Duration kCallLimit = absl::Seconds(5);
constexpr absl::Duration kLayoutWait = absl::Seconds(1);
constexpr absl::Duration kRetryInterval = absl::Milliseconds(200);
constexpr absl::Duration kFillingInterval =
    absl::Milliseconds(10);                              // while the first weights are computed
constexpr absl::Duration kQuietJoin = absl::Seconds(1);  // no answer for longer: say so, once
constexpr absl::Duration kHeartbeatInterval = absl::Milliseconds(500);
constexpr absl::Duration kShutdownGrace = absl::Seconds(1);
constexpr char kShmSocketName[] = "shm";

// Sleeps for `time` or until one of `signals`, which it returns; 0: none.
int Sleep(const sigset_t& signals, absl::Duration time) {
  const timespec wait = absl::ToTimespec(time);
  return std::max(0, sigtimedwait(&signals, nullptr, &wait));
}

bool IsAnyAddress(const std::string& host) {
  return host == "0.0.0.0" || host == "[::]" || host == "::";
}

}  // namespace

ServerProcess::ServerProcess(Options options) : options_(std::move(options)) {}

ServerProcess::~ServerProcess() {
  if (server_ != nullptr) server_->Shutdown(kShutdownGrace);
  for (auto& shard : shards_) shard->Stop();
  server_.reset();
  shm_host_.reset();
  shm_.reset();
  sessions_.reset();
}

absl::Status ServerProcess::Listen() {
  const bool remote = !options_.coordinator.empty() && !IsLoopback(options_.coordinator);
  if (remote && options_.advertise.empty() && IsLoopback(absl::StrCat(options_.host, ":0"))) {
    return absl::InvalidArgumentError(
        absl::StrCat("the coordinator is at ", options_.coordinator, " and this server on ",
                     options_.host, ", which no other host can reach: give --host or --advertise"));
  }
  MakeSockets();
  SessionHost::Options sessions;
  sessions.shm = shm_host_.get();
  sessions_ = std::make_unique<SessionHost>(sessions);
  outlet_ = std::make_unique<HostOutlet>(sessions_.get());
  ServerHost::Options host;
  host.address = absl::StrCat(options_.host, ":", options_.port);
  host.has_token = !options_.job_token.empty();
  host.services = options_.services;
  host.queued = {sessions_->queued()};
  host.sockets = sockets_.get();
  absl::StatusOr<std::unique_ptr<ServerHost>> server = ServerHost::Start(host);
  if (!server.ok()) return server.status();
  server_ = *std::move(server);
  const std::string& coordinator =
      options_.coordinator.empty() ? server_->address() : options_.coordinator;
  coordinator_ = std::make_unique<CoordinatorClient>(coordinator);
  return absl::OkStatus();
}

// A socket, or shared memory, that cannot be had is no failure yet: most jobs do without.
void ServerProcess::MakeSockets() {
  RemoveStaleSocketDirectories(options_.socket_bases);
  absl::StatusOr<std::unique_ptr<SocketDirectory>> sockets =
      SocketDirectory::Make(options_.socket_bases);
  no_socket_ = std::string(sockets.status().message());
  if (!sockets.ok()) return;
  sockets_ = *std::move(sockets);
  const absl::Status shared = OpenShm();
  if (!shared.ok()) LOG(WARNING) << "no shared memory: " << shared.message();
}

absl::Status ServerProcess::OpenShm() {
  auto runtime = ShmRuntime::Start({});
  if (!runtime.ok()) return runtime.status();
  ShmHost::Options door;
  door.link.arena = (*runtime)->arena();
  auto host = ShmHost::Open(sockets_->PathOf(kShmSocketName), (*runtime)->poller(), door);
  if (!host.ok()) return host.status();
  shm_ = *std::move(runtime);
  shm_host_ = *std::move(host);
  return absl::OkStatus();
}

// What the job's transport means to this server, known once it has joined.
absl::Status ServerProcess::SettleTransport() {
  const absl::StatusOr<Transport> transport =
      TransportOf(static_cast<uint32_t>(joined_.settings().transport()));
  if (!transport.ok()) return transport.status();
  const auto& settings = joined_.settings();
  const bool local = IsLoopback(server_->address());
  const absl::Duration spin = SpinTime(
      options_.spin, UsableCores(), SpinnersOfJob(settings.servers(), settings.workers(), local));
  server_->SetSpin(spin);
  if (shm_ != nullptr) shm_->poller()->set_spin(spin);
  shares_weights_ = *transport == Transport::kAuto || *transport == Transport::kShm;
  if (*transport == Transport::kTcp) {
    if (sockets_ != nullptr) sockets_->Remove();
    return absl::OkStatus();
  }
  if (sockets_ != nullptr) {
    LOG(INFO) << "and at " << server_->socket_path();
    return absl::OkStatus();
  }
  const std::string why = absl::StrCat("this server has no Unix socket: ", no_socket_);
  if (*transport != Transport::kAuto) {
    return absl::FailedPreconditionError(
        absl::StrCat("the job's transport is ", TransportName(*transport), ", and ", why));
  }
  LOG(WARNING) << why;
  return absl::OkStatus();
}

std::string ServerProcess::AdvertisedAddress() const {
  if (!options_.advertise.empty()) return options_.advertise;
  return absl::StrCat(IsAnyAddress(options_.host) ? "" : options_.host, ":", server_->port());
}

// The coordinator may be started after this process.
absl::Status ServerProcess::Join(const sigset_t& signals) {
  v1::JoinRequest request;
  request.mutable_job()->set_job_token(options_.job_token);
  request.set_protocol_min(kProtocol);
  request.set_protocol_max(kProtocol);
  request.set_role(v1::MEMBER_ROLE_SERVER);
  request.set_has_rank(options_.rank.has_value());
  request.set_rank(options_.rank.value_or(0));
  request.set_address(AdvertisedAddress());
  if (sockets_ != nullptr) {
    request.set_uds_path(server_->socket_path());
    request.set_host_key(options_.host_key);
  }
  request.set_host(options_.host_name);
  request.set_process_id(static_cast<uint64_t>(getpid()));
  request.set_build_id(BuildId());
  const absl::Time began = SteadyNow(), end = began + options_.join_limit;
  bool told = false;
  absl::StatusOr<v1::JoinReply> reply;
  for (;;) {
    const absl::Time sent = SteadyNow();
    reply = coordinator_->Join(request, kCallLimit);
    if (reply.ok()) lease_end_ = LeaseEnd(sent, reply->lease_ms());
    if (!absl::IsUnavailable(reply.status()) || SteadyNow() > end) break;
    if (!told && SteadyNow() - began > kQuietJoin) {
      LOG(WARNING) << "cannot reach the coordinator at " << coordinator_->address()
                   << " yet; trying for " << absl::ToDoubleSeconds(options_.join_limit) << " s";
      told = true;
    }
    coordinator_->AwaitConnected(kRetryInterval);
    if (Sleep(signals, kFillingInterval) > 0)
      return absl::CancelledError("ended by a signal before it joined");
  }
  if (!reply.ok()) return reply.status();
  joined_ = *std::move(reply);
  LOG(INFO) << "server " << joined_.rank() << " of " << joined_.settings().servers() << " of job '"
            << joined_.settings().name() << "', " << Counted(joined_.shards_size(), "shard")
            << ", at " << server_->address();
  return absl::OkStatus();
}

// Of each shard. Known once it has joined.
int ServerProcess::JobThreads() const {
  if (options_.job_threads) return *options_.job_threads;
  const auto& settings = joined_.settings();
  const bool local = IsLoopback(server_->address());
  return JobThreadsFor(UsableCores(), SpinnersOfJob(settings.servers(), settings.workers(), local),
                       static_cast<size_t>(joined_.shards_size()));
}

absl::Status ServerProcess::MakeShards() {
  absl::StatusOr<ShardOptions> options = ShardOptionsOf(FromProto(joined_.settings()));
  if (!options.ok()) return options.status();
  options->epoch = joined_.epoch();
  options->job_token = options_.job_token;
  if (joined_.job_id().size() != options->job_id.size())
    return absl::InternalError("the coordinator's job id has not 16 bytes");
  memcpy(options->job_id.data(), joined_.job_id().data(), options->job_id.size());
  for (uint32_t shard : joined_.shards()) {
    ShardServer::Options server;
    server.shard = *options;
    server.shard.shard = shard;
    server.job_threads = JobThreads();
    if (shares_weights_ && shm_ != nullptr) server.arena = shm_->arena();
    absl::StatusOr<std::unique_ptr<ShardServer>> made =
        ShardServer::Create(std::move(server), outlet_.get());
    if (!made.ok()) return made.status();
    absl::Status started = (*made)->Start();
    if (!started.ok()) return started;
    shards_.push_back(*std::move(made));
    sessions_->AddShard(shard, shards_.back().get());
  }
  TellShardsOfLease();
  TellShards(FromProto(joined_.roster()));
  return absl::OkStatus();
}

void ServerProcess::TellShards(const Roster& roster) {
  for (auto& shard : shards_) shard->OnRoster(roster);
  roster_generation_ = roster.generation;
}

// A lease counts from when what renewed it was sent: it was handled no earlier. A server that is
// its own coordinator needs none: nobody else can give its place away.
absl::Time ServerProcess::LeaseEnd(absl::Time sent, uint64_t lease_ms) const {
  if (options_.coordinator.empty()) return absl::InfiniteFuture();
  return sent + absl::Milliseconds(lease_ms);
}

void ServerProcess::TellShardsOfLease() {
  for (auto& shard : shards_) shard->SetLease(lease_end_);
}

absl::Status ServerProcess::LeaseIsOver(absl::string_view why) {
  return absl::UnavailableError(
      absl::StrCat("the lease of server ", joined_.rank(), ", ",
                   absl::FormatDuration(absl::Milliseconds(joined_.lease_ms())), ", is over: ", why,
                   ". Another process may have its place by now, so it ends; what came since is "
                   "not acknowledged, "
                   "and its shards stay at step ",
                   Step()));
}

template <typename Request>
Request ServerProcess::Named() const {
  Request request;
  request.mutable_job()->set_job_id(joined_.job_id());
  request.mutable_job()->set_job_token(options_.job_token);
  request.set_role(v1::MEMBER_ROLE_SERVER);
  request.set_rank(joined_.rank());
  request.set_incarnation(joined_.incarnation());
  return request;
}

// Waits for the layout a little; OK also when there is none yet.
absl::Status ServerProcess::AskForLayout() {
  auto request = Named<v1::GetLayoutRequest>();
  request.set_wait_ms(static_cast<uint32_t>(absl::ToInt64Milliseconds(kLayoutWait)));
  absl::StatusOr<v1::GetLayoutReply> reply =
      coordinator_->GetLayout(request, kLayoutWait + kCallLimit);
  if (!reply.ok())
    return absl::OkStatus();  // the heartbeat tells whether it is more than a wait that is over
  absl::StatusOr<Layout> layout = LayoutFromProto(reply->layout());
  if (!layout.ok()) return layout.status();
  for (auto& shard : shards_) {
    absl::Status status = shard->Install(*layout);
    if (!status.ok()) return status;
  }
  installed_ = true;
  return absl::OkStatus();
}

bool ServerProcess::Serving() {
  return installed_ &&
         std::all_of(shards_.begin(), shards_.end(), [](auto& shard) { return shard->serving(); });
}

// FAILED_PRECONDITION: a shard can never serve its layout.
absl::Status ServerProcess::CheckShards() {
  for (auto& shard : shards_) {
    const std::string failure = shard->status().failure;
    if (!failure.empty()) return absl::FailedPreconditionError(failure);
  }
  return absl::OkStatus();
}

v1::PushTotals ServerProcess::Totals() {
  PushCounts counts;
  for (auto& shard : shards_) {
    const ShardTotals t = shard->totals();
    counts.Add(
        {t.applied, t.stale, t.duplicate, t.overloaded, t.moved, t.invalid, t.fenced, t.examples});
  }
  return ToProto(counts);
}

v1::SessionTotals ServerProcess::Sessions() {
  const SessionHost::Statistics statistics = sessions_->statistics();
  SessionCounts counts;
  counts.tcp = statistics.workers_over_tcp;
  counts.uds = statistics.workers_over_uds;
  counts.shm = statistics.workers_over_shm;
  return ToProto(counts);
}

v1::PayloadTotals ServerProcess::Payloads() {
  const SessionHost::Statistics statistics = sessions_->statistics();
  PayloadCounts counts;
  for (auto& shard : shards_) {
    const ShardTotals totals = shard->totals();
    counts.received += totals.payload_bytes;
    counts.received_copied += totals.payload_bytes_copied;
  }
  counts.sent = statistics.payload_sent_bytes;
  counts.sent_copied = statistics.payload_sent_copied_bytes;
  return ToProto(counts);
}

uint64_t ServerProcess::Step() {
  uint64_t step = ~uint64_t{0};
  for (auto& shard : shards_) step = std::min(step, shard->status().step);
  return shards_.empty() ? 0 : step;
}

absl::Status ServerProcess::Heartbeat(absl::Duration limit, bool* stop) {
  auto request = Named<v1::HeartbeatRequest>();
  request.set_serving(Serving());
  request.set_step(Step());
  *request.mutable_pushes() = Totals();
  *request.mutable_sessions() = Sessions();
  *request.mutable_payload() = Payloads();
  for (auto& shard : shards_) {
    if (request.waits_for().empty()) request.set_waits_for(shard->status().waits_for);
  }
  request.set_roster_generation(roster_generation_);
  const absl::Time sent = SteadyNow();
  absl::StatusOr<v1::HeartbeatReply> reply = coordinator_->Heartbeat(request, limit);
  if (!reply.ok()) return reply.status();
  lease_end_ = LeaseEnd(sent, reply->lease_ms());
  TellShardsOfLease();
  if (reply->has_roster()) TellShards(FromProto(reply->roster()));
  *stop = reply->stop();
  if (*stop) LOG(INFO) << "told to stop: " << reply->reason();
  return absl::OkStatus();
}

absl::Status ServerProcess::Leave() {
  sessions_->CloseAll(absl::UnavailableError("the server is ending"));
  auto request = Named<v1::LeaveRequest>();
  request.set_step(Step());
  *request.mutable_pushes() = Totals();
  *request.mutable_sessions() = Sessions();
  *request.mutable_payload() = Payloads();
  LOG(INFO) << "leaves at step " << request.step() << ": " << request.pushes().ShortDebugString();
  return coordinator_->Leave(request, kCallLimit);
}

absl::Status ServerProcess::Serve(const sigset_t& signals) {
  absl::Status status = Join(signals);
  if (!status.ok()) return status;
  status = SettleTransport();
  if (status.ok()) status = MakeShards();
  bool stop = false;
  while (status.ok() && !stop) {
    if (!installed_) status = AskForLayout();
    if (status.ok()) status = CheckShards();
    const bool serving = Serving();
    if (!status.ok()) break;
    if (serving) server_->SetServing(true);
    const absl::Time now = SteadyNow();
    if (now >= lease_end_)
      return LeaseIsOver("this process was stopped, or had no time to renew it");
    const absl::Status beat =
        Heartbeat(std::clamp(lease_end_ - now, kRetryInterval, kCallLimit), &stop);
    if (!beat.ok() && !absl::IsUnavailable(beat) && !absl::IsDeadlineExceeded(beat)) return beat;
    if (SteadyNow() >= lease_end_) {
      return LeaseIsOver(beat.ok() ? "the coordinator's answer came too late"
                                   : absl::StrCat("the coordinator is gone: ", beat.message()));
    }
    sessions_->Tick(SteadyNow());
    if (stop) break;
    const absl::Duration pause = !beat.ok()   ? kRetryInterval
                                 : serving    ? kHeartbeatInterval
                                 : installed_ ? kFillingInterval
                                              : absl::ZeroDuration();
    if (Sleep(signals, pause) > 0) break;
  }
  if (!status.ok()) {  // the job cannot go on without this server: say why
    auto failed = Named<v1::HeartbeatRequest>();
    failed.set_failure(std::string(status.message()));
    coordinator_->Heartbeat(failed, kCallLimit).IgnoreError();
    Leave().IgnoreError();
    return status;
  }
  return Leave();
}

}  // namespace weir
