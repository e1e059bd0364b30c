// SPDX-License-Identifier: Apache-2.0
#include "tests/sim/sim_main.h"

#include <cstdint>
#include <cstdio>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "launcher/nearest_name.h"
#include "tests/sim/cluster.h"

namespace weir {
namespace {

constexpr uint64_t kEnoughSeeds = 100;  // for everything to happen at least once

constexpr char kUsage[] =
    "usage: weir-sim [--seeds=N] [--first=S]  simulate N clusters, from seed S\n"
    "       weir-sim --seed=K [--trace]       one cluster; with --trace every event of it\n";

struct SimFlags {
  bool help = false;
  uint64_t seeds = 100;
  uint64_t first = 1;
  std::optional<uint64_t> seed;
  bool trace = false;
};

bool ReadNumber(absl::string_view argument, absl::string_view name, uint64_t* value) {
  return absl::ConsumePrefix(&argument, name) && absl::SimpleAtoi(argument, value);
}

// Of an argument that was not understood.
void Complain(absl::string_view argument) {
  const std::string name(argument.substr(0, argument.find('=')));
  const std::string nearest =
      NearestName(name, {"--seeds", "--first", "--seed", "--trace", "--help"});
  std::fprintf(stderr, "weir-sim: '%s' is no flag of mine%s\n%s", std::string(argument).c_str(),
               nearest.empty() || nearest == name
                   ? ""
                   : absl::StrCat("; did you mean ", nearest, "?").c_str(),
               kUsage);
}

std::optional<SimFlags> ReadFlags(int argc, char** argv) {
  SimFlags flags;
  for (int i = 1; i < argc; ++i) {
    absl::string_view argument(argv[i]);
    if (absl::StartsWith(argument, "--")) argument.remove_prefix(1);
    uint64_t seed = 0;
    if (argument == "-help" || argument == "-h") {
      flags.help = true;
    } else if (argument == "-trace") {
      flags.trace = true;
    } else if (ReadNumber(argument, "-seed=", &seed)) {
      flags.seed = seed;
    } else if (!ReadNumber(argument, "-seeds=", &flags.seeds) &&
               !ReadNumber(argument, "-first=", &flags.first)) {
      Complain(argv[i]);
      return std::nullopt;
    }
  }
  if (flags.seeds == 0 || flags.first > UINT64_MAX - flags.seeds) {
    std::fprintf(stderr, "weir-sim: --seeds=%llu from --first=%llu are no seeds\n%s",
                 static_cast<unsigned long long>(flags.seeds),
                 static_cast<unsigned long long>(flags.first), kUsage);
    return std::nullopt;
  }
  return flags;
}

// Runs the seed again, this time keeping the events as text.
void PrintBroken(uint64_t seed, const sim::Verdict& verdict, bool traced) {
  if (!traced) {
    const sim::Verdict again = sim::Simulate(seed, sim::Trace::Lines::kLast);
    std::printf("%s\n", absl::StrJoin(again.last_lines, "\n").c_str());
    if (again.trace_hash != verdict.trace_hash)
      std::printf("THE REPLAY DIFFERS: the simulation is not deterministic\n");
  }
  std::printf("\nBROKEN PROMISE: %s\n  %s\n  %s\n  replay: weir-sim --seed=%llu --trace\n",
              sim::PromiseName(verdict.broken->promise), verdict.broken->sentence.c_str(),
              sim::MakeScenario(seed).Describe().c_str(), static_cast<unsigned long long>(seed));
}

int RunOne(uint64_t seed, bool trace) {
  const sim::Verdict verdict =
      sim::Simulate(seed, trace ? sim::Trace::Lines::kPrint : sim::Trace::Lines::kNone);
  if (verdict.broken) {
    PrintBroken(seed, verdict, trace);
    return 1;
  }
  std::printf("%s\n%s\ntrace %016llx\n", verdict.totals.Table().c_str(),
              sim::MakeScenario(seed).Describe().c_str(),
              static_cast<unsigned long long>(verdict.trace_hash));
  return 0;
}

}  // namespace

int SimMain(int argc, char** argv) {
  const std::optional<SimFlags> flags = ReadFlags(argc, argv);
  if (!flags) return 2;
  if (flags->help) {
    std::printf("%s", kUsage);
    return 0;
  }
  if (flags->seed) return RunOne(*flags->seed, flags->trace);
  sim::Totals totals;
  for (uint64_t seed = flags->first; seed < flags->first + flags->seeds; ++seed) {
    const sim::Verdict verdict = sim::Simulate(seed, sim::Trace::Lines::kNone);
    if (verdict.broken) {
      PrintBroken(seed, verdict, /*traced=*/false);
      return 1;
    }
    totals.Add(verdict.totals);
  }
  std::printf("%s", totals.Table().c_str());
  const std::vector<std::string> missing = totals.Missing();
  if (flags->seeds < kEnoughSeeds || missing.empty()) return 0;
  std::printf("\nNEVER HAPPENED: %s\n", absl::StrJoin(missing, ", ").c_str());
  return 1;
}

}  // namespace weir
