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

double MegabytesOf(const TensorSpec& tensor) {
  return 4e-6 * static_cast<double>(ElementCount(tensor.shape));
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

// In a closed loop N pulls are always under way. What goes over TCP moves at most at its rate one
// way, R: so pulls of a mean size of S take N S / R in the mean (Little's law), in whatever order
// they are served. Where that is above the reference, so is the p99 but for a distribution that no
// queue has. Shared memory has no such rate: values are read where the server keeps them.
std::string Latency(const LoadProfile& profile, const CompareRow& row, const Roofline& roofline) {
  const Verdict verdict = JudgeAtMost(SpreadOf(row.pull_us_p99), kGrpc.p99_ms * 1e3);
  std::string text = absl::StrCat("p99 ", VerdictName(verdict));
  if (verdict == Verdict::kMet) return text;
  const double pulls = static_cast<double>(row.workers) * row.in_flight;
  if (row.form != "weir tcp") {
    absl::StrAppendFormat(&text, ": %.0f pulls are always under way, and take turns on the cores",
                          pulls);
    return text;
  }
  double all = 0, largest = 0;
  for (const TensorSpec& tensor : profile.tensors) {
    all += MegabytesOf(tensor);
    largest = std::max(largest, MegabytesOf(tensor));
  }
  const double mean = all / static_cast<double>(profile.tensors.size());
  const double rate = roofline.raw_tcp_one_way_mb_s;
  const double mean_ms = pulls * mean / rate * 1e3;
  absl::StrAppendFormat(
      &text,
      "%s: %.0f pulls of %.2f MB in the mean are always under way, and take %.1f ms in the mean at "
      "the %.0f MB/s of raw TCP one way; the largest, %.1f MB, takes %.1f ms if all others wait",
      mean_ms > kGrpc.p99_ms ? ", and cannot be met here" : "", pulls, mean, mean_ms, rate, largest,
      largest / rate * 1e3);
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
