// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_LAUNCHER_SERVER_PROCESS_H_
#define WEIR_LAUNCHER_SERVER_PROCESS_H_

#include <signal.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "core/roster.h"
#include "net/coordinator_client.h"
#include "net/server_host.h"
#include "net/session_host.h"
#include "net/shm_host.h"
#include "net/shm_runtime.h"
#include "net/socket_directory.h"
#include "ps/host_outlet.h"
#include "ps/shard_server.h"

namespace weir {

// What weir-ps does: hosts the shards that the coordinator gives it, from the moment it joins until
// it is told to stop.
//
// One thread, the caller's, talks to the coordinator and tells the shards until when their lease
// lasts; sessions and shards have threads of their own. Nothing is acknowledged after the lease:
// the shards see to that, with each event, and the process ends.
class ServerProcess {
 public:
  struct Options {
    std::string coordinator;  // host:port; "": the one among `services`
    std::string job_token;
    std::optional<uint32_t> rank;
    std::string host = "127.0.0.1";  // to listen on
    int port = 0;
    std::string advertise;  // host:port that the workers are told; "": where it listens, or what
                            // the coordinator sees
    // Where to make the directory of a Unix socket, for workers on this host; empty: no socket.
    std::vector<std::string> socket_bases;
    std::string host_key;                  // of this process; see core/host_key.h
    std::string host_name;                 // for people
    std::optional<int> job_threads;        // of each shard, as was asked for; else JobThreadsFor
    std::optional<absl::Duration> spin;    // what was asked for, at most kMaxSpin; see SpinTime
    std::vector<grpc::Service*> services;  // to be served beside; borrowed
    absl::Duration join_limit = absl::Minutes(1);
  };

  explicit ServerProcess(Options options);
  ~ServerProcess();

  // Listens, on TCP and, where it can, on a Unix socket of its own; takes away what killed servers
  // have left of theirs. Statuses of ServerHost::Start; INVALID_ARGUMENT: it would tell remote
  // workers an address of this machine only.
  absl::Status Listen();
  const std::string& address() const { return server_->address(); }

  // Joins, serves, leaves; `signals` are blocked, and one of them ends it in order. OK: it has
  // left. UNAVAILABLE: the coordinator was not reached, or the lease is over.
  // FAILED_PRECONDITION: the job's transport needs the socket, and there is none; this and others:
  // the coordinator's, or the topology's.
  absl::Status Serve(const sigset_t& signals);

 private:
  void MakeSockets();
  absl::Status OpenShm();
  std::string AdvertisedAddress() const;
  absl::Status SettleTransport();
  absl::Status Join(const sigset_t& signals);
  int JobThreads() const;
  absl::Status MakeShards();
  absl::Status AskForLayout();
  absl::Status Heartbeat(absl::Duration limit, bool* stop);
  absl::Status Leave();
  absl::Time LeaseEnd(absl::Time sent, uint64_t lease_ms) const;
  void TellShardsOfLease();
  void TellShards(const Roster& roster);
  absl::Status LeaseIsOver(absl::string_view why);
  bool Serving();
  absl::Status CheckShards();
  v1::PushTotals Totals();
  v1::SessionTotals Sessions();
  v1::PayloadTotals Payloads();
  uint64_t Step();
  template <typename Request>
  Request Named() const;

  const Options options_;
  std::unique_ptr<CoordinatorClient> coordinator_;
  v1::JoinReply joined_;
  absl::Time lease_end_ = absl::InfiniteFuture();  // from the first join
  uint64_t roster_generation_ = 0;                 // of the one that the shards know
  bool installed_ = false;
  std::string no_socket_;        // why there is none
  bool shares_weights_ = false;  // the job's transport may be shared memory
  // Destroyed from the last to the first: the listener, the sessions, the shards that handle them.
  std::unique_ptr<HostOutlet> outlet_;
  std::vector<std::unique_ptr<ShardServer>> shards_;
  std::unique_ptr<SessionHost> sessions_;
  std::unique_ptr<ShmRuntime> shm_;           // null: none
  std::unique_ptr<ShmHost> shm_host_;         // the same
  std::unique_ptr<SocketDirectory> sockets_;  // null: none
  std::unique_ptr<ServerHost> server_;
};

}  // namespace weir

#endif  // WEIR_LAUNCHER_SERVER_PROCESS_H_
