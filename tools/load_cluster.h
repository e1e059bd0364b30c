// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_TOOLS_LOAD_CLUSTER_H_
#define WEIR_TOOLS_LOAD_CLUSTER_H_

#include <signal.h>
#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "launcher/agent_protocol.h"
#include "launcher/plan.h"
#include "launcher/process_end.h"
#include "launcher/topology.h"
#include "tools/kernel_counters.h"

namespace weir {

// Where one process of a load test runs, beyond what the topology says.
struct ProcessSeat {
  // Words before its command, which must end in exec, so that the process keeps its id:
  // {"ip", "netns", "exec", "host3"}, {"taskset", "-c", "0"}.
  std::vector<std::string> prefix;
  std::string host;  // where a coordinator or server listens; empty: 127.0.0.1
};

// What a load test starts.
struct ClusterSpec {
  Topology topology;        // parsed; workers.program is what each worker runs
  std::string program_dir;  // where weir-ps and the others lie
  std::string run_dir;      // exists; for logs, the token, the topology and the workers' reports
  std::string connect;     // host:port of a coordinator that runs already: only workers are started
  std::string token_file;  // of that job; empty: it has none
  // The command of one process in place of coordinator and servers, which says where it listens as
  // a coordinator does; workers find that in WEIR_COORDINATOR. Empty: none.
  std::vector<std::string> peer;
  std::vector<std::pair<std::string, std::string>> env;  // of every process, beside the usual
  bool workers_only = false;                             // neither that nor coordinator and servers
  std::function<ProcessSeat(const PlannedProcess&)> seat;  // none: everything on this host
  // Processes, one in each other network namespace that the seats name.
  std::vector<pid_t> namespaces;
  absl::Duration limit = absl::Minutes(30);  // of all of it, then it is ended
};

// What the kernel counted for one process while the load that counts ran: between the marks
// kLoadBegins and kLoadEnds of worker 0. Peaks are of all its life until then.
struct ProcessUsage {
  std::string name;  // "ps-0", "worker-2"
  ProcessRole role = ProcessRole::kCoordinator;
  double cpu_seconds = 0;
  uint64_t peak_rss_bytes = 0;        // at kLoadEnds
  uint64_t early_peak_rss_bytes = 0;  // at kLoadMemory; 0: there was none
};

// Keeps SIGINT, SIGTERM, SIGHUP and SIGCHLD from this thread, for LoadCluster to read, as long as
// it lives.
class BlockedSignals {
 public:
  BlockedSignals();
  ~BlockedSignals();
  BlockedSignals(const BlockedSignals&) = delete;
  BlockedSignals& operator=(const BlockedSignals&) = delete;

  const sigset_t& set() const { return set_; }

 private:
  sigset_t set_, before_;
};

// What worker 0 writes to its standard output, each on a line.
constexpr char kLoadBegins[] = "weir-load begins";
constexpr char kLoadMemory[] = "weir-load memory";
constexpr char kLoadEnds[] = "weir-load ends";

// The processes of one run of a load test: coordinator, servers and workers, started straight from
// a topology's plan (no agent), watched, and ended. Nothing that it started is left when Run
// returns.
//
// One thread, which lives as long as the processes and has no other thread beside it while Run
// starts them. Forks.
class LoadCluster {
 public:
  explicit LoadCluster(ClusterSpec spec);
  ~LoadCluster();

  LoadCluster(const LoadCluster&) = delete;
  LoadCluster& operator=(const LoadCluster&) = delete;

  // Runs the workers to their end, and reads signals meanwhile.
  //
  // CANCELLED: a signal ended it; `signal()` says which. INTERNAL: a process ended otherwise than
  // it should; names it, with the last lines of its log. DEADLINE_EXCEEDED: the limit. Else what
  // the system said when a process was started. UNIMPLEMENTED: the topology places a process on
  // another host.
  absl::Status Run(const BlockedSignals& signals);

  int signal() const { return signal_; }

  // After Run: the TCP connections that were opened from before its first process started until all
  // workers had ended, in this process's network namespace and in those of `spec.namespaces`.
  const TcpCounts& opened() const { return opened_; }

  // After Run: one for each server and worker, in the order of the plan.
  const std::vector<ProcessUsage>& usage() const { return usage_; }

 private:
  struct Process {
    PlannedProcess planned;
    pid_t pid = 0;
    std::optional<ProcessEnd> end;
    double cpu_at_begin = 0;
    ProcessUsage usage;
  };

  absl::Status Start();
  absl::Status StartPeer();
  absl::Status StartOne(const PlannedProcess& planned);
  absl::Status Spawn(const PlannedProcess& planned, const AgentCommand& command, bool says_ready);
  absl::Status AwaitReady(Process* first, int ready_fd);
  bool StartsServers() const;
  absl::Status Loop();
  absl::Status TakeEvents();
  absl::Status Reap();
  void TakeMarks();
  void Mark(const std::string& line);
  bool WorkersEnded() const;
  void EndAll(absl::Duration grace);
  std::string LogPath(const PlannedProcess& planned) const;

  const ClusterSpec spec_;
  std::string coordinator_;  // or peer: where it listens
  std::vector<Process> processes_;
  std::vector<ProcessUsage> usage_;
  TcpCounts opened_;
  std::string marks_;  // an unfinished line
  int marks_fds_[2] = {-1, -1};
  int signals_fd_ = -1;
  int signal_ = 0;
  absl::Time deadline_;
};

}  // namespace weir

#endif  // WEIR_TOOLS_LOAD_CLUSTER_H_
