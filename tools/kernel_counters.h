// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_TOOLS_KERNEL_COUNTERS_H_
#define WEIR_TOOLS_KERNEL_COUNTERS_H_

#include <sys/types.h>

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace weir {

// TCP connections as the kernel counts them, on both sides, for everything in one network
// namespace since it was made.
struct TcpCounts {
  uint64_t active_opens = 0;   // connect() calls that sent a SYN
  uint64_t passive_opens = 0;  // connections that listeners took
  uint64_t retransmitted = 0;  // segments sent again
  bool operator==(const TcpCounts& o) const {
    return active_opens == o.active_opens && passive_opens == o.passive_opens &&
           retransmitted == o.retransmitted;
  }
};

// What happened between two readings.
TcpCounts Since(const TcpCounts& before, const TcpCounts& after);

// The counts in the text of /proc/net/snmp. DATA_LOSS: it has no Tcp lines, or not these columns.
absl::StatusOr<TcpCounts> ParseTcpCounts(absl::string_view snmp);

// The counts of the network namespace that the calling thread is in. What the file system said.
absl::StatusOr<TcpCounts> ReadTcpCounts();

// The same of this process's network namespace and of those of `others`, added: a connection from
// one to another counts once as opened and once as taken. NOT_FOUND: one of them is gone.
absl::StatusOr<TcpCounts> ReadTcpCountsOf(const std::vector<pid_t>& others);

// Whose connections ReadTcpCounts counts. Kernels count by network namespace, not by process: where
// a load test may not have one of its own (tools/private_network.h), what it counts is at least its
// own connections, and the reuse that follows is at most too low.
enum class NetworkScope {
  kPrivate,  // the load test's alone
  kShared,   // those of everything that runs on this machine meanwhile
};
const char* NetworkScopeName(NetworkScope scope);  // "private", "shared"

// 1 - connections opened / exchanges, at least 0. Opened: the larger of the two sides' counts. An
// exchange is a request and its answer. 0 exchanges: 0. Connections that are not TCP's (a Unix
// socket to a server on the same machine) are not counted.
double ConnectionReuse(const TcpCounts& opened, uint64_t exchanges);

}  // namespace weir

#endif  // WEIR_TOOLS_KERNEL_COUNTERS_H_
