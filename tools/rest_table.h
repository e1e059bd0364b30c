// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_TOOLS_REST_TABLE_H_
#define WEIR_TOOLS_REST_TABLE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "nlohmann/json.hpp"
#include "tools/kernel_counters.h"
#include "tools/load_figures.h"
#include "tools/load_profile.h"
#include "tools/rest_compare.h"
#include "tools/roofline.h"

namespace weir {

// What one form of Weir is to another system: the ratio of each run to the same run of the other,
// or Weir's own figure, beside what is claimed for 16 workers on 4 servers.
struct CompareClaim {
  std::string what;  // "weir tcp / json-base64: throughput"
  uint32_t workers = 0;
  uint32_t servers = 0;
  uint32_t in_flight = 0;
  Spread value;
  double at_least = 0;   // of `value`
  bool claimed = false;  // false: of another size, the value alone is told
};

// The claims that `rows` have figures for.
std::vector<CompareClaim> CompareClaims(const std::vector<CompareRow>& rows);

// What was compared, a line for each row, and the claims; for people.
std::string FormatComparison(const LoadProfile& profile, const std::vector<CompareRow>& rows,
                             NetworkScope scope);

// The same for programs: `rows`, `claims`, `network`.
nlohmann::json ToJson(const std::vector<CompareRow>& rows, NetworkScope scope);

// Network mode, throughput, p99 and connection reuse of the rows of the largest size beside the
// reference figures for 16 nodes (gRPC 2,180 MB/s, 8.3 ms, 99.7 %; REST 320 MB/s, 47.1 ms,
// 62.4 %). Of each of Weir's figures: whether it meets gRPC's; where not, whether `roofline`, of
// the same call, lets this machine meet it at all, and by which of its figures.
std::string FormatSeedTable(const LoadProfile& profile, const std::vector<CompareRow>& rows,
                            const Roofline& roofline);

}  // namespace weir

#endif  // WEIR_TOOLS_REST_TABLE_H_
