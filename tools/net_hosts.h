// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_TOOLS_NET_HOSTS_H_
#define WEIR_TOOLS_NET_HOSTS_H_

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace weir {

// How many hosts one load test may have: its processes and some.
constexpr uint32_t kMaxNetHosts = 160;

// Bits a second of a link as `tc` writes them: "100mbit", "2.5gbit", "800kbit". INVALID_ARGUMENT:
// not so, or not from 1mbit to 100gbit.
absl::StatusOr<uint64_t> ParseLinkRate(absl::string_view text);

// Which of `hosts` hosts the process number `process` of a cluster is on: one after the other, and
// from the first again when there are fewer hosts than processes. Workers are numbered first, then
// servers: W workers and W servers on W hosts are one of each on every host.
uint32_t HostOfProcess(uint32_t process, uint32_t hosts);

struct NetHostsOptions {
  uint32_t count = 0;
  uint64_t rate_bits = 0;  // of each link, in each direction, a second; 0: as fast as it goes
};

// Hosts on this machine, each with network and mount namespaces of its own and an address, joined
// by a bridge as by a switch. Each host's link is a veth pair; a token bucket at both of its ends
// limits what the host sends and what it gets. A switch port's memory is kQueueMs of its rate.
//
// A host lives as long as this object; the namespaces around it (RunInPrivateNetwork) take
// everything else away.
class NetHosts {
 public:
  static constexpr uint64_t kQueueMs = 20;

  // REQUIRES: inside RunInPrivateNetwork, and no other thread. INVALID_ARGUMENT: count is not from
  // 1 to kMaxNetHosts. UNAVAILABLE: `ip`, `tc` or `nsenter` refused; with what it said.
  static absl::StatusOr<std::unique_ptr<NetHosts>> Make(const NetHostsOptions& options);
  ~NetHosts();

  NetHosts(const NetHosts&) = delete;
  NetHosts& operator=(const NetHosts&) = delete;

  uint32_t count() const { return static_cast<uint32_t>(keepers_.size()); }
  // A process in each host, which lives as long as the host.
  const std::vector<pid_t>& keepers() const { return keepers_; }
  // "10.87.0.1" for host 0.
  static std::string address(uint32_t host);
  // What is written before a command that shall run on `host`; it ends in exec. The command begins
  // in "/": it is named, and names files, by absolute paths.
  std::vector<std::string> prefix(uint32_t host) const;

  // Two connected TCP sockets, without delay, of which the first belongs to host `a` and the second
  // to host `b`. The caller closes both. UNAVAILABLE: which call failed.
  absl::Status Connect(uint32_t a, uint32_t b, int* a_fd, int* b_fd) const;

 private:
  NetHosts() = default;
  absl::Status AddHost(const NetHostsOptions& options);

  std::vector<pid_t> keepers_;  // a process of each host that does nothing
};

}  // namespace weir

#endif  // WEIR_TOOLS_NET_HOSTS_H_
