// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_LAUNCHER_TOPOLOGY_PRINT_H_
#define WEIR_LAUNCHER_TOPOLOGY_PRINT_H_

#include <string>

#include "launcher/topology.h"

namespace weir {

// The topology as YAML with every key that has an effect and a value, defaults and absolute paths
// included. ParseTopology() reads it back to an equal Topology, wherever the text lies. REQUIRES:
// `topology` was parsed without an error.
std::string ResolvedYaml(const Topology& topology);

// The page of all keys, in Markdown: docs/topology.md is this text.
std::string TopologyKeysPage();

}  // namespace weir

#endif  // WEIR_LAUNCHER_TOPOLOGY_PRINT_H_
