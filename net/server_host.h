// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_NET_SERVER_HOST_H_
#define WEIR_NET_SERVER_HOST_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "net/socket_directory.h"

namespace grpc {
class Service;
}

namespace weir {

class QueuedService;

// A listening gRPC server with the services given to it and health checking (grpc.health.v1,
// NOT_SERVING at first). Listens on TCP, and on a Unix socket where it is given a directory for
// one. Owns the listeners and the threads; the services are borrowed and must outlive it.
// Self-synchronised.
//
// Of two kinds. A server of `services` uses gRPC's own threads and offers reflection. A server of
// `queued` services alone runs them on completion loops of its own, `queue_threads` threads called
// "weir-net-N", and nothing beside them, not even reflection, for any other thread that waits for
// gRPC would take its messages over and hand them back. With both kinds all work, at the speed of
// the first.
class ServerHost {
 public:
  struct Options {
    std::string address = "127.0.0.1:0";  // host:port or [ipv6]:port; port 0 picks a free one
    // Listens on the socket kSocketName in it too; borrowed, outlives the server. Null: on TCP
    // alone.
    const SocketDirectory* sockets = nullptr;
    bool has_token = false;           // the services ask for the job's token
    int max_message_bytes = 4 << 20;  // either way; kMaxControlMessageBytes for a coordinator
    std::vector<grpc::Service*> services;
    std::vector<QueuedService*> queued;
    int queue_threads = 1;  // with `queued`
  };

  static constexpr char kSocketName[] = "grpc";

  // FAILED_PRECONDITION: a listener off loopback without a token; a socket that is not this user's
  // alone. INVALID_ARGUMENT: the address cannot be read. UNAVAILABLE: nothing can listen there (the
  // port is taken, the address is not of this machine, the socket cannot be bound); the sentence
  // names both.
  static absl::StatusOr<std::unique_ptr<ServerHost>> Start(const Options& options);

  // Shutdown(zero).
  ~ServerHost();
  ServerHost(const ServerHost&) = delete;
  ServerHost& operator=(const ServerHost&) = delete;

  int port() const;
  // host:port where it listens; the host as given.
  const std::string& address() const;
  // The path of its Unix socket, of mode 0600; "": none.
  const std::string& socket_path() const;

  // What health checks of the whole server (the empty service name) are told.
  void SetServing(bool serving);

  // Of the completion loops; see net/spin.h.
  void SetSpin(absl::Duration spin);

  // Stops listening, gives calls in flight `grace` to end, then cancels them, and returns when they
  // have ended. A second call returns when the first has. Services must end their calls when these
  // are cancelled.
  void Shutdown(absl::Duration grace);

 private:
  class Core;
  explicit ServerHost(std::unique_ptr<Core> core);
  std::unique_ptr<Core> core_;
};

// True when `address` (host:port) listens on this machine only: localhost, 127.0.0.0/8 or ::1.
bool IsLoopback(const std::string& address);

}  // namespace weir

#endif  // WEIR_NET_SERVER_HOST_H_
