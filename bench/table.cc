// SPDX-License-Identifier: Apache-2.0
#include "bench/table.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <utility>

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

double Median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return Quantile(values, 0.5);
}

double BytesPerSecond(uint64_t bytes, double seconds) {
  return static_cast<double>(bytes) / seconds / 1e9;
}

// Fills what `row` says of a limit of `bytes` bytes, the `index`th.
void CompareWith(size_t index, uint64_t bytes, uint64_t own_bytes,
                 const std::vector<Sample>& samples, Row* row) {
  std::vector<double> rates;
  std::vector<double> shares;
  for (const Sample& sample : samples) {
    rates.push_back(BytesPerSecond(bytes, sample.limit_seconds[index]));
    shares.push_back(BytesPerSecond(own_bytes, sample.seconds) / rates.back());
  }
  std::sort(shares.begin(), shares.end());
  row->limit_gb_s = Median(std::move(rates));
  row->share = Quantile(shares, 0.5);
  row->spread = (Quantile(shares, 0.75) - Quantile(shares, 0.25)) / row->share;
}

Row MakeRow(const Measured& measured, const std::vector<Sample>& samples,
            const std::map<std::string, uint64_t>& bytes) {
  std::vector<double> seconds;
  for (const Sample& sample : samples) seconds.push_back(sample.seconds);
  const double median = Median(std::move(seconds));
  Row row{measured.what, median * 1e6, BytesPerSecond(measured.bytes, median), 0, 0, 0};
  for (size_t i = 0; i < measured.limits.size(); ++i) {
    Row compared = row;
    CompareWith(i, bytes.at(measured.limits[i]), measured.bytes, samples, &compared);
    if (i == 0 || compared.share < row.share) row = compared;
  }
  return row;
}

}  // namespace

std::vector<Row> MakeRows(const std::vector<Measured>& measured, const Samples& samples) {
  std::map<std::string, uint64_t> bytes;
  for (const Measured& each : measured) bytes[each.what] = each.bytes;
  std::vector<Row> rows;
  for (const Measured& each : measured) {
    const auto found = samples.find(each.what);
    if (found != samples.end()) rows.push_back(MakeRow(each, found->second, bytes));
  }
  return rows;
}

std::string FormatTable(const std::vector<Row>& rows) {
  std::string table = absl::StrFormat("%-36s %12s %10s %10s %8s %8s\n", "what", "us", "GB/s",
                                      "limit GB/s", "share", "spread");
  for (const Row& row : rows) {
    absl::StrAppendFormat(&table, "%-36s %12.2f %10.2f %10.2f %8.2f %7.1f%%\n", row.what, row.us,
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
