// SPDX-License-Identifier: Apache-2.0
#include "tools/roofline.h"

#include <algorithm>

#include "tools/roofline_memory.h"
#include "tools/roofline_sockets.h"

namespace weir {
namespace {

constexpr uint64_t kHotBytes = uint64_t{1} << 20;

constexpr RooflineName kNames[] = {
    {"raw_tcp_mb_s", &Roofline::raw_tcp_mb_s, 0},
    {"raw_tcp_cold_mb_s", &Roofline::raw_tcp_cold_mb_s, 0},
    {"raw_tcp_one_way_mb_s", &Roofline::raw_tcp_one_way_mb_s, 0},
    {"raw_tcp_cpu_s_per_gb", &Roofline::raw_tcp_cpu_s_per_gb, 2},
    {"raw_uds_mb_s", &Roofline::raw_uds_mb_s, 0},
    {"raw_rtt_us", &Roofline::raw_rtt_us, 1},
    {"raw_rtt_same_core_us", &Roofline::raw_rtt_same_core_us, 1},
    {"raw_rtt_two_cores_us", &Roofline::raw_rtt_two_cores_us, 1},
    {"raw_uds_rtt_us", &Roofline::raw_uds_rtt_us, 1},
    {"memcpy_mb_s", &Roofline::memcpy_mb_s, 0},
    {"memcpy_huge_mb_s", &Roofline::memcpy_huge_mb_s, 0},
    {"triad_mb_s", &Roofline::triad_mb_s, 0},
    {"triad_huge_mb_s", &Roofline::triad_huge_mb_s, 0},
    {"momentum_triad_mb_s", &Roofline::momentum_triad_mb_s, 0},
    {"momentum_triad_huge_mb_s", &Roofline::momentum_triad_huge_mb_s, 0},
    {"adam_triad_mb_s", &Roofline::adam_triad_mb_s, 0},
    {"adam_triad_huge_mb_s", &Roofline::adam_triad_huge_mb_s, 0},
};

// The fastest way to move bytes both ways with buffers of `buffer_bytes`.
absl::StatusOr<StreamSpeed> BestBothWays(SocketKind kind, uint64_t bytes, uint64_t buffer_bytes) {
  StreamSpeed best;
  for (const StreamOptions& way :
       {StreamOptions{kind, StreamForm::kFourThreads, bytes, buffer_bytes, false},
        StreamOptions{kind, StreamForm::kTwoThreads, bytes, buffer_bytes, false},
        StreamOptions{kind, StreamForm::kTwoThreads, bytes, buffer_bytes, true}}) {
    const auto speed = MeasureStream(way);
    if (!speed.ok()) return speed.status();
    if (speed->mb_s > best.mb_s) best = *speed;
  }
  return best;
}

absl::Status MeasureStreams(const RooflineOptions& options, Roofline* roofline) {
  const auto hot = BestBothWays(SocketKind::kTcp, options.tcp_bytes, kHotBytes);
  if (!hot.ok()) return hot.status();
  const auto cold = BestBothWays(SocketKind::kTcp, options.tcp_bytes, options.cold_bytes);
  if (!cold.ok()) return cold.status();
  const StreamSpeed& best = hot->mb_s > cold->mb_s ? *hot : *cold;
  roofline->raw_tcp_mb_s = best.mb_s;
  roofline->raw_tcp_cpu_s_per_gb = best.cpu_s_per_gb;
  roofline->raw_tcp_cold_mb_s = cold->mb_s;
  const auto one_way =
      MeasureStream({SocketKind::kTcp, StreamForm::kOneWay, options.tcp_bytes, kHotBytes, false});
  if (!one_way.ok()) return one_way.status();
  roofline->raw_tcp_one_way_mb_s = one_way->mb_s;
  const auto uds = BestBothWays(SocketKind::kUnix, options.tcp_bytes, kHotBytes);
  if (!uds.ok()) return uds.status();
  roofline->raw_uds_mb_s = uds->mb_s;
  return absl::OkStatus();
}

absl::Status MeasureRoundTrips(const RooflineOptions& options, Roofline* roofline) {
  struct Case {
    SocketKind kind;
    LoadPin pin;
    double Roofline::*value;
  };
  for (const Case& one : {Case{SocketKind::kTcp, LoadPin::kSame, &Roofline::raw_rtt_same_core_us},
                          Case{SocketKind::kTcp, LoadPin::kApart, &Roofline::raw_rtt_two_cores_us},
                          Case{SocketKind::kTcp, options.pin, &Roofline::raw_rtt_us},
                          Case{SocketKind::kUnix, options.pin, &Roofline::raw_uds_rtt_us}}) {
    const auto trip = MeasureRoundTrip(one.kind, options.round_trips, CoreOf(one.pin, false),
                                       CoreOf(one.pin, true));
    if (!trip.ok()) return trip.status();
    roofline->*one.value = *trip;
  }
  return absl::OkStatus();
}

absl::Status MeasureMemories(const RooflineOptions& options, Roofline* roofline) {
  const auto plain = MeasureMemory(options.memory_bytes, false);
  if (!plain.ok()) return plain.status();
  const auto huge = MeasureMemory(options.memory_bytes, true);
  if (!huge.ok()) return huge.status();
  roofline->memcpy_mb_s = plain->memcpy_mb_s;
  roofline->triad_mb_s = plain->sgd_mb_s;
  roofline->momentum_triad_mb_s = plain->momentum_mb_s;
  roofline->adam_triad_mb_s = plain->adam_mb_s;
  roofline->memcpy_huge_mb_s = huge->memcpy_mb_s;
  roofline->triad_huge_mb_s = huge->sgd_mb_s;
  roofline->momentum_triad_huge_mb_s = huge->momentum_mb_s;
  roofline->adam_triad_huge_mb_s = huge->adam_mb_s;
  return absl::OkStatus();
}

}  // namespace

absl::Span<const RooflineName> RooflineNames() { return kNames; }

absl::StatusOr<Roofline> MeasureRoofline(const RooflineOptions& options) {
  Roofline roofline;
  for (const auto part : {&MeasureStreams, &MeasureRoundTrips, &MeasureMemories}) {
    if (absl::Status status = part(options, &roofline); !status.ok()) return status;
  }
  return roofline;
}

}  // namespace weir
