// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_TOOLS_REST_CONNECTION_H_
#define WEIR_TOOLS_REST_CONNECTION_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "tools/rest_body.h"
#include "tools/rest_http.h"

namespace weir {

// One end of a kept HTTP/1.1 connection over TCP, blocking. Head and body leave in one sendmsg,
// without Nagle's delay; a body is received straight into its buffer. Not thread-safe.
class RestConnection {
 public:
  // Connects to a port of this machine. UNAVAILABLE: refused.
  static absl::StatusOr<std::unique_ptr<RestConnection>> Connect(int port);
  // Takes over a connected socket.
  explicit RestConnection(int fd);
  ~RestConnection();

  RestConnection(const RestConnection&) = delete;
  RestConnection& operator=(const RestConnection&) = delete;

  // Sends a whole message. UNAVAILABLE: the other side is gone.
  absl::Status Send(absl::string_view head, absl::string_view body);

  // Waits for the first byte of the next message, without taking it. False: the other side has
  // closed or is gone.
  bool AwaitMessage();

  // Receives a whole message: its head, unparsed, and its body. OUT_OF_RANGE: the other side has
  // closed between two messages. UNAVAILABLE: it is gone in the middle of one. Those of
  // ParseHttpRequest and ParseHttpReply; INVALID_ARGUMENT: more came than the message's length.
  absl::StatusOr<HttpHead> ReceiveRequest(RestBuffer* body);
  absl::StatusOr<HttpHead> ReceiveReply(RestBuffer* body);

 private:
  absl::StatusOr<size_t> ReceiveHead();
  absl::StatusOr<HttpHead> Receive(absl::StatusOr<HttpHead> (*parse)(absl::string_view),
                                   RestBuffer* body);

  const int fd_;
  char head_[kMaxHttpHeadBytes];  // the head, and what of the body came with it
  size_t received_ = 0;           // bytes in head_
};

// A listening socket on a free port of the loopback device.
struct RestListener {
  int fd = -1;
  int port = 0;
};
absl::StatusOr<RestListener> ListenOnLoopback();

}  // namespace weir

#endif  // WEIR_TOOLS_REST_CONNECTION_H_
