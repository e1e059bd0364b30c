// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_TOOLS_REST_HTTP_H_
#define WEIR_TOOLS_REST_HTTP_H_

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace weir {

// The part of HTTP/1.1 (RFC 9112) that the REST comparison speaks: one request and one reply after
// the other on a connection that is kept, each with a Content-Length. Pure functions.

constexpr size_t kMaxHttpHeadBytes = 8192;
constexpr size_t kMaxHttpFields = 64;
constexpr uint64_t kMaxHttpBodyBytes = uint64_t{256} << 20;

struct HttpHead {
  std::string method;  // of a request: "GET", "POST"
  std::string target;  // of a request: "/v1/tensors/conv1.weight"
  int status = 0;      // of a reply
  uint64_t content_length = 0;
  bool keep_alive = true;  // false: the connection ends with this message
};

// Where the head ends in `bytes`: the position after its blank line, or npos while that has not
// arrived. RESOURCE_EXHAUSTED: it has not arrived within kMaxHttpHeadBytes.
absl::StatusOr<size_t> FindHttpHeadEnd(absl::string_view bytes);

// Reads a whole head, its blank line included. INVALID_ARGUMENT: not HTTP/1.1, or two lengths that
// differ; UNIMPLEMENTED: a transfer coding; RESOURCE_EXHAUSTED: more than kMaxHttpFields fields, or
// a body over kMaxHttpBodyBytes. Answer with HttpStatusOf and close.
absl::StatusOr<HttpHead> ParseHttpRequest(absl::string_view head);
absl::StatusOr<HttpHead> ParseHttpReply(absl::string_view head);

// Heads to send.
std::string HttpRequest(absl::string_view method, absl::string_view target, absl::string_view host,
                        uint64_t content_length);
std::string HttpReply(int status, uint64_t content_length, bool keep_alive);

// 200, 400, 404, 413, 501 or 500.
int HttpStatusOf(const absl::Status& status);

}  // namespace weir

#endif  // WEIR_TOOLS_REST_HTTP_H_
