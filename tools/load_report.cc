// SPDX-License-Identifier: Apache-2.0
#include "tools/load_report.h"

#include <algorithm>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace weir {
namespace {

constexpr size_t kMaxBuckets = 1 << 16;  // of a histogram that is read

struct NamedHistogram {
  const char* name;
  Histogram LoadReport::*value;
};
constexpr NamedHistogram kHistograms[] = {
    {"steps_ns", &LoadReport::steps},           {"pulls_ns", &LoadReport::pulls},
    {"each_pulls_ns", &LoadReport::each_pulls}, {"loaded_pulls_ns", &LoadReport::loaded_pulls},
    {"changed_ns", &LoadReport::changed},       {"unchanged_ns", &LoadReport::unchanged},
};

struct NamedCount {
  const char* name;
  uint64_t LoadReport::*value;
};
constexpr NamedCount kSums[] = {
    {"workers", &LoadReport::workers},
    {"moved_bytes", &LoadReport::moved_bytes},
    {"wire_bytes", &LoadReport::wire_bytes},
    {"payload_bytes", &LoadReport::payload_bytes},
    {"copied_bytes", &LoadReport::copied_bytes},
    {"applied", &LoadReport::applied},
    {"stale", &LoadReport::stale},
    {"resync_bytes", &LoadReport::resync_bytes},
    {"exchanges", &LoadReport::exchanges},
    {"checked", &LoadReport::checked},
    {"wrong", &LoadReport::wrong},
};
constexpr NamedCount kLargest[] = {
    {"peak_rss_bytes", &LoadReport::peak_rss_bytes},
    {"gradient_bytes", &LoadReport::gradient_bytes},
    {"last_cache_bytes", &LoadReport::last_cache_bytes},
};

struct NamedTotal {
  const char* name;
  uint64_t ServerTotals::*value;
};
constexpr NamedTotal kTotals[] = {
    {"tcp_sessions", &ServerTotals::tcp_sessions},
    {"uds_sessions", &ServerTotals::uds_sessions},
    {"shm_sessions", &ServerTotals::shm_sessions},
    {"received_bytes", &ServerTotals::received_bytes},
    {"received_copied_bytes", &ServerTotals::received_copied_bytes},
    {"sent_bytes", &ServerTotals::sent_bytes},
    {"sent_copied_bytes", &ServerTotals::sent_copied_bytes},
};

struct NamedSeconds {
  const char* name;
  double LoadReport::*value;
  bool is_sum;  // else the largest counts
};
constexpr NamedSeconds kReals[] = {
    {"seconds", &LoadReport::seconds, false},
    {"bytes_per_second", &LoadReport::bytes_per_second, true},
    {"cpu_seconds", &LoadReport::cpu_seconds, true},
    {"conflict_seconds", &LoadReport::conflict_seconds, false},
};

// False: not buckets as ToJson writes them. Throws where the types are others.
bool ReadHistogram(const nlohmann::json& json, Histogram* histogram) {
  if (json.size() > kMaxBuckets) return false;
  for (const nlohmann::json& bucket : json) {
    const uint64_t low = bucket.at(0).get<uint64_t>();
    const uint64_t high = bucket.at(1).get<uint64_t>();
    if (high < low) return false;
    histogram->Record(low + (high - low) / 2, bucket.at(2).get<uint64_t>());
  }
  return true;
}

}  // namespace

std::string TransportUsed(const ServerTotals& servers) {
  const std::pair<const char*, uint64_t> carriers[] = {
      {"tcp", servers.tcp_sessions}, {"uds", servers.uds_sessions}, {"shm", servers.shm_sessions}};
  std::vector<std::string> used;
  for (const auto& [name, sessions] : carriers) {
    if (sessions == servers.sessions() && sessions > 0) return name;
    if (sessions > 0) used.push_back(absl::StrCat(name, " ", sessions));
  }
  return absl::StrJoin(used, ", ");
}

bool FellBack(const std::string& transport, const ServerTotals& servers) {
  const std::string used = TransportUsed(servers);
  return transport != "auto" && !used.empty() && used != transport;
}

nlohmann::json ToJson(const Histogram& histogram) {
  nlohmann::json buckets = nlohmann::json::array();
  for (const Histogram::Bucket& bucket : histogram.Buckets())
    buckets.push_back({bucket.low, bucket.high, bucket.count});
  return buckets;
}

nlohmann::json ToJson(const ServerTotals& totals) {
  nlohmann::json json = nlohmann::json::object();
  for (const NamedTotal& named : kTotals) json[named.name] = totals.*named.value;
  return json;
}

nlohmann::json ToJson(const LoadReport& report) {
  nlohmann::json json = nlohmann::json::object();
  for (const NamedHistogram& named : kHistograms) json[named.name] = ToJson(report.*named.value);
  for (const NamedCount& named : kSums) json[named.name] = report.*named.value;
  for (const NamedCount& named : kLargest) json[named.name] = report.*named.value;
  for (const NamedSeconds& named : kReals) json[named.name] = report.*named.value;
  json["servers"] = ToJson(report.servers);
  return json;
}

absl::StatusOr<LoadReport> LoadReportFromJson(const nlohmann::json& json) {
  try {
    LoadReport report;
    for (const NamedHistogram& named : kHistograms) {
      if (!ReadHistogram(json.at(named.name), &(report.*named.value)))
        return absl::DataLossError(absl::StrCat("not a load report: ", named.name));
    }
    for (const NamedCount& named : kSums) json.at(named.name).get_to(report.*named.value);
    for (const NamedCount& named : kLargest) json.at(named.name).get_to(report.*named.value);
    for (const NamedSeconds& named : kReals) json.at(named.name).get_to(report.*named.value);
    for (const NamedTotal& named : kTotals)
      json.at("servers").at(named.name).get_to(report.servers.*named.value);
    if (report.seconds > 0 || report.conflict_seconds > 0) return report;
    return absl::DataLossError("a load report without steps");
  } catch (const nlohmann::json::exception& e) {
    return absl::DataLossError(absl::StrCat("not a load report: ", e.what()));
  }
}

LoadReport Merge(const std::vector<LoadReport>& reports) {
  LoadReport all = reports.front();
  for (size_t i = 1; i < reports.size(); ++i) {
    const LoadReport& one = reports[i];
    for (const NamedHistogram& named : kHistograms) (all.*named.value).Merge(one.*named.value);
    for (const NamedCount& named : kSums) all.*named.value += one.*named.value;
    for (const NamedTotal& named : kTotals) all.servers.*named.value += one.servers.*named.value;
    for (const NamedCount& named : kLargest)
      all.*named.value = std::max(all.*named.value, one.*named.value);
    for (const NamedSeconds& named : kReals) {
      double& value = all.*named.value;
      value = named.is_sum ? value + one.*named.value : std::max(value, one.*named.value);
    }
  }
  return all;
}

}  // namespace weir
