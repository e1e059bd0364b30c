// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_NET_COORDINATOR_CLIENT_H_
#define WEIR_NET_COORDINATOR_CLIENT_H_

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "weir/v1/coordinator.pb.h"

namespace weir {

// Blocking calls of weir.v1.Coordinator, on a connection of its own. Threads: any, several calls at
// once.
//
// Every call waits at most `timeout`: DEADLINE_EXCEEDED, and it may have happened. UNAVAILABLE: the
// coordinator cannot be reached (the sentence names its address); every call may be made again,
// Join too: a place taken by the same process that did not hear the answer runs out with its lease.
// CANCELLED: Cancel was called. Other codes are the coordinator's, with its sentence.
class CoordinatorClient {
 public:
  // `address` is host:port. Connects with the first call.
  explicit CoordinatorClient(const std::string& address);
  // REQUIRES: no call runs.
  ~CoordinatorClient();
  CoordinatorClient(const CoordinatorClient&) = delete;
  CoordinatorClient& operator=(const CoordinatorClient&) = delete;

  absl::StatusOr<v1::JoinReply> Join(const v1::JoinRequest& request, absl::Duration timeout);
  absl::StatusOr<v1::DeclareReply> Declare(const v1::DeclareRequest& request,
                                           absl::Duration timeout);
  // `timeout` should exceed request.wait_ms.
  absl::StatusOr<v1::GetLayoutReply> GetLayout(const v1::GetLayoutRequest& request,
                                               absl::Duration timeout);
  absl::StatusOr<v1::HeartbeatReply> Heartbeat(const v1::HeartbeatRequest& request,
                                               absl::Duration timeout);
  absl::Status Leave(const v1::LeaveRequest& request, absl::Duration timeout);
  absl::StatusOr<v1::GetStatusReply> GetStatus(const v1::GetStatusRequest& request,
                                               absl::Duration timeout);
  absl::Status Stop(const v1::StopRequest& request, absl::Duration timeout);
  absl::StatusOr<v1::ScaleReply> Scale(const v1::ScaleRequest& request, absl::Duration timeout);
  absl::StatusOr<v1::ReportLossReply> ReportLoss(const v1::ReportLossRequest& request,
                                                 absl::Duration timeout);

  // Waits until there is a connection, at most `limit`; whether there is. What to do between two
  // tries at a coordinator that does not answer: in a process that only sleeps, gRPC notices the
  // end of a connection attempt no sooner than every 5 s.
  bool AwaitConnected(absl::Duration limit);

  // Ends the calls in flight, and those made from now on, with CANCELLED.
  void Cancel();

  const std::string& address() const;

 private:
  class Core;
  std::unique_ptr<Core> core_;
};

}  // namespace weir

#endif  // WEIR_NET_COORDINATOR_CLIENT_H_
