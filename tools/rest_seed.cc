// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "tools/rest_table.h"

namespace weir {
namespace {

// The reference: 16 nodes.
struct Reference {
  const char* mode;
  double mb_s;
  double p99_ms;
  double reuse;
};
constexpr Reference kGrpc = {"gRPC", 2180, 8.3, 0.997};
constexpr Reference kRest = {"REST", 320, 47.1, 0.624};

double ReuseOf(const CompareRow& row) { return ConnectionReuse(row.opened, row.exchanges); }

// The size in MB below which 99 % of a profile's tensors lie (nearest rank).
double LargeTensorMb(const LoadProfile& profile) {
  std::vector<int64_t> counts;
  for (const TensorSpec& tensor : profile.tensors) counts.push_back(ElementCount(tensor.shape));
  std::sort(counts.begin(), counts.end());
  const auto rank = static_cast<size_t>(std::ceil(0.99 * static_cast<double>(counts.size())));
  return 4e-6 * static_cast<double>(counts[rank - 1]);
}

std::string Throughput(const CompareRow& row, const Roofline& roofline) {
  const Verdict verdict = JudgeAtLeast(SpreadOf(row.mb_s), kGrpc.mb_s);
  std::string text = absl::StrCat("throughput ", VerdictName(verdict));
  if (verdict == Verdict::kMet || row.form != "weir tcp") return text;
  if (roofline.raw_tcp_mb_s < kGrpc.mb_s) {
    absl::StrAppendFormat(&text, ": it cannot be met here, raw TCP itself moves %.0f MB/s",
                          roofline.raw_tcp_mb_s);
  } else {
    absl::StrAppendFormat(
        &text, ": it is %.2f of the %.0f MB/s that raw TCP moves here with nothing else to do",
        kGrpc.mb_s / roofline.raw_tcp_mb_s, roofline.raw_tcp_mb_s);
  }
  return text;
}

// In a closed loop N pulls are always under way and share what the machine moves in one direction,
// R. If each gets its share, one of S bytes takes N S / R.
std::string Latency(const LoadProfile& profile, const CompareRow& row, const Roofline& roofline) {
  Spread p99 = SpreadOf(row.pull_us_p99);
  const Verdict verdict = JudgeAtMost(p99, kGrpc.p99_ms * 1e3);
  std::string text = absl::StrCat("p99 ", VerdictName(verdict));
  if (verdict == Verdict::kMet) return text;
  const double pulls = static_cast<double>(row.workers) * row.in_flight;
  const bool tcp = row.form == "weir tcp";
  const double rate = tcp ? roofline.raw_tcp_one_way_mb_s : roofline.memcpy_mb_s;
  const double size = LargeTensorMb(profile);
  const double least_ms = pulls * size / rate * 1e3;
  absl::StrAppendFormat(&text,
                        "%s: %.0f pulls are always under way, and the largest tensors, %.1f MB, "
                        "take %.1f ms if all share the %.0f MB/s of %s",
                        least_ms > kGrpc.p99_ms ? ", and cannot be met here" : "", pulls, size,
                        least_ms, rate, tcp ? "raw TCP one way" : "memcpy on one core");
  return text;
}

std::string Reuse(const CompareRow& row) {
  const double reuse = ReuseOf(row);
  if (reuse >= kGrpc.reuse) return "reuse met";
  const uint64_t opened = std::max(row.opened.active_opens, row.opened.passive_opens);
  return absl::StrFormat(
      "reuse missed: %d connections for %d exchanges; kept as they are, it takes %.0f exchanges",
      opened, row.exchanges, std::ceil(static_cast<double>(opened) / (1 - kGrpc.reuse)));
}

std::string Line(absl::string_view mode, absl::string_view in_flight, absl::string_view mb_s,
                 absl::string_view p99_ms, absl::string_view reuse) {
  return absl::StrFormat("%-28s %9s  %-22s %-26s %s\n", mode, in_flight, mb_s, p99_ms, reuse);
}

std::string ReferenceLine(const Reference& reference) {
  return Line(absl::StrCat(reference.mode, " (reference, 16 nodes)"), "-",
              absl::StrFormat("%.0f", reference.mb_s), absl::StrFormat("%.1f", reference.p99_ms),
              absl::StrFormat("%.1f%%", 100 * reference.reuse));
}

}  // namespace

std::string FormatSeedTable(const LoadProfile& profile, const std::vector<CompareRow>& rows,
                            const Roofline& roofline) {
  uint32_t workers = 0;
  for (const CompareRow& row : rows) workers = std::max(workers, row.workers);
  std::string table =
      Line("network mode", "in flight", "throughput MB/s", "P99 latency ms", "connection reuse");
  std::string verdicts;
  absl::StrAppend(&table, ReferenceLine(kGrpc));
  for (const bool weir : {true, false}) {
    if (!weir) absl::StrAppend(&table, ReferenceLine(kRest));
    for (const CompareRow& row : rows) {
      if (row.workers != workers || absl::StartsWith(row.form, "weir") != weir) continue;
      Spread p99 = SpreadOf(row.pull_us_p99);
      p99 = {p99.median / 1e3, p99.low / 1e3, p99.high / 1e3};
      absl::StrAppend(&table,
                      Line(absl::StrCat(row.form, ", ", row.workers, " on ", row.servers),
                           absl::StrCat(row.in_flight), FormatSpread(SpreadOf(row.mb_s), 0),
                           FormatSpread(p99, 1), absl::StrFormat("%.2f%%", 100 * ReuseOf(row))));
      if (!weir) continue;
      absl::StrAppend(&verdicts, row.form, ", ", row.in_flight, " in flight:\n  ",
                      Throughput(row, roofline), "\n  ", Latency(profile, row, roofline), "\n  ",
                      Reuse(row), "\n");
    }
  }
  return absl::StrCat(table, "\nBeside the reference's gRPC:\n", verdicts);
}

}  // namespace weir
