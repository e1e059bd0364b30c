// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_NET_CHANNEL_H_
#define WEIR_NET_CHANNEL_H_

#include <memory>
#include <string>

#include "absl/time/time.h"

namespace grpc {
class Channel;
}

namespace weir {

// The largest message of the control plane, on both sides: a declaration or a layout. Frames keep
// to FrameLimits.
constexpr int kMaxControlMessageBytes = 64 << 20;

// How far a receiver lets its peer go ahead of what it has read, on a connection that carries
// payloads. Fixed: gRPC's own probing of the bandwidth makes buffers come and go, and with them the
// pages of memory, at half of the throughput. (Measured: docs/performance.md.)
constexpr int kPayloadLookaheadBytes = 8 << 20;

// How a connection to a Weir process is made.
struct ChannelOptions {
  absl::Duration keepalive_interval =
      absl::Seconds(10);  // a peer that is silent for this long is asked
  absl::Duration keepalive_timeout =
      absl::Seconds(10);  // and given up when it does not answer for this long
  absl::Duration connect_timeout = absl::Seconds(5);
  absl::Duration max_reconnect_delay = absl::Seconds(1);
  int max_message_bytes = 4 << 20;  // either way
  bool carries_payloads = false;    // a session's: kPayloadLookaheadBytes
};

// A channel of its own to `address`, host:port or unix:PATH: one connection that no other channel
// shares, so that the lanes of a session and liveness do not wait for one another. TCP connects
// when first used, without proxies; a Unix socket at once, and when that connection is lost the
// channel is of no use any more. Never null; a bad address shows as UNAVAILABLE in the first call.
// Drop the last reference on a thread of your own, never within a callback of gRPC's.
std::shared_ptr<grpc::Channel> MakeChannel(const std::string& address,
                                           const ChannelOptions& options = {});

}  // namespace weir

#endif  // WEIR_NET_CHANNEL_H_
