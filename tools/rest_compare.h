// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_TOOLS_REST_COMPARE_H_
#define WEIR_TOOLS_REST_COMPARE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "tools/kernel_counters.h"
#include "tools/load_report.h"
#include "tools/rest_cluster.h"
#include "tools/rest_options.h"

namespace weir {

// One form at one size with one number of requests in flight: what each of its runs came to.
struct CompareRow {
  std::string form;
  uint32_t workers = 0;
  uint32_t servers = 0;
  uint32_t in_flight = 0;
  std::vector<double> mb_s{};         // model bytes pushed and pulled, by run
  std::vector<double> pull_us_p50{};  // of one tensor, drawn in turn from all
  std::vector<double> pull_us_p99{};
  uint64_t checked = 0;
  uint64_t wrong = 0;
  // Of the form's processes from their start to their end, whatever was in flight.
  TcpCounts opened{};
  uint64_t exchanges = 0;
  std::string transport{};  // that was asked for, of Weir; empty: REST
  ServerTotals carried{};   // of Weir, as its servers counted them
};

// Runs everything: at each size all forms are started and then take turns, run by run, so that
// whatever else the machine does meets them alike; JSON numbers, which take a minute where others
// take seconds, run once, before the others. A turn is a form's measurements with each number of
// requests in flight; it begins with pushes that do not count, and after it a REST form gives its
// memory back, so that no two have theirs at once. Its thread must live as long as this takes.
//
// CANCELLED: a signal (SIGINT, SIGTERM, SIGHUP, which it blocks) ended it; `*interrupted` says
// which. RESOURCE_EXHAUSTED: there is not enough memory (rest_memory.h); nothing was started.
// Else as ComparedCluster.
absl::StatusOr<std::vector<CompareRow>> RunComparison(const CompareOptions& options,
                                                      const std::string& program_dir,
                                                      const std::string& directory,
                                                      int* interrupted);

}  // namespace weir

#endif  // WEIR_TOOLS_REST_COMPARE_H_
