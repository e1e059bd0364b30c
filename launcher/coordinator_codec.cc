// SPDX-License-Identifier: Apache-2.0
#include "launcher/coordinator_codec.h"

#include <string.h>

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "net/layout_proto.h"

namespace weir {
namespace {

template <typename Message>
std::vector<NamedValue> ValuesOf(const Message& message) {
  std::vector<NamedValue> values;
  for (const v1::NamedValue& value : message.values())
    values.push_back({value.name(), value.value()});
  return values;
}

template <typename Message>
void SetValues(const std::vector<NamedValue>& values, Message* message) {
  for (const NamedValue& value : values) {
    v1::NamedValue* out = message->add_values();
    out->set_name(value.name);
    out->set_value(value.value);
  }
}

std::string Bytes(const JobId& id) { return std::string(id.begin(), id.end()); }

uint32_t Milliseconds(absl::Duration d) {
  return static_cast<uint32_t>(std::clamp<int64_t>(absl::ToInt64Milliseconds(d), 0, UINT32_MAX));
}

v1::MemberStatus ToProto(const MemberStatus& member) {
  v1::MemberStatus out;
  out.set_role(static_cast<v1::MemberRole>(member.role));
  out.set_rank(member.rank);
  out.set_state(static_cast<v1::MemberStatus::State>(member.state));
  out.set_incarnation(member.incarnation);
  out.set_address(member.address);
  out.set_host(member.host);
  out.set_process_id(member.process_id);
  out.set_step(member.step);
  out.set_waits_for(member.waits_for);
  *out.mutable_pushes() = weir::ToProto(member.pushes);
  *out.mutable_sessions() = weir::ToProto(member.sessions);
  *out.mutable_payload() = weir::ToProto(member.payload);
  SetValues(member.values, &out);
  out.set_silent_ms(Milliseconds(member.silent));
  out.set_restarts(member.restarts);
  return out;
}

MemberStatus FromProto(const v1::MemberStatus& in) {
  MemberStatus member;
  member.role = static_cast<MemberRole>(in.role());
  member.rank = in.rank();
  member.state = static_cast<MemberState>(in.state());
  member.incarnation = in.incarnation();
  member.address = in.address();
  member.host = in.host();
  member.process_id = in.process_id();
  member.step = in.step();
  member.waits_for = in.waits_for();
  member.pushes = weir::FromProto(in.pushes());
  member.sessions = weir::FromProto(in.sessions());
  member.payload = weir::FromProto(in.payload());
  member.values = ValuesOf(in);
  member.silent = absl::Milliseconds(in.silent_ms());
  member.restarts = in.restarts();
  return member;
}

}  // namespace

JobKey FromProto(const v1::JobKey& job) { return {job.job_id(), job.job_token()}; }

v1::JobKey ToProto(const JobKey& job) {
  v1::JobKey out;
  out.set_job_id(job.job_id);
  out.set_job_token(job.job_token);
  return out;
}

PushCounts FromProto(const v1::PushTotals& totals) {
  PushCounts counts;
  counts.applied = totals.applied();
  counts.stale = totals.stale();
  counts.duplicate = totals.duplicate();
  counts.overloaded = totals.overloaded();
  counts.moved = totals.moved();
  counts.invalid = totals.invalid();
  counts.fenced = totals.fenced();
  counts.examples = totals.examples();
  return counts;
}

v1::PushTotals ToProto(const PushCounts& counts) {
  v1::PushTotals totals;
  totals.set_applied(counts.applied);
  totals.set_stale(counts.stale);
  totals.set_duplicate(counts.duplicate);
  totals.set_overloaded(counts.overloaded);
  totals.set_moved(counts.moved);
  totals.set_invalid(counts.invalid);
  totals.set_fenced(counts.fenced);
  totals.set_examples(counts.examples);
  return totals;
}

SessionCounts FromProto(const v1::SessionTotals& totals) {
  return {totals.tcp(), totals.uds(), totals.shm()};
}

v1::SessionTotals ToProto(const SessionCounts& counts) {
  v1::SessionTotals totals;
  totals.set_tcp(counts.tcp);
  totals.set_uds(counts.uds);
  totals.set_shm(counts.shm);
  return totals;
}

PayloadCounts FromProto(const v1::PayloadTotals& totals) {
  return {totals.received(), totals.received_copied(), totals.sent(), totals.sent_copied()};
}

v1::PayloadTotals ToProto(const PayloadCounts& counts) {
  v1::PayloadTotals totals;
  totals.set_received(counts.received);
  totals.set_received_copied(counts.received_copied);
  totals.set_sent(counts.sent);
  totals.set_sent_copied(counts.sent_copied);
  return totals;
}

JobSettings FromProto(const v1::JobSettings& in) {
  JobSettings settings;
  settings.name = in.name();
  settings.servers = in.servers();
  settings.shards = in.shards();
  settings.workers = in.workers();
  settings.gradient_shards = in.gradient_shards();
  settings.mode = static_cast<uint32_t>(in.mode());
  settings.has_max_staleness = in.has_max_staleness();
  settings.max_staleness = in.max_staleness();
  settings.slice_bytes = in.slice_bytes();
  settings.seed = in.seed();
  settings.topology = in.topology();
  settings.init_path = in.init_path();
  settings.transport = static_cast<uint32_t>(in.transport());
  return settings;
}

v1::JobSettings ToProto(const JobSettings& settings) {
  v1::JobSettings out;
  out.set_name(settings.name);
  out.set_servers(settings.servers);
  out.set_shards(settings.shards);
  out.set_workers(settings.workers);
  out.set_gradient_shards(settings.gradient_shards);
  out.set_mode(static_cast<v1::Mode>(settings.mode));
  out.set_has_max_staleness(settings.has_max_staleness);
  out.set_max_staleness(settings.max_staleness);
  out.set_slice_bytes(settings.slice_bytes);
  out.set_seed(settings.seed);
  out.set_topology(settings.topology);
  out.set_init_path(settings.init_path);
  out.set_transport(static_cast<v1::Transport>(settings.transport));
  return out;
}

Roster FromProto(const v1::Roster& in) {
  Roster roster;
  roster.generation = in.generation();
  roster.owners.assign(in.owners().begin(), in.owners().end());
  roster.lost.assign(in.lost().begin(), in.lost().end());
  return roster;
}

v1::Roster ToProto(const Roster& roster) {
  v1::Roster out;
  out.set_generation(roster.generation);
  for (uint32_t rank : roster.owners) out.add_owners(rank);
  for (uint32_t rank : roster.lost) out.add_lost(rank);
  return out;
}

JoinEvent FromProto(const v1::JoinRequest& request) {
  JoinEvent event;
  event.job = FromProto(request.job());
  event.protocol_min = request.protocol_min();
  event.protocol_max = request.protocol_max();
  event.role = static_cast<MemberRole>(request.role());
  event.has_rank = request.has_rank();
  event.rank = request.rank();
  event.address = request.address();
  event.uds_path = request.uds_path();
  event.host_key = request.host_key();
  event.host = request.host();
  event.process_id = request.process_id();
  event.build_id = request.build_id();
  return event;
}

v1::JoinReply ToProto(const JoinAnswer& answer) {
  v1::JoinReply reply;
  reply.set_job_id(Bytes(answer.job_id));
  reply.set_rank(answer.rank);
  reply.set_incarnation(answer.incarnation);
  reply.set_epoch(answer.epoch);
  reply.set_lease_ms(Milliseconds(answer.lease));
  for (uint32_t shard : answer.shards) reply.add_shards(shard);
  *reply.mutable_settings() = ToProto(answer.settings);
  reply.set_protocol(answer.protocol);
  *reply.mutable_roster() = ToProto(answer.roster);
  return reply;
}

HeartbeatEvent FromProto(const v1::HeartbeatRequest& request) {
  HeartbeatEvent event;
  event.serving = request.serving();
  event.step = request.step();
  event.steps = request.steps();
  event.pushes = FromProto(request.pushes());
  event.sessions = FromProto(request.sessions());
  event.payload = FromProto(request.payload());
  event.values = ValuesOf(request);
  event.waits_for = request.waits_for();
  event.failure = request.failure();
  event.roster_generation = request.roster_generation();
  return event;
}

v1::HeartbeatReply ToProto(const HeartbeatAnswer& answer) {
  v1::HeartbeatReply reply;
  reply.set_lease_ms(Milliseconds(answer.lease));
  reply.set_epoch(answer.epoch);
  reply.set_stop(answer.stop);
  reply.set_reason(answer.reason);
  if (answer.roster.has_value()) *reply.mutable_roster() = ToProto(*answer.roster);
  reply.set_retire(answer.retire);
  return reply;
}

LeaveEvent FromProto(const v1::LeaveRequest& request) {
  LeaveEvent event;
  event.pushes = FromProto(request.pushes());
  event.sessions = FromProto(request.sessions());
  event.payload = FromProto(request.payload());
  event.values = ValuesOf(request);
  event.step = request.step();
  event.steps = request.steps();
  return event;
}

v1::ReportLossReply ToProto(const LossAnswer& answer) {
  v1::ReportLossReply reply;
  reply.set_replace(answer.replace);
  reply.set_delay_ms(Milliseconds(answer.delay));
  reply.set_restarts(answer.restarts);
  reply.set_inherited(answer.inherited);
  return reply;
}

LossAnswer FromProto(const v1::ReportLossReply& reply) {
  return {reply.replace(), absl::Milliseconds(reply.delay_ms()), reply.restarts(),
          reply.inherited()};
}

v1::ScaleReply ToProto(const ScaleAnswer& answer) {
  v1::ScaleReply reply;
  reply.set_from(answer.from);
  reply.set_to(answer.to);
  for (uint32_t rank : answer.added) reply.add_added(rank);
  for (uint32_t rank : answer.retired) reply.add_retired(rank);
  return reply;
}

v1::GetStatusReply ToProto(const JobStatus& status) {
  v1::GetStatusReply reply;
  reply.set_job_id(Bytes(status.job_id));
  reply.set_epoch(status.epoch);
  *reply.mutable_settings() = ToProto(status.settings);
  for (const MemberStatus& member : status.members) *reply.add_members() = ToProto(member);
  reply.set_layout_ready(status.layout_ready);
  reply.set_finished(status.finished);
  reply.set_failure(status.failure);
  reply.set_step(status.step);
  reply.set_steps(status.steps);
  reply.set_stopping(status.stopping);
  reply.set_workers(status.workers);
  for (const ScaleEvent& event : status.scaled) {
    v1::ScaleEvent* out = reply.add_scaled();
    out->set_step(event.step);
    out->set_from(event.from);
    out->set_to(event.to);
  }
  if (status.layout_ready) *reply.mutable_layout() = ToProto(status.layout);
  return reply;
}

absl::StatusOr<JobStatus> FromProto(const v1::GetStatusReply& reply) {
  JobStatus status;
  if (reply.job_id().size() != status.job_id.size()) {
    return absl::InvalidArgumentError(
        absl::StrCat("a job id has 16 bytes, this one ", reply.job_id().size()));
  }
  memcpy(status.job_id.data(), reply.job_id().data(), status.job_id.size());
  status.epoch = reply.epoch();
  status.settings = FromProto(reply.settings());
  for (const v1::MemberStatus& member : reply.members())
    status.members.push_back(FromProto(member));
  status.layout_ready = reply.layout_ready();
  status.finished = reply.finished();
  status.failure = reply.failure();
  status.step = reply.step();
  status.steps = reply.steps();
  status.stopping = reply.stopping();
  status.workers = reply.workers();
  for (const v1::ScaleEvent& event : reply.scaled())
    status.scaled.push_back({event.step(), event.from(), event.to()});
  if (!reply.layout_ready()) return status;
  absl::StatusOr<Layout> layout = LayoutFromProto(reply.layout());
  if (!layout.ok()) return layout.status();
  status.layout = *std::move(layout);
  return status;
}

}  // namespace weir
