// SPDX-License-Identifier: Apache-2.0
#include "tools/load_report.h"

#include <sys/utsname.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <thread>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "core/build_info.h"

namespace weir {
namespace {

void Append(std::vector<double>* all, const std::vector<double>& some) {
  all->insert(all->end(), some.begin(), some.end());
}

std::string ProcessorName() {
  std::ifstream info("/proc/cpuinfo");
  std::string line;
  while (std::getline(info, line)) {
    if (line.rfind("model name", 0) == 0) return line.substr(line.find(':') + 2);
  }
  return "unknown";
}

}  // namespace

nlohmann::json ToJson(const LoadReport& report) {
  return {{"steps", report.steps},
          {"pulls", report.pulls},
          {"loaded_pulls", report.loaded_pulls},
          {"seconds", report.seconds},
          {"model_bytes", report.model_bytes},
          {"wrong", report.wrong},
          {"checked", report.checked},
          {"cpu_seconds", report.cpu_seconds},
          {"peak_rss_bytes", report.peak_rss_bytes}};
}

absl::StatusOr<LoadReport> LoadReportFromJson(const nlohmann::json& json) {
  try {
    LoadReport report;
    json.at("steps").get_to(report.steps);
    json.at("pulls").get_to(report.pulls);
    json.at("loaded_pulls").get_to(report.loaded_pulls);
    json.at("seconds").get_to(report.seconds);
    json.at("model_bytes").get_to(report.model_bytes);
    json.at("wrong").get_to(report.wrong);
    json.at("checked").get_to(report.checked);
    json.at("cpu_seconds").get_to(report.cpu_seconds);
    json.at("peak_rss_bytes").get_to(report.peak_rss_bytes);
    if (report.steps.empty() || report.seconds <= 0)
      return absl::DataLossError("a load report without steps");
    return report;
  } catch (const nlohmann::json::exception& e) {
    return absl::DataLossError(absl::StrCat("not a load report: ", e.what()));
  }
}

double Percentile(std::vector<double> values, double percent) {
  if (values.empty()) return 0;
  const double rank = std::ceil(percent / 100 * static_cast<double>(values.size()));
  const size_t index = std::min(values.size() - 1, static_cast<size_t>(std::max(1.0, rank)) - 1);
  std::nth_element(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(index),
                   values.end());
  return values[index];
}

LoadRow Summarize(const std::vector<LoadReport>& reports) {
  LoadRow row;
  std::vector<double> steps, pulls, loaded;
  double cpu_seconds = 0;
  double gigabytes = 0;
  for (const LoadReport& report : reports) {
    const double bytes =
        2.0 * static_cast<double>(report.model_bytes) * static_cast<double>(report.steps.size());
    row.throughput_mb_s += bytes / report.seconds / 1e6;
    gigabytes += bytes / 1e9;
    cpu_seconds += report.cpu_seconds;
    row.worker_peak_rss_mb = std::max(row.worker_peak_rss_mb, report.peak_rss_bytes / 1000000);
    row.wrong += report.wrong;
    row.checked += report.checked;
    row.steps += report.steps.size();
    Append(&steps, report.steps);
    Append(&pulls, report.pulls);
    Append(&loaded, report.loaded_pulls);
  }
  row.workers = reports.size();
  row.wire_mb_s = row.throughput_mb_s;  // f32 is four bytes an element, as in the model
  row.step_ms_p50 = Percentile(steps, 50) * 1e3;
  row.step_ms_p99 = Percentile(std::move(steps), 99) * 1e3;
  row.pull_us_p50 = Percentile(pulls, 50) * 1e6;
  row.pull_us_p99 = Percentile(std::move(pulls), 99) * 1e6;
  row.loaded_pull_us_p99 = Percentile(std::move(loaded), 99) * 1e6;
  row.worker_cpu_s_per_gb = cpu_seconds / gigabytes;
  return row;
}

std::string FormatTable(const LoadRow& row, const std::optional<Roofline>& roofline) {
  std::string table = absl::StrFormat(
      "%-12s %-9s %-5s %7s %7s %6s %11s %11s %15s %9s %11s %11s %18s %9s %5s\n"
      "%-12s %-9s %-5s %7d %7d %6d %11.1f %11.1f %15.0f %9.0f %11.1f %11.1f %18.1f %9.2f %5d\n",
      "profile", "transport", "codec", "servers", "workers", "steps", "step_ms_p50", "step_ms_p99",
      "throughput_mb_s", "wire_mb_s", "pull_us_p50", "pull_us_p99", "loaded_pull_us_p99",
      "cpu_s/GB", "wrong", row.profile, row.transport, row.codec, row.servers, row.workers,
      row.steps, row.step_ms_p50, row.step_ms_p99, row.throughput_mb_s, row.wire_mb_s,
      row.pull_us_p50, row.pull_us_p99, row.loaded_pull_us_p99, row.worker_cpu_s_per_gb, row.wrong);
  if (!roofline) return table;
  absl::StrAppendFormat(&table,
                        "roofline: raw_tcp_mb_s %.0f both ways at once (%.0f one way), raw_rtt_us "
                        "%.1f, memcpy %.0f MB/s, triad "
                        "%.0f MB/s\nshare of the roofline: throughput %.2f of raw TCP; smallest "
                        "pull %.1f x the raw round trip\n",
                        roofline->raw_tcp_mb_s, roofline->raw_tcp_one_way_mb_s,
                        roofline->raw_rtt_us, roofline->memcpy_mb_s, roofline->triad_mb_s,
                        row.throughput_mb_s / roofline->raw_tcp_mb_s,
                        row.pull_us_p50 / roofline->raw_rtt_us);
  return table;
}

nlohmann::json ToJson(const LoadRow& row, const std::optional<Roofline>& roofline) {
  nlohmann::json json;
  nlohmann::json cells = {{"profile", row.profile},
                          {"transport", row.transport},
                          {"codec", row.codec},
                          {"servers", row.servers},
                          {"workers", row.workers},
                          {"steps", row.steps},
                          {"step_ms_p50", row.step_ms_p50},
                          {"step_ms_p99", row.step_ms_p99},
                          {"throughput_mb_s", row.throughput_mb_s},
                          {"wire_mb_s", row.wire_mb_s},
                          {"pull_us_p50", row.pull_us_p50},
                          {"pull_us_p99", row.pull_us_p99},
                          {"loaded_pull_us_p99", row.loaded_pull_us_p99},
                          {"worker_cpu_s_per_gb", row.worker_cpu_s_per_gb},
                          {"worker_peak_rss_mb", row.worker_peak_rss_mb},
                          {"checked", row.checked},
                          {"wrong", row.wrong}};
  if (roofline) {
    cells["raw_tcp_mb_s"] = roofline->raw_tcp_mb_s;
    cells["raw_tcp_one_way_mb_s"] = roofline->raw_tcp_one_way_mb_s;
    cells["raw_rtt_us"] = roofline->raw_rtt_us;
    cells["memcpy_mb_s"] = roofline->memcpy_mb_s;
    cells["triad_mb_s"] = roofline->triad_mb_s;
  }
  utsname system{};
  uname(&system);
  json["rows"] = nlohmann::json::array({cells});
  json["machine"] = {{"processor", ProcessorName()},
                     {"cores", std::thread::hardware_concurrency()},
                     {"kernel", system.release},
                     {"build", BuildId()}};
  return json;
}

}  // namespace weir
