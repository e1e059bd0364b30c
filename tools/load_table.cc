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

void AppendRoofline(const std::vector<Roofline>& rooflines, std::string* table) {
  absl::StrAppend(table, "\nroofline\n");
  for (const RooflineName& limit : RooflineNames()) {
    const Spread spread = SpreadOf(Limits(rooflines, limit.value));
    AppendLine(limit.name, {FormatSpread(spread, limit.decimals)}, table);
  }
}

// Where rows have a throughput: conflicts have none.
void AppendRatios(const std::vector<LoadResult>& results, std::string* table) {
  if (std::isnan(results.front().runs.front().throughput_mb_s)) return;
  std::vector<std::string> cells;
  for (const LoadResult& result : results) {
    const Spread ratio = RatioOf(Values(result.runs, &LoadFigures::throughput_mb_s),
                                 Values(results.front().runs, &LoadFigures::throughput_mb_s));
    const bool undecided = &result != &results.front() && ratio.low <= 1 && ratio.high >= 1;
    cells.push_back(absl::StrCat(FormatSpread(ratio, 2), undecided ? " undecided" : ""));
  }
  AppendLine("x first row's throughput", cells, table);
}

void AppendObjectives(const std::vector<LoadResult>& results,
                      const std::vector<LoadObjective>& objectives, std::string* table) {
  if (objectives.empty()) return;
  absl::StrAppend(table, "\nobjectives\n");
  for (const LoadObjective& objective : objectives) {
    std::vector<std::string> cells;
    for (const LoadResult& result : results)
      cells.push_back(VerdictName(JudgeObjective(objective, result.runs)));
    AppendLine(objective.text, cells, table);
  }
}

nlohmann::json NumberOrNull(double value) {
  return std::isnan(value) ? nlohmann::json() : nlohmann::json(value);
}

// Null where the row attached to a job, whose own transport and codec count.
nlohmann::json OfOwnJob(const LoadRow& row, const std::string& name) {
  return row.connect.empty() ? nlohmann::json(name) : nlohmann::json();
}

nlohmann::json RowJson(const LoadResult& result) {
  const LoadRow& row = result.row;
  nlohmann::json cells = {{"profile", row.load.profile},
                          {"mode", row.load.mode},
                          {"transport", OfOwnJob(row, row.transport)},
                          {"codec", OfOwnJob(row, row.codec)},
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
  const ServerTotals& servers = result.report.servers;
  const bool asked = servers.sessions() > 0;
  cells["transport_used"] = asked ? nlohmann::json(TransportUsed(servers)) : nlohmann::json();
  cells["fell_back"] = asked ? nlohmann::json(FellBack(row.transport, servers)) : nlohmann::json();
  cells["server_totals"] = asked ? ToJson(servers) : nlohmann::json();
  if (row.max_staleness) cells["max_staleness"] = *row.max_staleness;
  cells["runs"] = std::move(runs);
  const nlohmann::json report = ToJson(result.report);
  for (const auto& [name, value] : report.items()) {
    if (value.is_array()) cells["histograms"][name] = value;
  }
  return cells;
}

// "tcp f32"; of a mode that isolates layers, its name.
std::string LayersOf(const LoadRow& row) {
  if (row.load.mode == "apply") return "apply";
  if (!row.connect.empty()) return "as the job has it";
  return absl::StrCat(row.load.mode == "full" ? "" : absl::StrCat(row.load.mode, " "),
                      row.transport, " ", row.codec);
}

}  // namespace

void AddShares(const LoadRow& row, const Roofline& roofline, LoadFigures* figures) {
  figures->raw_tcp_share = figures->throughput_mb_s / roofline.raw_tcp_mb_s;
  figures->raw_rtt_ratio = figures->pull_us_p50 / roofline.raw_rtt_us;
  double limit = kNotMeasured;
  if (!row.connect.empty()) return;
  if (row.transport == "tcp") limit = roofline.raw_tcp_mb_s;
  if (row.transport == "uds") limit = roofline.raw_uds_mb_s;
  if (row.transport == "shm") limit = std::max(roofline.memcpy_mb_s, roofline.memcpy_huge_mb_s);
  figures->limit_share = figures->wire_mb_s / limit;
}

std::string FormatTable(const std::vector<LoadResult>& results,
                        const std::vector<Roofline>& rooflines,
                        const std::vector<LoadObjective>& objectives) {
  std::string table;
  std::vector<std::string> transports, sizes, runs, bounds, carriers;
  bool any_bound = false, any_asked = false;
  for (const LoadResult& result : results) {
    transports.push_back(LayersOf(result.row));
    sizes.push_back(absl::StrCat(result.row.servers, " x ", result.row.workers));
    const LoadOptions& load = result.row.load;
    const uint64_t steps = load.conflicts > 0 ? static_cast<uint64_t>(load.conflicts) : load.steps;
    runs.push_back(absl::StrCat(result.runs.size(), " x ", steps));
    bounds.push_back(result.row.max_staleness ? absl::StrCat(*result.row.max_staleness) : "-");
    const ServerTotals& servers = result.report.servers;
    any_asked = any_asked || servers.sessions() > 0;
    carriers.push_back(absl::StrCat(servers.sessions() == 0 ? "-" : TransportUsed(servers),
                                    FellBack(result.row.transport, servers) ? " (fell back)" : ""));
    any_bound = any_bound || result.row.max_staleness.has_value();
  }
  AppendLine(results.front().row.load.profile, transports, &table);
  AppendLine("servers x workers", sizes, &table);
  AppendLine("runs x steps", runs, &table);
  if (any_asked) AppendLine("transport_used", carriers, &table);
  if (any_bound) AppendLine("max_staleness", bounds, &table);
  for (const FigureName& figure : FigureNames()) {
    std::vector<std::string> cells;
    for (const LoadResult& result : results)
      cells.push_back(FormatSpread(SpreadOf(result.runs, figure.value), figure.decimals));
    const bool measured = std::any_of(cells.begin(), cells.end(),
                                      [](const std::string& cell) { return cell != "-"; });
    if (measured) AppendLine(figure.name, cells, &table);
  }
  if (results.size() > 1) AppendRatios(results, &table);
  if (!rooflines.empty()) AppendRoofline(rooflines, &table);
  AppendObjectives(results, objectives, &table);
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
