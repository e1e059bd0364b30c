// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_LAUNCHER_LOAD_TOPOLOGY_H_
#define WEIR_LAUNCHER_LOAD_TOPOLOGY_H_

#include <optional>
#include <string>
#include <vector>

#include "launcher/topology.h"
#include "launcher/topology_parse.h"

namespace weir {

// What `parsed` came to: prints its warnings and errors to stderr, each on a line with its place;
// nothing when there are errors.
std::optional<Topology> AcceptTopology(const ParsedTopology& parsed);

}  // namespace weir

#endif  // WEIR_LAUNCHER_LOAD_TOPOLOGY_H_
