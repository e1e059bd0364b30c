// SPDX-License-Identifier: Apache-2.0
#include "launcher/plan.h"

#include <utility>

#include "absl/strings/str_cat.h"

namespace weir {
namespace {

PlannedProcess Planned(const Topology& topology, ProcessRole role, int rank) {
  PlannedProcess process;
  process.role = role;
  process.rank = rank;
  process.host = topology.hosts.at(static_cast<size_t>(rank) % topology.hosts.size());
  process.name =
      role == ProcessRole::kCoordinator ? "coordinator" : absl::StrCat(RoleName(role), "-", rank);
  process.program = absl::StrCat("weir-", RoleName(role));
  return process;
}

}  // namespace

absl::string_view RoleName(ProcessRole role) {
  switch (role) {
    case ProcessRole::kCoordinator:
      return "coordinator";
    case ProcessRole::kServer:
      return "ps";
    case ProcessRole::kWorker:
      return "worker";
  }
  return "";
}

std::vector<PlannedProcess> MakePlan(const Topology& topology) {
  std::vector<PlannedProcess> plan;
  plan.push_back(Planned(topology, ProcessRole::kCoordinator, 0));
  for (int rank = 0; rank < topology.servers.count; ++rank) {
    PlannedProcess server = Planned(topology, ProcessRole::kServer, rank);
    server.args = {absl::StrCat("--rank=", rank),
                   absl::StrCat("--shards=", topology.servers.shards)};
    plan.push_back(std::move(server));
  }
  for (int rank = 0; rank < topology.workers.count; ++rank) {
    PlannedProcess worker = Planned(topology, ProcessRole::kWorker, rank);
    if (topology.workers.program.empty()) {
      worker.args = {absl::StrCat("--rank=", rank)};
    } else {
      worker.is_weirs_own = false;
      worker.program = topology.workers.program.front();
      worker.args.assign(topology.workers.program.begin() + 1, topology.workers.program.end());
      worker.directory = topology.workers.directory;
    }
    plan.push_back(std::move(worker));
  }
  return plan;
}

}  // namespace weir
