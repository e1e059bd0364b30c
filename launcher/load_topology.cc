// SPDX-License-Identifier: Apache-2.0
#include "launcher/load_topology.h"

#include <stdio.h>

namespace weir {

std::optional<Topology> AcceptTopology(const ParsedTopology& parsed) {
  for (const TopologyProblem& warning : parsed.warnings)
    fprintf(stderr, "warning: %s\n", warning.ToString().c_str());
  for (const TopologyProblem& error : parsed.errors)
    fprintf(stderr, "error: %s\n", error.ToString().c_str());
  if (!parsed.ok()) return std::nullopt;
  return parsed.topology;
}

}  // namespace weir
