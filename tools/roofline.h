// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_TOOLS_ROOFLINE_H_
#define WEIR_TOOLS_ROOFLINE_H_

#include <cstdint>

#include "absl/status/statusor.h"
#include "absl/types/span.h"

namespace weir {

// What this machine can do at all, measured now: the limits that a load test's rows are held
// against.
struct Roofline {
  double raw_tcp_mb_s = 0;  // loopback TCP, 1 MiB writes, both ways at once, the sum of both ways
  double raw_tcp_one_way_mb_s = 0;
  double raw_rtt_us = 0;   // one byte there and back over loopback TCP, median
  double memcpy_mb_s = 0;  // one thread, bytes copied, out of cache
  double triad_mb_s =
      0;  // one thread, w = w - r * g over f32: 12 bytes moved an element, out of cache
};

// A limit by its name, which is the same in tables and --json.
struct RooflineName {
  const char* name;
  double Roofline::*value;
  int decimals;
};
absl::Span<const RooflineName> RooflineNames();

struct RooflineOptions {
  uint64_t tcp_bytes = uint64_t{256} << 20;  // each way, per repetition
  int round_trips = 5000;
  uint64_t memory_bytes = uint64_t{102} << 20;
  int repetitions = 3;  // medians are reported
};

// Takes about two seconds with the defaults. UNAVAILABLE: a loopback socket could not be had; the
// message says which call.
absl::StatusOr<Roofline> MeasureRoofline(const RooflineOptions& options);

}  // namespace weir

#endif  // WEIR_TOOLS_ROOFLINE_H_
