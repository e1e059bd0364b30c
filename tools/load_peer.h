// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_TOOLS_LOAD_PEER_H_
#define WEIR_TOOLS_LOAD_PEER_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"

namespace weir {

// The server's end of --mode=net and --mode=echo, in place of a shard.
//
//   net    answers each message of a stream with the same message, as gRPC handed it over.
//   echo   a SessionHost whose handler answers each push with its own gradient, borrowed from where
//          it was received: frames are decoded and encoded, sessions queue and batch, as before a
//          shard.
//
// Listens on `address` (port 0: a free one) with one completion loop, as a weir-ps of one shard
// does. Serves until it is destroyed.
class LoadPeer {
 public:
  virtual ~LoadPeer() = default;
  virtual const std::string& address() const = 0;
};

// INVALID_ARGUMENT: not one of the two modes. Else as ServerHost::Start.
absl::StatusOr<std::unique_ptr<LoadPeer>> StartLoadPeer(const std::string& mode,
                                                        const std::string& address);

}  // namespace weir

#endif  // WEIR_TOOLS_LOAD_PEER_H_
