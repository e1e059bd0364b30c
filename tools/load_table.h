// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_TOOLS_LOAD_TABLE_H_
#define WEIR_TOOLS_LOAD_TABLE_H_

#include <string>
#include <vector>

#include "nlohmann/json.hpp"
#include "tools/load_figures.h"
#include "tools/load_rows.h"
#include "tools/load_slo.h"
#include "tools/roofline.h"

namespace weir {

// Fills in the row's shares of the limits that were measured beside it. The limit of a transport:
// raw TCP; a raw Unix socket; for shared memory, copying memory. `auto` and a job that was attached
// to have none of their own.
void AddShares(const LoadRow& row, const Roofline& roofline, LoadFigures* figures);

// A row of the load test's table with all of its repetitions.
struct LoadResult {
  LoadRow row;
  std::vector<LoadFigures> runs;
  LoadReport report;  // of all repetitions, merged
};

// The table that people read: a column for each row asked for, a line for each figure that one of
// them measured, each the median of the repetitions beside the lowest and the highest. With more
// rows than one: the throughput of each over that of the first, repetition by repetition, marked
// "undecided" where some say more and some say less. With a roofline, measured once in each
// repetition: the limits. Each objective and whether it is met: "undecided" where the spread of the
// repetitions covers its bound.
std::string FormatTable(const std::vector<LoadResult>& results,
                        const std::vector<Roofline>& rooflines,
                        const std::vector<LoadObjective>& objectives);

// The same for programs: `rows`, each with what was run, the median of each figure under its name,
// `spread` with [lowest, highest] of each, `runs` with every repetition, `histograms` with buckets
// [low, high, count] in ns, `transport_used`, `fell_back` and `server_totals`, null where the
// servers were not asked; `machine`; `roofline`.
nlohmann::json ToJson(const std::vector<LoadResult>& results,
                      const std::vector<Roofline>& rooflines, const nlohmann::json& machine);

}  // namespace weir

#endif  // WEIR_TOOLS_LOAD_TABLE_H_
