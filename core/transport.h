// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_CORE_TRANSPORT_H_
#define WEIR_CORE_TRANSPORT_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "core/layout.h"

namespace weir {

// What carries the frames between a client and a shard. The numbers are those of weir.v1.Transport.
enum class Transport : uint8_t { kAuto = 1, kTcp = 2, kUds = 3, kShm = 4 };

const char* TransportName(Transport transport);  // "auto", "tcp", "uds", "shm"
// INVALID_ARGUMENT: no such name.
absl::StatusOr<Transport> TransportOf(absl::string_view name);
// A number from the wire; 0: auto. UNIMPLEMENTED: not known to this build.
absl::StatusOr<Transport> TransportOf(uint32_t number);

// One way to a shard.
struct Route {
  Transport transport = Transport::kTcp;  // kTcp or kUds
  std::string address;                    // as net/channel.h takes it

  bool operator==(const Route& o) const { return transport == o.transport && address == o.address; }
};

// The ways to reach a shard, never empty, the best first, for a client of the host `host_key`:
//   tcp   its address;
//   uds   its Unix socket. INVALID_ARGUMENT: it has none, or is on another host; both are named;
//   shm   as uds: shared memory is agreed on within a session over the socket;
//   auto  its socket where there is one on the same host, then its address, which still serves when
//         the socket's directory is gone.
absl::StatusOr<std::vector<Route>> PickRoutes(const ShardAddress& shard, Transport wanted,
                                              const std::string& host_key);

}  // namespace weir

#endif  // WEIR_CORE_TRANSPORT_H_
