// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_TOOLS_ROOFLINE_SOCKETS_H_
#define WEIR_TOOLS_ROOFLINE_SOCKETS_H_

#include <cstdint>

#include "absl/status/statusor.h"

namespace weir {

enum class SocketKind { kTcp, kUnix };

// How the two ends of one connection move bytes.
enum class StreamForm {
  kOneWay,       // a thread sends, a thread receives
  kFourThreads,  // both ways at once: at each end a thread sends and a thread receives
  kTwoThreads,   // both ways at once: one thread an end does both, whatever is ready
};

struct StreamOptions {
  SocketKind kind = SocketKind::kTcp;
  StreamForm form = StreamForm::kOneWay;
  uint64_t bytes = 0;         // each way
  uint64_t buffer_bytes = 0;  // walked through by each end, in writes and reads of 1 MiB
  bool apart = false;         // kTwoThreads: each kept to a core of its own
};

struct StreamSpeed {
  double mb_s = 0;          // 10^6 bytes, both ways together
  double cpu_s_per_gb = 0;  // of both ends
};

// Moves the bytes over a loopback connection of the kernel's, without delay and with its default
// buffers. UNAVAILABLE: a socket could not be had or broke; the message says which call.
absl::StatusOr<StreamSpeed> MeasureStream(const StreamOptions& options);

// The median round trip of one byte, in us, between two threads kept to these cores (-1: any).
absl::StatusOr<double> MeasureRoundTrip(SocketKind kind, int count, int first_core,
                                        int second_core);

}  // namespace weir

#endif  // WEIR_TOOLS_ROOFLINE_SOCKETS_H_
