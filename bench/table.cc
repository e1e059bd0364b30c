// SPDX-License-Identifier: Apache-2.0
#include "bench/table.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace weir::bench {
namespace {

// Between neighbours where it falls between. REQUIRES: sorted, not empty.
double Quantile(const std::vector<double>& sorted, double q) {
  const double at = q * static_cast<double>(sorted.size() - 1);
  const size_t below = static_cast<size_t>(std::floor(at));
  const size_t above = std::min(below + 1, sorted.size() - 1);
  return sorted[below] + (at - std::floor(at)) * (sorted[above] - sorted[below]);
}

struct Summary {
  double median = 0;
  double spread = 0;
};

Summary Summarise(std::vector<double> seconds) {
  std::sort(seconds.begin(), seconds.end());
  const double median = Quantile(seconds, 0.5);
  return {median, (Quantile(seconds, 0.75) - Quantile(seconds, 0.25)) / median};
}

double BytesPerSecond(uint64_t bytes, const Summary& summary) {
  return static_cast<double>(bytes) / summary.median / 1e9;
}

}  // namespace

std::vector<Row> MakeRows(const std::vector<Measured>& measured, const Samples& samples) {
  std::map<std::string, uint64_t> bytes;
  for (const Measured& each : measured) bytes[each.what] = each.bytes;
  std::vector<Row> rows;
  for (const Measured& each : measured) {
    const auto found = samples.find(each.what);
    if (each.limits.empty() || found == samples.end()) continue;
    const Summary summary = Summarise(found->second);
    Row row;
    row.what = each.what;
    row.us = summary.median * 1e6;
    row.gb_s = BytesPerSecond(each.bytes, summary);
    for (const std::string& name : each.limits) {
      const Summary limit = Summarise(samples.at(name));
      const double gb_s = BytesPerSecond(bytes.at(name), limit);
      if (gb_s <= row.limit_gb_s) continue;
      row.limit_gb_s = gb_s;
      row.spread = summary.spread + limit.spread;
    }
    row.share = row.gb_s / row.limit_gb_s;
    rows.push_back(row);
  }
  return rows;
}

std::vector<Row> MakeLimitRows(const std::vector<Measured>& measured, const Samples& samples) {
  std::vector<Row> rows;
  for (const Measured& each : measured) {
    const auto found = samples.find(each.what);
    if (!each.limits.empty() || found == samples.end()) continue;
    const Summary summary = Summarise(found->second);
    const double gb_s = BytesPerSecond(each.bytes, summary);
    rows.push_back({each.what, summary.median * 1e6, gb_s, gb_s, 1, summary.spread});
  }
  return rows;
}

std::string FormatTable(const std::vector<Row>& rows) {
  std::string table = absl::StrFormat("%-36s %12s %10s %10s %8s %8s\n", "what", "us", "GB/s",
                                      "limit GB/s", "share", "spread");
  for (const Row& row : rows) {
    absl::StrAppendFormat(&table, "%-36s %12.1f %10.2f %10.2f %8.2f %7.1f%%\n", row.what, row.us,
                          row.gb_s, row.limit_gb_s, row.share, 100 * row.spread);
  }
  return table;
}

std::string FormatJson(const std::vector<Row>& rows) {
  nlohmann::json out = nlohmann::json::array();
  for (const Row& row : rows) {
    out.push_back({{"what", row.what},
                   {"us", row.us},
                   {"gb_s", row.gb_s},
                   {"limit_gb_s", row.limit_gb_s},
                   {"share", row.share},
                   {"spread", row.spread}});
  }
  return out.dump(1) + "\n";
}

}  // namespace weir::bench
