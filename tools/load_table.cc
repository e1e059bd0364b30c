// SPDX-License-Identifier: Apache-2.0
#include "tools/load_table.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace weir {
namespace {

constexpr int kNameWidth = 24;

void AppendLine(const std::string& name, const std::vector<std::string>& cells,
                std::string* table) {
  absl::StrAppendFormat(table, "%-*s", kNameWidth, name);
  for (const std::string& cell : cells) absl::StrAppendFormat(table, "  %-26s", cell);
  table->erase(table->find_last_not_of(' ') + 1);
  table->push_back('\n');
}

std::vector<double> Values(const std::vector<LoadFigures>& runs, double LoadFigures::*value) {
  std::vector<double> values;
  for (const LoadFigures& run : runs) values.push_back(run.*value);
  return values;
}

std::vector<double> Limits(const std::vector<Roofline>& rooflines, double Roofline::*limit) {
  std::vector<double> values;
  for (const Roofline& roofline : rooflines) values.push_back(roofline.*limit);
  return values;
}

void AppendRoofline(const std::vector<LoadResult>& results, const std::vector<Roofline>& rooflines,
                    std::string* table) {
  absl::StrAppend(table, "\nroofline\n");
  for (const RooflineName& limit : RooflineNames()) {
    const Spread spread = SpreadOf(Limits(rooflines, limit.value));
    AppendLine(limit.name, {FormatSpread(spread, limit.decimals)}, table);
  }
  std::vector<std::string> shares, trips;
  for (const LoadResult& result : results) {
    shares.push_back(FormatSpread(RatioOf(Values(result.runs, &LoadFigures::throughput_mb_s),
                                          Limits(rooflines, &Roofline::raw_tcp_mb_s)),
                                  2));
    trips.push_back(FormatSpread(RatioOf(Values(result.runs, &LoadFigures::pull_us_p50),
                                         Limits(rooflines, &Roofline::raw_rtt_us)),
                                 1));
  }
  absl::StrAppend(table, "\nshare of the roofline\n");
  AppendLine("throughput/raw_tcp", shares, table);
  AppendLine("pull_us_p50/raw_rtt", trips, table);
}

nlohmann::json NumberOrNull(double value) {
  return std::isnan(value) ? nlohmann::json() : nlohmann::json(value);
}

nlohmann::json RowJson(const LoadResult& result) {
  const LoadRow& row = result.row;
  nlohmann::json cells = {{"profile", row.load.profile},
                          {"transport", row.transport},
                          {"codec", row.codec},
                          {"servers", row.servers},
                          {"workers", row.workers},
                          {"options", ToJson(row.load)},
                          {"settings", row.settings},
                          {"steps", row.load.steps * row.workers * result.runs.size()},
                          {"gradient_bytes_per_worker", result.report.gradient_bytes}};
  nlohmann::json runs = nlohmann::json::array();
  for (const LoadFigures& run : result.runs) {
    nlohmann::json one;
    for (const FigureName& figure : FigureNames())
      one[figure.name] = NumberOrNull(run.*figure.value);
    runs.push_back(std::move(one));
  }
  for (const FigureName& figure : FigureNames()) {
    const Spread spread = SpreadOf(result.runs, figure.value);
    cells[figure.name] = NumberOrNull(spread.median);
    cells["spread"][figure.name] = {NumberOrNull(spread.low), NumberOrNull(spread.high)};
  }
  cells["runs"] = std::move(runs);
  const nlohmann::json report = ToJson(result.report);
  for (const auto& [name, value] : report.items()) {
    if (value.is_array()) cells["histograms"][name] = value;
  }
  return cells;
}

}  // namespace

std::string FormatTable(const std::vector<LoadResult>& results,
                        const std::vector<Roofline>& rooflines) {
  std::string table;
  std::vector<std::string> transports, sizes, runs;
  for (const LoadResult& result : results) {
    transports.push_back(absl::StrCat(result.row.transport, " ", result.row.codec));
    sizes.push_back(absl::StrCat(result.row.servers, " x ", result.row.workers));
    runs.push_back(absl::StrCat(result.runs.size(), " x ", result.row.load.steps));
  }
  AppendLine(results.front().row.load.profile, transports, &table);
  AppendLine("servers x workers", sizes, &table);
  AppendLine("runs x steps", runs, &table);
  for (const FigureName& figure : FigureNames()) {
    std::vector<std::string> cells;
    for (const LoadResult& result : results)
      cells.push_back(FormatSpread(SpreadOf(result.runs, figure.value), figure.decimals));
    const bool measured = std::any_of(cells.begin(), cells.end(),
                                      [](const std::string& cell) { return cell != "-"; });
    if (measured) AppendLine(figure.name, cells, &table);
  }
  if (!rooflines.empty()) AppendRoofline(results, rooflines, &table);
  return table;
}

nlohmann::json ToJson(const std::vector<LoadResult>& results,
                      const std::vector<Roofline>& rooflines, const nlohmann::json& machine) {
  nlohmann::json json;
  json["rows"] = nlohmann::json::array();
  for (const LoadResult& result : results) {
    nlohmann::json row = RowJson(result);
    for (const RooflineName& limit : RooflineNames()) {
      if (!rooflines.empty())
        row[limit.name] = NumberOrNull(SpreadOf(Limits(rooflines, limit.value)).median);
    }
    json["rows"].push_back(std::move(row));
  }
  for (const RooflineName& limit : RooflineNames()) {
    if (rooflines.empty()) break;
    const Spread spread = SpreadOf(Limits(rooflines, limit.value));
    json["roofline"][limit.name] = {
        {"median", NumberOrNull(spread.median)},
        {"spread", {NumberOrNull(spread.low), NumberOrNull(spread.high)}}};
  }
  json["machine"] = machine;
  return json;
}

}  // namespace weir
