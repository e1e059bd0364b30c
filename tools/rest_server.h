// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_TOOLS_REST_SERVER_H_
#define WEIR_TOOLS_REST_SERVER_H_

#include <cstdint>
#include <list>
#include <memory>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "tools/rest_body.h"
#include "tools/rest_connection.h"
#include "tools/rest_store.h"

namespace weir {

// The HTTP/1.1 server of the REST comparison. A benchmark's other side, not a part of Weir: it
// listens on loopback alone and has no authentication.
//
//   GET  /v1/tensors/NAME  -> {"version": N, "values": V}
//   POST /v1/tensors/NAME  <- {"version": N, "values": gradient}: applied; answered as GET is, with
//                             what it became: push and pull in one exchange, as Weir does it
//
// Connections are kept and each has a thread of its own, which receives a request, works on it and
// answers it; nothing is handed from thread to thread. A request holds its body until that is read,
// its gradient until that is applied, and its answer until that is sent; the memory then serves the
// next request, whoever's it is. A blocking server of ours
// rather than an HTTP library: civetweb's connections wait in a queue for a fixed set of threads
// and its bodies pass through a buffer of 16 KiB, and the comparison shall not be won by either.
class RestServer {
 public:
  static constexpr int kMaxConnections = 4096;

  // Serves `store`, which outlives it. UNAVAILABLE: no socket.
  static absl::StatusOr<std::unique_ptr<RestServer>> Start(RestForm form, RestStore* store);

  // Cuts all connections and joins all threads.
  ~RestServer();

  int port() const { return listener_.port; }

  // Frees the memory that is kept for the next requests. REQUIRES: none is under way.
  void FreeMemory();

 private:
  class Exchange;
  struct Connection {
    int fd = -1;
    std::thread thread;
  };

  RestServer(RestForm form, RestStore* store, const RestListener& listener);
  void Accept();
  void Serve(int fd);
  bool ServeOne(RestConnection* connection);
  std::unique_ptr<Exchange> TakeExchange();

  const RestForm form_;
  RestStore* const store_;
  const RestListener listener_;
  RestMemory memory_;
  absl::Mutex mu_;
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
  std::list<Connection> connections_ ABSL_GUARDED_BY(mu_);  // until the end: a run has few
  std::vector<std::unique_ptr<Exchange>> idle_ ABSL_GUARDED_BY(mu_);  // the warmest at the end
  std::thread acceptor_;
};

}  // namespace weir

#endif  // WEIR_TOOLS_REST_SERVER_H_
