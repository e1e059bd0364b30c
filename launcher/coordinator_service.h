// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_LAUNCHER_COORDINATOR_SERVICE_H_
#define WEIR_LAUNCHER_COORDINATOR_SERVICE_H_

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "launcher/membership.h"

namespace grpc {
class Service;
}

namespace weir {

// The Coordinator service over a Membership: each call is one event of it; calls that wait are
// answered by whichever event ends them, and hold no thread.
//
// One lock guards the membership; gRPC is never called under it. One thread of its own sees to
// leases and waits that run out. Life: service() to a ServerHost; ServerHost::Shutdown first, then
// this may go.
class CoordinatorService {
 public:
  // `clock`: for tests; not set: SteadyNow.
  explicit CoordinatorService(Membership::Options options,
                              std::function<absl::Time()> clock = nullptr);
  // REQUIRES: the server that serves service() has been shut down.
  ~CoordinatorService();
  CoordinatorService(const CoordinatorService&) = delete;
  CoordinatorService& operator=(const CoordinatorService&) = delete;

  // The gRPC service, owned by this object.
  grpc::Service* service();

  // What GetStatus tells, of this process.
  JobStatus Status();
  // As Membership::TakeWarnings.
  std::vector<std::string> TakeWarnings();
  // Tells all members to stop.
  void Stop(absl::string_view reason);
  // Waits until the job is over (finished, failed or told to stop) and every member has left or is
  // lost; false at `deadline`.
  bool AwaitEnd(absl::Duration limit);

 private:
  class Core;
  std::unique_ptr<Core> core_;
};

// host:port with the host filled in from `peer`, as gRPC names a connection ("ipv4:10.0.0.1:555",
// "ipv6:%5B::1%5D:555", "unix:..."), when `address` is only ":port"; else `address`.
std::string CompleteAddress(absl::string_view address, absl::string_view peer);

}  // namespace weir

#endif  // WEIR_LAUNCHER_COORDINATOR_SERVICE_H_
