// SPDX-License-Identifier: Apache-2.0
#include "tools/load_hosts.h"

#include <unistd.h>

#include <algorithm>

#include "tools/link_speed.h"

namespace weir {

std::function<ProcessSeat(const PlannedProcess&)> SeatsOnHosts(const NetHosts& hosts,
                                                               uint32_t workers) {
  return [&hosts, workers](const PlannedProcess& process) {
    uint32_t number = workers;
    if (process.role == ProcessRole::kWorker) number = static_cast<uint32_t>(process.rank);
    if (process.role == ProcessRole::kServer)
      number = workers + static_cast<uint32_t>(process.rank);
    const uint32_t host = HostOfProcess(number, hosts.count());
    return ProcessSeat{hosts.prefix(host), NetHosts::address(host)};
  };
}

absl::StatusOr<Roofline> MeasureRooflineOfHosts(const RooflineOptions& options,
                                                const NetHosts& hosts, uint64_t rate_bits) {
  auto roofline = MeasureRoofline(options);
  if (!roofline.ok()) return roofline;
  int a = -1, b = -1;
  if (absl::Status status = hosts.Connect(0, hosts.count() - 1, &a, &b); !status.ok())
    return status;
  const uint64_t bytes =
      rate_bits == 0 ? options.tcp_bytes : std::min(options.tcp_bytes, rate_bits / 8);  // of 1 s
  const auto link = MeasureLink(a, b, bytes, options.round_trips);
  close(a);
  close(b);
  if (!link.ok()) return link.status();
  roofline->raw_tcp_mb_s = link->both_ways_mb_s;
  roofline->raw_tcp_one_way_mb_s = link->one_way_mb_s;
  roofline->raw_rtt_us = link->round_trip_us;
  return roofline;
}

}  // namespace weir
