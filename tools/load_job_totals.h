// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_TOOLS_LOAD_JOB_TOTALS_H_
#define WEIR_TOOLS_LOAD_JOB_TOTALS_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "tools/load_report.h"
#include "weir/v1/coordinator.pb.h"

namespace weir {

// What a job's servers have told the coordinator: by what the workers' sessions were carried, and
// the payload bytes that they moved and copied; summed over the servers.
ServerTotals SumOfServers(const v1::GetStatusReply& status);

// Whether every server has been heard no longer than `age` ago.
bool HeardSince(const v1::GetStatusReply& status, absl::Duration age);

// Asks the coordinator at `address` until every server has told its totals since this was called;
// they tell them twice a second. For one worker of a job, when all have ended their load and before
// it leaves itself. Blocks; one thread.
//
// DEADLINE_EXCEEDED: some server was not heard within `limit`; Else as
// CoordinatorClient::GetStatus.
absl::StatusOr<ServerTotals> AskServerTotals(const std::string& address, const std::string& token,
                                             absl::Duration limit);

}  // namespace weir

#endif  // WEIR_TOOLS_LOAD_JOB_TOTALS_H_
