// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_TOOLS_LOAD_REPORT_H_
#define WEIR_TOOLS_LOAD_REPORT_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "nlohmann/json.hpp"
#include "tools/load_worker.h"
#include "tools/roofline.h"

namespace weir {

// One worker's report as it travels from its process to the load test's, and back.
nlohmann::json ToJson(const LoadReport& report);
// DATA_LOSS: not such a report.
absl::StatusOr<LoadReport> LoadReportFromJson(const nlohmann::json& json);

// One row of the load test's table. "MB/s" are 10^6 bytes of the model's f32 values, pushed plus
// pulled, over all workers.
struct LoadRow {
  std::string profile;
  std::string transport;
  std::string codec;
  uint64_t servers = 0;
  uint64_t workers = 0;
  uint64_t steps = 0;      // counted, of all workers
  double step_ms_p50 = 0;  // one push-pull of the whole model, its check included
  double step_ms_p99 = 0;
  double throughput_mb_s = 0;  // sum over the workers of bytes over that worker's own time
  double wire_mb_s = 0;        // payload bytes on the wire, both ways
  double pull_us_p50 = 0;      // smallest tensor, one outstanding
  double pull_us_p99 = 0;
  double loaded_pull_us_p99 = 0;  // the same while push-pulls are under way
  double worker_cpu_s_per_gb = 0;
  uint64_t worker_peak_rss_mb = 0;
  uint64_t checked = 0;  // values compared to the formula
  uint64_t wrong = 0;
};

// What the workers' reports come to. REQUIRES: at least one, each with at least one step.
LoadRow Summarize(const std::vector<LoadReport>& reports);

// The value below which `percent` of `values` lie (nearest rank). 0 for no values.
double Percentile(std::vector<double> values, double percent);

// The table that people read: one line of names, one line of the row, and with a roofline the
// limits and the row's share.
std::string FormatTable(const LoadRow& row, const std::optional<Roofline>& roofline);

// The same for programs, with a fingerprint of the machine (processor, cores, kernel).
nlohmann::json ToJson(const LoadRow& row, const std::optional<Roofline>& roofline);

}  // namespace weir

#endif  // WEIR_TOOLS_LOAD_REPORT_H_
