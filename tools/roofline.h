// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_TOOLS_ROOFLINE_H_
#define WEIR_TOOLS_ROOFLINE_H_

#include <cstdint>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "tools/load_pin.h"

namespace weir {

// What this machine can do at all, measured now: the limits that a load test's rows are held
// against. "MB" are 10^6 bytes. Where there is more than one sensible way to do a thing, the limit
// is the fastest of them: both ways at once with four threads, with two, and with two
// kept apart; with buffers of one write and with buffers that do not fit the caches.
struct Roofline {
  double raw_tcp_mb_s = 0;       // loopback TCP, 1 MiB writes, both ways at once, the sum
  double raw_tcp_cold_mb_s = 0;  // the same, with large buffers only: as a model's memory is
  double raw_tcp_one_way_mb_s = 0;
  double raw_tcp_cpu_s_per_gb = 0;  // processor seconds of both ends, for raw_tcp_mb_s
  double raw_uds_mb_s = 0;          // a Unix socket, both ways at once
  double raw_rtt_us = 0;            // one byte there and back over TCP, pinned as the load is
  double raw_rtt_same_core_us = 0;  // both ends on one core
  double raw_rtt_two_cores_us = 0;  // on two
  double raw_uds_rtt_us = 0;        // over a Unix socket, pinned as the load is
  // One thread, out of cache; the better of pages of 4 KiB and of 2 MiB is the limit.
  double memcpy_mb_s = 0;
  double memcpy_huge_mb_s = 0;
  double triad_mb_s = 0;  // w -= r g over f32: 12 bytes moved an element, as SGD
  double triad_huge_mb_s = 0;
  double momentum_triad_mb_s = 0;  // 20 bytes, as momentum, Adagrad and RMSProp
  double momentum_triad_huge_mb_s = 0;
  double adam_triad_mb_s = 0;  // 28 bytes
  double adam_triad_huge_mb_s = 0;
};

// A limit by its name, which is the same in tables and --json.
struct RooflineName {
  const char* name;
  double Roofline::*value;
  int decimals;
};
absl::Span<const RooflineName> RooflineNames();

struct RooflineOptions {
  uint64_t tcp_bytes = uint64_t{256} << 20;     // each way
  uint64_t cold_bytes = uint64_t{128} << 20;    // of each of four buffers
  uint64_t memory_bytes = uint64_t{768} << 20;  // that memcpy and the triads walk through
  int round_trips = 2000;
  LoadPin pin = LoadPin::kNone;
};

// Takes a few seconds. UNAVAILABLE: a socket could not be had; the message says which call.
// RESOURCE_EXHAUSTED: no memory.
absl::StatusOr<Roofline> MeasureRoofline(const RooflineOptions& options);

}  // namespace weir

#endif  // WEIR_TOOLS_ROOFLINE_H_
