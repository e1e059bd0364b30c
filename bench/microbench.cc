// SPDX-License-Identifier: Apache-2.0
#include <benchmark/benchmark.h>
#include <gflags/gflags.h>

#include <cstdio>
#include <fstream>
#include <memory>
#include <regex>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "bench/arrays.h"
#include "bench/benches.h"
#include "bench/table.h"
#include "core/build_info.h"

DEFINE_string(only, "", "measure only what this regular expression is found in, and its limits");
DEFINE_int32(repetitions, 9, "repetitions of each, in a random order; medians are told");
DEFINE_double(seconds, 0.05, "at least so long a repetition");
DEFINE_string(json, "", "also writes the table to this file");

namespace weir::bench {
namespace {

// Keeps the seconds of each repetition and says nothing: the table comes when all have run.
class SampleCollector : public benchmark::BenchmarkReporter {
 public:
  bool ReportContext(const Context&) override { return true; }
  void ReportRuns(const std::vector<Run>& runs) override {
    for (const Run& run : runs) {
      if (run.run_type != Run::RT_Iteration) continue;
      samples[run.run_name.function_name].push_back(run.real_accumulated_time /
                                                    static_cast<double>(run.iterations));
    }
  }

  Samples samples;
};

// Those that are asked for, and their limits.
std::vector<Measured> Chosen(const std::vector<Measured>& all, const std::regex& only) {
  std::vector<std::string> limits;
  for (const Measured& each : all) {
    if (!each.limits.empty() && std::regex_search(each.what, only))
      limits.insert(limits.end(), each.limits.begin(), each.limits.end());
  }
  std::vector<Measured> chosen;
  for (const Measured& each : all) {
    const bool is_limit = std::find(limits.begin(), limits.end(), each.what) != limits.end();
    if (is_limit || (!each.limits.empty() && std::regex_search(each.what, only)))
      chosen.push_back(each);
  }
  return chosen;
}

Samples Measure(const std::vector<Measured>& chosen) {
  std::vector<std::string> flags = {"weir-microbench",
                                    "--benchmark_enable_random_interleaving=true",
                                    absl::StrCat("--benchmark_min_time=", FLAGS_seconds),
                                    absl::StrCat("--benchmark_repetitions=", FLAGS_repetitions)};
  std::vector<char*> argv;
  for (std::string& flag : flags) argv.push_back(&flag[0]);
  int argc = static_cast<int>(argv.size());
  benchmark::Initialize(&argc, argv.data());
  for (const Measured& each : chosen) {
    benchmark::RegisterBenchmark(each.what.c_str(), [run = each.run](benchmark::State& state) {
      for (auto _ : state) run();
    })->UseRealTime();
  }
  SampleCollector collector;
  benchmark::RunSpecifiedBenchmarks(&collector);
  return std::move(collector.samples);
}

int Main() {
  std::vector<Measured> all;
  const absl::StatusOr<std::shared_ptr<Arrays>> arrays = Arrays::Make();
  if (!arrays.ok()) {
    fprintf(stderr, "weir-microbench: %s\n", std::string(arrays.status().message()).c_str());
    return 1;
  }
  AddOptimizers(*arrays, &all);
  AddCodecs(*arrays, &all);
  AddFrames(&all);
  AddStore(*arrays, &all);
  const std::vector<Measured> chosen = Chosen(all, std::regex(FLAGS_only));
  if (chosen.empty()) {
    fprintf(stderr, "weir-microbench: nothing is called like --only=%s\n", FLAGS_only.c_str());
    return 2;
  }
  const Samples samples = Measure(chosen);
  std::vector<Row> rows = MakeRows(chosen, samples);
  const std::vector<Row> limits = MakeLimitRows(chosen, samples);
  rows.insert(rows.end(), limits.begin(), limits.end());
  printf("%s", FormatTable(rows).c_str());
  if (FLAGS_json.empty()) return 0;
  std::ofstream file(FLAGS_json);
  file << FormatJson(rows);
  file.close();
  if (file) return 0;
  fprintf(stderr, "weir-microbench: cannot write %s\n", FLAGS_json.c_str());
  return 1;
}

}  // namespace
}  // namespace weir::bench

int main(int argc, char** argv) {
  gflags::SetUsageMessage(
      "weir-microbench [--only=REGEX] [--json=FILE]: kernels, codecs, frames and the slice store, "
      "each beside what memory allows in the same run; one thread.");
  gflags::ParseCommandLineFlags(&argc, &argv, /*remove_flags=*/true);
  return weir::bench::Main();
}
