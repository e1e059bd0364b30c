// SPDX-License-Identifier: Apache-2.0
#include "tools/rest_table.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "tools/rest_load.h"

namespace weir {
namespace {

constexpr uint32_t kClaimWorkers = 16;
constexpr uint32_t kClaimServers = 4;

constexpr char kTcp[] = "weir tcp";
constexpr char kShm[] = "weir shm";
constexpr char kUsual[] = "json-base64";
constexpr char kFast[] = "json-base64-fast";

struct Claim {
  const char* form;
  const char* against;
  bool latency;  // p99 of one tensor's pull, the other's over Weir's; else throughput
  double at_least;
};
constexpr Claim kClaims[] = {
    {kTcp, kUsual, false, 6.8}, {kTcp, kUsual, true, 5.7}, {kShm, kUsual, false, 0},
    {kShm, kUsual, true, 0},    {kTcp, kFast, false, 1.3}, {kTcp, kFast, true, 0},
    {kShm, kFast, false, 4},    {kShm, kFast, true, 0},
};
constexpr double kClaimedReuse = 0.997;

double ReuseOf(const CompareRow& row) { return ConnectionReuse(row.opened, row.exchanges); }

const CompareRow* Find(const std::vector<CompareRow>& rows, const CompareRow& like,
                       absl::string_view form) {
  for (const CompareRow& row : rows) {
    if (row.form == form && row.workers == like.workers && row.servers == like.servers &&
        row.in_flight == like.in_flight) {
      return &row;
    }
  }
  return nullptr;
}

std::string FormatRow(const CompareRow& row) {
  return absl::StrFormat(
      "%-17s %7d %7d %9d %4d  %-22s %-25s %-28s %8.3f%% %6d/%-6d %9d %5d\n", row.form, row.workers,
      row.servers, row.in_flight, row.mb_s.size(), FormatSpread(SpreadOf(row.mb_s), 0),
      FormatSpread(SpreadOf(row.pull_us_p50), 0), FormatSpread(SpreadOf(row.pull_us_p99), 0),
      100 * ReuseOf(row), row.opened.active_opens, row.opened.passive_opens, row.exchanges,
      row.wrong);
}

// Where sessions of Weir's were carried by something else than the row says.
std::string FallbackLine(const CompareRow& row) {
  if (row.transport.empty() || !FellBack(row.transport, row.carried)) return "";
  return absl::StrCat(row.form, ", ", row.workers, " on ", row.servers, ": FELL BACK, carried by ",
                      TransportUsed(row.carried), "\n");
}

std::string FormatClaim(const CompareClaim& claim) {
  std::string line =
      absl::StrFormat("%-46s %2d on %d, %2d in flight: %-24s", claim.what, claim.workers,
                      claim.servers, claim.in_flight, FormatSpread(claim.value, 3));
  if (claim.claimed) {
    absl::StrAppendFormat(&line, " at least %-5g %s", claim.at_least,
                          VerdictName(JudgeAtLeast(claim.value, claim.at_least)));
  }
  return absl::StrCat(line.substr(0, line.find_last_not_of(' ') + 1), "\n");
}

std::string PartLine(const LoadProfile& profile) {
  const std::vector<uint32_t> part = CompareTensors(profile);
  int64_t elements = 0;
  for (const uint32_t t : part) elements += ElementCount(profile.tensors[t].shape);
  return absl::StrFormat(
      "A step pushes and pulls every %dth tensor of %s from number %d, %d of %d tensors, %.2f of "
      "%.2f MB, a request each:\n  %s\n",
      kComparePart, profile.name, part[0] + 1, part.size(), profile.tensors.size(),
      4e-6 * static_cast<double>(elements), 4e-6 * static_cast<double>(profile.parameters()),
      absl::StrJoin(part, ", ", [&profile](std::string* out, uint32_t t) {
        absl::StrAppend(out, profile.tensors[t].name);
      }));
}

}  // namespace

std::vector<CompareClaim> CompareClaims(const std::vector<CompareRow>& rows) {
  std::vector<CompareClaim> claims;
  for (const CompareRow& row : rows) {
    const bool size = row.workers == kClaimWorkers && row.servers == kClaimServers;
    const auto add = [&](std::string what, Spread value, double at_least) {
      claims.push_back({std::move(what), row.workers, row.servers, row.in_flight, value, at_least,
                        size && at_least > 0});
    };
    for (const Claim& claim : kClaims) {
      const CompareRow* other = Find(rows, row, claim.against);
      if (row.form != claim.form || other == nullptr) continue;
      add(absl::StrCat(claim.form, " / ", claim.against,
                       claim.latency ? ": p99, inverted" : ": throughput"),
          claim.latency ? RatioOf(other->pull_us_p99, row.pull_us_p99)
                        : RatioOf(row.mb_s, other->mb_s),
          claim.at_least);
    }
    if (row.form == kTcp)
      add("weir tcp: connection reuse", SpreadOf({ReuseOf(row)}), kClaimedReuse);
  }
  return claims;
}

std::string FormatComparison(const LoadProfile& profile, const std::vector<CompareRow>& rows,
                             NetworkScope scope) {
  std::string text = PartLine(profile);
  absl::StrAppend(
      &text, "p50, p99: of pulling one tensor, drawn in turn from all. Connections: opened by ",
      scope == NetworkScope::kPrivate
          ? "clients/taken by servers, by the kernel, in a network namespace of our own.\n\n"
          : "anybody on this machine meanwhile: a network namespace of our own is not "
            "allowed.\n\n");
  absl::StrAppendFormat(&text, "%-17s %7s %7s %9s %4s  %-22s %-25s %-28s %9s %13s %9s %5s\n",
                        "form", "workers", "servers", "in_flight", "runs", "MB/s", "pull_us_p50",
                        "pull_us_p99", "reuse", "connections", "exchanges", "wrong");
  for (const CompareRow& row : rows) absl::StrAppend(&text, FormatRow(row));
  for (const CompareRow& row : rows) absl::StrAppend(&text, FallbackLine(row));
  absl::StrAppend(&text, "\n");
  for (const CompareClaim& claim : CompareClaims(rows)) absl::StrAppend(&text, FormatClaim(claim));
  return text;
}

nlohmann::json ToJson(const std::vector<CompareRow>& rows, NetworkScope scope) {
  nlohmann::json json = {{"network", NetworkScopeName(scope)},
                         {"rows", nlohmann::json::array()},
                         {"claims", nlohmann::json::array()}};
  for (const CompareRow& row : rows) {
    const bool asked = row.carried.sessions() > 0;
    json["rows"].push_back({{"form", row.form},
                            {"workers", row.workers},
                            {"servers", row.servers},
                            {"in_flight", row.in_flight},
                            {"throughput_mb_s", SpreadOf(row.mb_s).median},
                            {"pull_us_p50", SpreadOf(row.pull_us_p50).median},
                            {"pull_us_p99", SpreadOf(row.pull_us_p99).median},
                            {"connection_reuse", ReuseOf(row)},
                            {"active_opens", row.opened.active_opens},
                            {"passive_opens", row.opened.passive_opens},
                            {"exchanges", row.exchanges},
                            {"transport_used", asked ? TransportUsed(row.carried) : ""},
                            {"fell_back", asked && FellBack(row.transport, row.carried)},
                            {"checked", row.checked},
                            {"wrong", row.wrong},
                            {"runs",
                             {{"throughput_mb_s", row.mb_s},
                              {"pull_us_p50", row.pull_us_p50},
                              {"pull_us_p99", row.pull_us_p99}}}});
  }
  for (const CompareClaim& claim : CompareClaims(rows)) {
    nlohmann::json one = {{"what", claim.what},           {"workers", claim.workers},
                          {"servers", claim.servers},     {"in_flight", claim.in_flight},
                          {"median", claim.value.median}, {"low", claim.value.low},
                          {"high", claim.value.high}};
    if (claim.claimed) {
      one["at_least"] = claim.at_least;
      one["verdict"] = VerdictName(JudgeAtLeast(claim.value, claim.at_least));
    }
    json["claims"].push_back(std::move(one));
  }
  return json;
}

}  // namespace weir
