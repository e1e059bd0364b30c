// SPDX-License-Identifier: Apache-2.0
#include "net/channel.h"

#include <grpcpp/channel.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/create_channel_posix.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/support/channel_arguments.h>

#include <algorithm>

#include "absl/strings/match.h"
#include "net/socket_listener.h"

namespace weir {
namespace {

constexpr char kUnixPrefix[] = "unix:";

int Milliseconds(absl::Duration duration) {
  return static_cast<int>(std::min<int64_t>(absl::ToInt64Milliseconds(duration), 1 << 30));
}

// gRPC 1.51 destroys its event engine with the last channel of the process, and makes a new one for
// the next. Its destructor races with its own timer threads (a crash, seen once in about fifty runs
// on a busy machine) and, when the last reference is dropped on one of its threads, waits for
// itself. An idle channel that is never destroyed keeps one engine for good.
void KeepEventEngine() {
  // Used, or the optimiser drops the pointer and LeakSanitizer finds the channel.
  [[gnu::used]] static const auto* const kept =
      new std::shared_ptr<grpc::Channel>(grpc::CreateChannel(
          "ipv4:127.0.0.1:9", grpc::InsecureChannelCredentials()));  // never connects
}

}  // namespace

std::shared_ptr<grpc::Channel> MakeChannel(const std::string& address,
                                           const ChannelOptions& options) {
  KeepEventEngine();
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  arguments.SetMaxReceiveMessageSize(options.max_message_bytes);
  arguments.SetMaxSendMessageSize(options.max_message_bytes);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, Milliseconds(options.keepalive_interval));
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, Milliseconds(options.keepalive_timeout));
  arguments.SetInt(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  arguments.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);  // no limit: the interval limits them
  if (options.carries_payloads) {
    arguments.SetInt(GRPC_ARG_HTTP2_BDP_PROBE, 0);
    arguments.SetInt(GRPC_ARG_HTTP2_STREAM_LOOKAHEAD_BYTES, kPayloadLookaheadBytes);
  }
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, Milliseconds(options.connect_timeout));
  const absl::Duration first_delay = std::min(absl::Milliseconds(100), options.max_reconnect_delay);
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, Milliseconds(first_delay));
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, Milliseconds(options.max_reconnect_delay));
  if (absl::StartsWith(address, kUnixPrefix)) {
    const absl::StatusOr<int> fd = ConnectSocket(address.substr(sizeof(kUnixPrefix) - 1));
    if (fd.ok()) return grpc::CreateCustomInsecureChannelFromFd(address, *fd, arguments);
    // gRPC tells in its first call why not.
  }
  return grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), arguments);
}

}  // namespace weir
