// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_LAUNCHER_JOB_OF_PROCESS_H_
#define WEIR_LAUNCHER_JOB_OF_PROCESS_H_

#include <gflags/gflags_declare.h>

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "launcher/membership.h"
#include "launcher/topology.h"

DECLARE_string(topology);

namespace weir {

// The topology of a process that coordinates: of --topology, or, for a job whose workers bring
// their own model, a bare one; with --servers, --workers and `settings` on top. Nothing: it is
// wrong, and what is wrong has been printed.
std::optional<Topology> TopologyOfProcess(std::vector<std::string> settings);

// The job of `topology`, which is completed as PrepareModel does where the servers must know how
// many steps there are: a new id, and `token`. INVALID_ARGUMENT: the data, or absurd counts.
absl::StatusOr<Membership::Options> JobOfProcess(Topology* topology, std::string token);

}  // namespace weir

#endif  // WEIR_LAUNCHER_JOB_OF_PROCESS_H_
