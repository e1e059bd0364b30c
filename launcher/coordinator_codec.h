// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_LAUNCHER_COORDINATOR_CODEC_H_
#define WEIR_LAUNCHER_COORDINATOR_CODEC_H_

#include "absl/status/statusor.h"
#include "launcher/member.h"
#include "weir/v1/coordinator.pb.h"

namespace weir {

// The values of launcher/member.h to and from the messages of the Coordinator service; the only
// place that does it. Pure functions. Values that this build does not know keep their numbers, for
// the logic to refuse.

JobKey FromProto(const v1::JobKey& job);
v1::JobKey ToProto(const JobKey& job);

PushCounts FromProto(const v1::PushTotals& totals);
v1::PushTotals ToProto(const PushCounts& counts);

SessionCounts FromProto(const v1::SessionTotals& totals);
v1::SessionTotals ToProto(const SessionCounts& counts);
PayloadCounts FromProto(const v1::PayloadTotals& totals);
v1::PayloadTotals ToProto(const PayloadCounts& counts);

JobSettings FromProto(const v1::JobSettings& settings);
v1::JobSettings ToProto(const JobSettings& settings);

Roster FromProto(const v1::Roster& roster);
v1::Roster ToProto(const Roster& roster);

JoinEvent FromProto(const v1::JoinRequest& request);
v1::JoinReply ToProto(const JoinAnswer& answer);

HeartbeatEvent FromProto(const v1::HeartbeatRequest& request);
v1::HeartbeatReply ToProto(const HeartbeatAnswer& answer);

LeaveEvent FromProto(const v1::LeaveRequest& request);

LossAnswer FromProto(const v1::ReportLossReply& reply);
v1::ReportLossReply ToProto(const LossAnswer& answer);

v1::ScaleReply ToProto(const ScaleAnswer& answer);

v1::GetStatusReply ToProto(const JobStatus& status);
// INVALID_ARGUMENT: a job id that is not 16 bytes, or a layout that does not hold together.
absl::StatusOr<JobStatus> FromProto(const v1::GetStatusReply& reply);

// The caller that a request names: its fields role, rank and incarnation.
template <typename Request>
MemberId CallerOf(const Request& request) {
  return {static_cast<MemberRole>(request.role()), request.rank(), request.incarnation()};
}

}  // namespace weir

#endif  // WEIR_LAUNCHER_COORDINATOR_CODEC_H_
