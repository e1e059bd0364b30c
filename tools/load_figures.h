// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_TOOLS_LOAD_FIGURES_H_
#define WEIR_TOOLS_LOAD_FIGURES_H_

#include <limits>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "tools/load_cluster.h"
#include "tools/load_report.h"

namespace weir {

// NaN: this run did not measure it.
constexpr double kNotMeasured = std::numeric_limits<double>::quiet_NaN();

// What one repetition of one row of the load test came to. "MB" are 10^6 bytes, of the model's f32
// values unless said.
struct LoadFigures {
  double step_ms_p50 = kNotMeasured;  // one push-pull of the whole model, its check included
  double step_ms_p99 = kNotMeasured;
  double throughput_mb_s = kNotMeasured;  // pushed plus pulled, sum over the workers
  double wire_mb_s = kNotMeasured;        // the same, of payload bytes as encoded
  double pull_us_p50 = kNotMeasured;      // the smallest tensor, one outstanding
  double pull_us_p99 = kNotMeasured;
  double each_pull_us_p50 = kNotMeasured;  // one tensor, drawn in turn from all
  double each_pull_us_p99 = kNotMeasured;
  double loaded_pull_us_p99 = kNotMeasured;  // the same while push-pulls are under way
  double changed_pull_ms_p50 = kNotMeasured;
  double unchanged_pull_ms_p50 = kNotMeasured;
  double unchanged_speedup = kNotMeasured;        // the former over the latter
  double connection_reuse = kNotMeasured;         // see kernel_counters.h; of all phases
  double copies_per_byte = kNotMeasured;          // of the workers: payload bytes copied / moved
  double servers_copies_per_byte = kNotMeasured;  // of the servers, as they count themselves
  double worker_cpu_s_per_gb = kNotMeasured;      // all workers; of the counted steps
  double server_cpu_s_per_gb = kNotMeasured;
  double worker_peak_rss_mb = kNotMeasured;  // of the largest worker
  double server_peak_rss_mb = kNotMeasured;
  double early_server_peak_rss_mb = kNotMeasured;  // of the one that grew most, at the mark
  double server_peak_growth = kNotMeasured;        // its peak after all steps over that
  double applied_per_s = kNotMeasured;             // --conflicts: slices, over all workers
  double stale_share = kNotMeasured;
  double resync_mb = kNotMeasured;
  double raw_tcp_share = kNotMeasured;  // throughput / raw TCP both ways
  double limit_share = kNotMeasured;    // wire rate / the limit of the row's own transport
  double raw_rtt_ratio = kNotMeasured;  // the smallest pull / the raw round trip
  double checked = kNotMeasured;
  double wrong = kNotMeasured;
};

// A figure by its name, which is the same in tables, --json and --slo.
struct FigureName {
  const char* name;
  double LoadFigures::*value;
  int decimals;
};
absl::Span<const FigureName> FigureNames();
// Null: there is none of that name.
const FigureName* FindFigure(absl::string_view name);

// `usage` has the servers' processor time and memory; empty where the load test did not start them.
LoadFigures FiguresOf(const LoadReport& report, const std::vector<ProcessUsage>& usage);

// The median of a figure's repetitions, and the lowest and highest of them. NaN are left out; of
// none, all three are NaN.
struct Spread {
  double median = kNotMeasured;
  double low = kNotMeasured;
  double high = kNotMeasured;
};
// An even number of values has the mean of the two in the middle as its median.
Spread SpreadOf(std::vector<double> values);
Spread SpreadOf(const std::vector<LoadFigures>& runs, double LoadFigures::*value);
// Of a[i] / b[i]. REQUIRES: as many of one as of the other.
Spread RatioOf(const std::vector<double>& a, const std::vector<double>& b);

// "1268 (1115..1285)", the decimals as told; "-" for NaN; one repetition has no spread.
std::string FormatSpread(const Spread& spread, int decimals);

// Whether a ratio is on the right side of what is claimed.
enum class Verdict { kMet, kMissed, kUndecided };
// Undecided: some values are on the right side and some are not, or nothing was measured.
Verdict JudgeAtLeast(const Spread& spread, double claim);
Verdict JudgeAtMost(const Spread& spread, double claim);
// "met", "missed", "undecided".
const char* VerdictName(Verdict verdict);

}  // namespace weir

#endif  // WEIR_TOOLS_LOAD_FIGURES_H_
