// SPDX-License-Identifier: Apache-2.0
#include "tools/load_figures.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/str_format.h"

namespace weir {
namespace {

constexpr FigureName kFigures[] = {
    {"step_ms_p50", &LoadFigures::step_ms_p50, 1},
    {"step_ms_p99", &LoadFigures::step_ms_p99, 1},
    {"throughput_mb_s", &LoadFigures::throughput_mb_s, 0},
    {"wire_mb_s", &LoadFigures::wire_mb_s, 0},
    {"pull_us_p50", &LoadFigures::pull_us_p50, 1},
    {"pull_us_p99", &LoadFigures::pull_us_p99, 1},
    {"each_pull_us_p50", &LoadFigures::each_pull_us_p50, 1},
    {"each_pull_us_p99", &LoadFigures::each_pull_us_p99, 1},
    {"loaded_pull_us_p99", &LoadFigures::loaded_pull_us_p99, 1},
    {"changed_pull_ms_p50", &LoadFigures::changed_pull_ms_p50, 3},
    {"unchanged_pull_ms_p50", &LoadFigures::unchanged_pull_ms_p50, 3},
    {"unchanged_speedup", &LoadFigures::unchanged_speedup, 1},
    {"connection_reuse", &LoadFigures::connection_reuse, 5},
    {"copies_per_byte", &LoadFigures::copies_per_byte, 2},
    {"servers_copies_per_byte", &LoadFigures::servers_copies_per_byte, 2},
    {"worker_cpu_s_per_gb", &LoadFigures::worker_cpu_s_per_gb, 2},
    {"server_cpu_s_per_gb", &LoadFigures::server_cpu_s_per_gb, 2},
    {"worker_peak_rss_mb", &LoadFigures::worker_peak_rss_mb, 0},
    {"server_peak_rss_mb", &LoadFigures::server_peak_rss_mb, 0},
    {"early_server_peak_rss_mb", &LoadFigures::early_server_peak_rss_mb, 1},
    {"server_peak_growth", &LoadFigures::server_peak_growth, 3},
    {"applied_per_s", &LoadFigures::applied_per_s, 0},
    {"stale_share", &LoadFigures::stale_share, 3},
    {"resync_mb", &LoadFigures::resync_mb, 1},
    {"raw_tcp_share", &LoadFigures::raw_tcp_share, 2},
    {"limit_share", &LoadFigures::limit_share, 2},
    {"raw_rtt_ratio", &LoadFigures::raw_rtt_ratio, 1},
    {"checked", &LoadFigures::checked, 0},
    {"wrong", &LoadFigures::wrong, 0},
};

double At(const Histogram& histogram, double percent, double ns_per_unit) {
  if (histogram.count() == 0) return kNotMeasured;
  return static_cast<double>(histogram.Percentile(percent)) / ns_per_unit;
}

constexpr double kUs = 1e3;
constexpr double kMs = 1e6;

// A server's peak after all steps over that after the first of them, where it is the largest.
void AddGrowth(const ProcessUsage& server, LoadFigures* figures) {
  if (server.early_peak_rss_bytes == 0) return;
  const auto early = static_cast<double>(server.early_peak_rss_bytes);
  const double growth = static_cast<double>(server.peak_rss_bytes) / early;
  if (growth <= figures->server_peak_growth) return;  // never of NaN
  figures->server_peak_growth = growth;
  figures->early_server_peak_rss_mb = early / 1e6;
}

void AddServers(const std::vector<ProcessUsage>& usage, double gigabytes, LoadFigures* figures) {
  double cpu_seconds = 0;
  uint64_t peak = 0;
  for (const ProcessUsage& process : usage) {
    if (process.role != ProcessRole::kServer) continue;
    cpu_seconds += process.cpu_seconds;
    peak = std::max(peak, process.peak_rss_bytes);
    AddGrowth(process, figures);
  }
  if (peak == 0) return;
  figures->server_cpu_s_per_gb = cpu_seconds / gigabytes;
  figures->server_peak_rss_mb = static_cast<double>(peak) / 1e6;
}

}  // namespace

absl::Span<const FigureName> FigureNames() { return kFigures; }

const FigureName* FindFigure(absl::string_view name) {
  for (const FigureName& figure : kFigures) {
    if (figure.name == name) return &figure;
  }
  return nullptr;
}

LoadFigures FiguresOf(const LoadReport& report, const std::vector<ProcessUsage>& usage) {
  LoadFigures figures;
  figures.pull_us_p50 = At(report.pulls, 50, kUs);
  figures.pull_us_p99 = At(report.pulls, 99, kUs);
  figures.each_pull_us_p50 = At(report.each_pulls, 50, kUs);
  figures.each_pull_us_p99 = At(report.each_pulls, 99, kUs);
  figures.loaded_pull_us_p99 = At(report.loaded_pulls, 99, kUs);
  figures.changed_pull_ms_p50 = At(report.changed, 50, kMs);
  figures.unchanged_pull_ms_p50 = At(report.unchanged, 50, kMs);
  figures.unchanged_speedup = figures.changed_pull_ms_p50 / figures.unchanged_pull_ms_p50;
  figures.worker_peak_rss_mb = static_cast<double>(report.peak_rss_bytes) / 1e6;
  if (report.payload_bytes > 0) {
    figures.copies_per_byte =
        static_cast<double>(report.copied_bytes) / static_cast<double>(report.payload_bytes);
  }
  const ServerTotals& servers = report.servers;
  if (const uint64_t moved = servers.received_bytes + servers.sent_bytes; moved > 0) {
    figures.servers_copies_per_byte =
        static_cast<double>(servers.received_copied_bytes + servers.sent_copied_bytes) /
        static_cast<double>(moved);
  }
  figures.checked = static_cast<double>(report.checked);
  figures.wrong = static_cast<double>(report.wrong);
  if (report.conflict_seconds > 0) {
    const double slices = static_cast<double>(report.applied + report.stale);
    figures.applied_per_s = static_cast<double>(report.applied) / report.conflict_seconds;
    figures.stale_share = static_cast<double>(report.stale) / slices;
    figures.resync_mb = static_cast<double>(report.resync_bytes) / 1e6;
  }
  if (report.seconds <= 0) return figures;
  const double gigabytes = static_cast<double>(report.moved_bytes) / 1e9;
  figures.step_ms_p50 = At(report.steps, 50, kMs);
  figures.step_ms_p99 = At(report.steps, 99, kMs);
  figures.throughput_mb_s = report.bytes_per_second / 1e6;
  if (report.wire_bytes > 0) {
    figures.wire_mb_s = figures.throughput_mb_s * static_cast<double>(report.wire_bytes) /
                        static_cast<double>(report.moved_bytes);
  }
  figures.worker_cpu_s_per_gb = report.cpu_seconds / gigabytes;
  AddServers(usage, gigabytes, &figures);
  return figures;
}

Spread SpreadOf(std::vector<double> values) {
  values.erase(std::remove_if(values.begin(), values.end(), [](double v) { return std::isnan(v); }),
               values.end());
  if (values.empty()) return {};
  std::sort(values.begin(), values.end());
  const size_t middle = values.size() / 2;
  const double median =
      values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
  return {median, values.front(), values.back()};
}

Spread SpreadOf(const std::vector<LoadFigures>& runs, double LoadFigures::*value) {
  std::vector<double> values;
  for (const LoadFigures& run : runs) values.push_back(run.*value);
  return SpreadOf(std::move(values));
}

Spread RatioOf(const std::vector<double>& a, const std::vector<double>& b) {
  std::vector<double> ratios;
  for (size_t i = 0; i < a.size(); ++i) ratios.push_back(a[i] / b[i]);
  return SpreadOf(std::move(ratios));
}

std::string FormatSpread(const Spread& spread, int decimals) {
  if (std::isnan(spread.median)) return "-";
  if (spread.low == spread.high) return absl::StrFormat("%.*f", decimals, spread.median);
  return absl::StrFormat("%.*f (%.*f..%.*f)", decimals, spread.median, decimals, spread.low,
                         decimals, spread.high);
}

Verdict JudgeAtLeast(const Spread& spread, double claim) {
  if (spread.low >= claim) return Verdict::kMet;
  return spread.high < claim ? Verdict::kMissed : Verdict::kUndecided;
}

Verdict JudgeAtMost(const Spread& spread, double claim) {
  if (spread.high <= claim) return Verdict::kMet;
  return spread.low > claim ? Verdict::kMissed : Verdict::kUndecided;
}

const char* VerdictName(Verdict verdict) {
  switch (verdict) {
    case Verdict::kMet:
      return "met";
    case Verdict::kMissed:
      return "missed";
    case Verdict::kUndecided:
      return "undecided";
  }
  return "undecided";
}

}  // namespace weir
