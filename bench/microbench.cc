// SPDX-License-Identifier: Apache-2.0
#include <benchmark/benchmark.h>
#include <gflags/gflags.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <memory>
#include <regex>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "bench/arrays.h"
#include "bench/benches.h"
#include "bench/table.h"

DEFINE_string(only, "", "measure only what this regular expression is found in");
DEFINE_int32(repetitions, 9, "repetitions of each, in a random order; medians are told");
DEFINE_double(seconds, 0.03, "at least so long a repetition, its limits apart");
DEFINE_string(json, "", "also writes the table to this file");

namespace weir::bench {
namespace {

// Says nothing: the table comes when all have run.
class SilentReporter : public benchmark::BenchmarkReporter {
 public:
  bool ReportContext(const Context&) override { return true; }
  void ReportRuns(const std::vector<Run>&) override {}
};

double SecondsOf(const Measured& measured, size_t runs) {
  const auto start = std::chrono::steady_clock::now();
  for (size_t i = 0; i < runs; ++i) measured.run();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// So many runs of it that a look at the clock costs nothing beside them.
size_t RunsPerLook(const Measured& measured) {
  constexpr double kLook = 0.0005;
  size_t runs = 1;
  while (SecondsOf(measured, runs) < kLook) runs *= 2;
  return runs;
}

// One measurement and its limits, which take turns, so that all of them meet the same machine.
class Contest {
 public:
  Contest(const Measured& measured, const std::vector<Measured>& all) : turns_({{&measured, 1}}) {
    for (const std::string& name : measured.limits) {
      const auto is_it = [&name](const Measured& each) { return each.what == name; };
      turns_.push_back({&*std::find_if(all.begin(), all.end(), is_it), 1});
    }
  }

  // The mean of turns that last `seconds` for the first.
  Sample Run(double seconds) {
    if (!warm_) {
      for (Turn& turn : turns_) turn.runs = RunsPerLook(*turn.measured);
      warm_ = true;
    }
    std::vector<double> spent(turns_.size());
    size_t rounds = 0;
    for (; spent[0] < seconds; ++rounds) {
      for (size_t i = 0; i < turns_.size(); ++i)
        spent[i] += SecondsOf(*turns_[i].measured, turns_[i].runs);
    }
    Sample sample;
    for (size_t i = 0; i < turns_.size(); ++i) {
      const double each = spent[i] / static_cast<double>(rounds * turns_[i].runs);
      if (i == 0)
        sample.seconds = each;
      else
        sample.limit_seconds.push_back(each);
    }
    return sample;
  }

 private:
  struct Turn {
    const Measured* measured;
    size_t runs;  // without a look at the clock
  };
  std::vector<Turn> turns_;
  bool warm_ = false;
};

Samples Measure(const std::vector<Measured>& all, const std::regex& only) {
  std::vector<std::string> flags = {"weir-microbench",
                                    "--benchmark_enable_random_interleaving=true",
                                    absl::StrCat("--benchmark_repetitions=", FLAGS_repetitions)};
  std::vector<char*> argv;
  for (std::string& flag : flags) argv.push_back(&flag[0]);
  int argc = static_cast<int>(argv.size());
  benchmark::Initialize(&argc, argv.data());
  Samples samples;
  for (const Measured& each : all) {
    if (each.limits.empty() || !std::regex_search(each.what, only)) continue;
    const auto contest = std::make_shared<Contest>(each, all);
    std::vector<Sample>* const kept = &samples[each.what];
    benchmark::RegisterBenchmark(each.what.c_str(),
                                 [contest, kept](benchmark::State& state) {
                                   for (auto _ : state) {
                                     kept->push_back(contest->Run(FLAGS_seconds));
                                     state.SetIterationTime(kept->back().seconds);
                                   }
                                 })
        ->UseManualTime()
        ->Iterations(1);
  }
  SilentReporter reporter;
  benchmark::RunSpecifiedBenchmarks(&reporter);
  return samples;
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
  const std::vector<Row> rows = MakeRows(all, Measure(all, std::regex(FLAGS_only)));
  if (rows.empty()) {
    fprintf(stderr, "weir-microbench: nothing is called like --only=%s\n", FLAGS_only.c_str());
    return 2;
  }
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
