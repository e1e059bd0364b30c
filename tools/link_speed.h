// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_TOOLS_LINK_SPEED_H_
#define WEIR_TOOLS_LINK_SPEED_H_

#include <cstdint>

#include "absl/status/statusor.h"

namespace weir {

// What raw TCP does over one connection. MB are 10^6 bytes of payload.
struct LinkSpeed {
  double one_way_mb_s = 0;
  double both_ways_mb_s = 0;  // at once; the sum of both ways
  double round_trip_us = 0;   // one byte there and back, median
};

// Measures over the connected sockets `a` and `b`, of which this process has both: `bytes` from a
// to b, then as many each way at once, in writes of 1 MiB, then `round_trips` of a byte.
//
// Blocks. INVALID_ARGUMENT: nothing to move. UNAVAILABLE: a call failed, or the peer closed.
absl::StatusOr<LinkSpeed> MeasureLink(int a, int b, uint64_t bytes, int round_trips);

}  // namespace weir

#endif  // WEIR_TOOLS_LINK_SPEED_H_
