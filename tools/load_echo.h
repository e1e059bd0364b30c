// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_TOOLS_LOAD_ECHO_H_
#define WEIR_TOOLS_LOAD_ECHO_H_

#include <string>

#include "absl/status/statusor.h"
#include "tools/load_options.h"
#include "tools/load_report.h"
#include "tools/load_worker.h"

namespace weir {

// The bytes of slices that --mode=net and --mode=echo have on their way at most, as the credits of
// a session would.
inline constexpr uint64_t kEchoWindowBytes = uint64_t{64} << 20;

// The worker's end of --mode=net and --mode=echo, against a LoadPeer (load_peer.h) at `address`:
// every step sends each slice of the model, borrowed from where its gradient lies, gets the same
// bytes back, copies them to memory of the caller's, as the delivery of a pull does, and compares
// them, inside the clock. One stream; the loop's thread receives, the calling thread compares.
//
//   net    gRPC messages that hold a slice's bytes and nothing else, one a slice.
//   echo   push-pull frames over a SessionClient.
//
// UNAVAILABLE: the stream broke. INVALID_ARGUMENT: not one of the two modes.
absl::StatusOr<LoadReport> RunLoadEcho(const LoadOptions& options, const std::string& address,
                                       const LoadMarks& marks);

}  // namespace weir

#endif  // WEIR_TOOLS_LOAD_ECHO_H_
