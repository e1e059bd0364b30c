// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_NET_SOCKET_LISTENER_H_
#define WEIR_NET_SOCKET_LISTENER_H_

#include <functional>
#include <memory>
#include <string>
#include <thread>

#include "absl/status/statusor.h"

namespace weir {

// Listens on a Unix socket and hands on what connects, when it is of the same user.
//
// Why not gRPC's own listener: the kernel gives a Unix socket a send buffer of some 200 KiB, which
// a megabyte of payload goes through in many small pieces, a change of threads each. Whoever makes
// the socket can ask for more. (Measured: docs/performance.md.)
//
// One thread, "weir-accept", which sleeps until something connects. Self-synchronised.
class SocketListener {
 public:
  // Called on the thread with a connected, non-blocking socket, to own.
  using Accepted = std::function<void(int fd)>;

  // UNAVAILABLE: nothing can be bound at `path`; the message says why.
  static absl::StatusOr<std::unique_ptr<SocketListener>> Start(const std::string& path,
                                                               Accepted accepted);
  // Stops listening and waits for the thread. The file stays.
  ~SocketListener();
  SocketListener(const SocketListener&) = delete;
  SocketListener& operator=(const SocketListener&) = delete;

 private:
  SocketListener(int listener, int stop, Accepted accepted);
  void Run();

  const int listener_;
  const int stop_;  // an eventfd
  const Accepted accepted_;
  std::thread thread_;  // joined by the destructor
};

// A non-blocking socket connected to `path`, to own. UNAVAILABLE: nobody listens there, or not just
// now.
absl::StatusOr<int> ConnectSocket(const std::string& path);

}  // namespace weir

#endif  // WEIR_NET_SOCKET_LISTENER_H_
