// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_TOOLS_LOAD_HOSTS_H_
#define WEIR_TOOLS_LOAD_HOSTS_H_

#include <cstdint>
#include <functional>

#include "absl/status/statusor.h"
#include "launcher/plan.h"
#include "tools/load_cluster.h"
#include "tools/net_hosts.h"
#include "tools/roofline.h"

namespace weir {

// Where the processes of a load test with `workers` workers run: worker r on
// HostOfProcess(r), server r on HostOfProcess(workers + r), the coordinator beside server 0.
// `hosts` outlives what is returned.
std::function<ProcessSeat(const PlannedProcess&)> SeatsOnHosts(const NetHosts& hosts,
                                                               uint32_t workers);

// As MeasureRoofline, but the TCP figures are those between the first host and the last, over links
// of `rate_bits` (0: unlimited). UNAVAILABLE: as MeasureRoofline and MeasureLink.
absl::StatusOr<Roofline> MeasureRooflineOfHosts(const RooflineOptions& options,
                                                const NetHosts& hosts, uint64_t rate_bits);

}  // namespace weir

#endif  // WEIR_TOOLS_LOAD_HOSTS_H_
