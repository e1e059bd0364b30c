// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_LAUNCHER_TOPOLOGY_CHECKS_H_
#define WEIR_LAUNCHER_TOPOLOGY_CHECKS_H_

#include <string>
#include <vector>

#include "launcher/topology.h"

namespace weir {

// What is wrong with values that are each right by themselves.
struct TopologyFinding {
  bool is_error = true;           // else a warning
  std::vector<std::string> keys;  // whose values it compares; the first is the one to change
  std::string message;
};

// Every finding, in the order of the keys. Expects values within their own limits; touches no file.
std::vector<TopologyFinding> CheckTogether(const Topology& topology);

}  // namespace weir

#endif  // WEIR_LAUNCHER_TOPOLOGY_CHECKS_H_
