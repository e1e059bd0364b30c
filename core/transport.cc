// SPDX-License-Identifier: Apache-2.0
#include "core/transport.h"

#include "absl/status/status.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "core/host_key.h"

namespace weir {
namespace {

constexpr Transport kTransports[] = {Transport::kAuto, Transport::kTcp, Transport::kUds,
                                     Transport::kShm};

}  // namespace

const char* TransportName(Transport transport) {
  switch (transport) {
    case Transport::kAuto:
      return "auto";
    case Transport::kTcp:
      return "tcp";
    case Transport::kUds:
      return "uds";
    case Transport::kShm:
      return "shm";
  }
  return "unknown";
}

absl::StatusOr<Transport> TransportOf(absl::string_view name) {
  for (const Transport transport : kTransports) {
    if (name == TransportName(transport)) return transport;
  }
  return absl::InvalidArgumentError(
      absl::StrCat("a transport is auto, tcp, uds or shm, not '", absl::CHexEscape(name), "'"));
}

absl::StatusOr<Transport> TransportOf(uint32_t number) {
  if (number == 0) return Transport::kAuto;
  for (const Transport transport : kTransports) {
    if (number == static_cast<uint32_t>(transport)) return transport;
  }
  return absl::UnimplementedError(
      absl::StrCat("the job's transport ", number, " is not known to this build"));
}

absl::StatusOr<std::vector<Route>> PickRoutes(const ShardAddress& shard, Transport wanted,
                                              const std::string& host_key) {
  const bool same_host = SameHost(shard.host_key, host_key);
  const Route tcp{Transport::kTcp, shard.address};
  const Route uds{Transport::kUds, absl::StrCat("unix:", shard.uds_path)};
  const bool has_socket = same_host && !shard.uds_path.empty();
  if (wanted == Transport::kTcp || (wanted == Transport::kAuto && !has_socket)) return {{tcp}};
  if (wanted == Transport::kAuto) return {{uds, tcp}};
  if (has_socket) return {{uds}};
  if (same_host) {
    return absl::InvalidArgumentError(absl::StrCat("the transport is ", TransportName(wanted),
                                                   ", and the server at ", shard.address,
                                                   " has no Unix socket: its log says why"));
  }
  return absl::InvalidArgumentError(absl::StrCat(
      "the transport is ", TransportName(wanted), ", which is for one host, and the server at ",
      shard.address, " is on another (", HostDifference(host_key, shard.host_key), "): '",
      shard.host_key, "' there, '", host_key, "' here; use auto or tcp"));
}

}  // namespace weir
