// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_PS_HOST_OUTLET_H_
#define WEIR_PS_HOST_OUTLET_H_

#include <utility>

#include "net/session_host.h"
#include "ps/shard_server.h"

namespace weir {

// The outlet of production: a SessionHost, borrowed. One may serve all shards of a process.
class HostOutlet : public SessionOutlet {
 public:
  explicit HostOutlet(SessionHost* host) : host_(host) {}

  void Send(SessionId id, ServerFrame&& frame) override { host_->Send(id, std::move(frame)); }
  void Close(SessionId id, const absl::Status& status) override { host_->Close(id, status); }

 private:
  SessionHost* const host_;
};

}  // namespace weir

#endif  // WEIR_PS_HOST_OUTLET_H_
