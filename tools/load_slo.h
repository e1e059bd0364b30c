// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_TOOLS_LOAD_SLO_H_
#define WEIR_TOOLS_LOAD_SLO_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "tools/load_figures.h"

namespace weir {

// One objective of --slo: a figure, a comparison, a number.
struct LoadObjective {
  enum class Relation { kLess, kAtMost, kEqual, kAtLeast, kMore };
  const FigureName* figure = nullptr;
  Relation relation = Relation::kLess;
  double bound = 0;
  std::string text;  // as written
};

// Reads objectives, separated by commas: "pull_us_p99<500,wrong=0,throughput_mb_s>=1000".
// INVALID_ARGUMENT: which one cannot be read, or names no figure; lists the figures. "" is none.
absl::StatusOr<std::vector<LoadObjective>> ParseSlo(const std::string& text);

// OK when the medians of a row's repetitions meet every objective, whatever their spread; `wrong`
// is their sum.
// OUT_OF_RANGE, a sentence for each that is not met, or whose figure was not measured.
absl::Status CheckSlo(const std::vector<LoadObjective>& objectives, const std::string& row,
                      const std::vector<LoadFigures>& runs);

// The same with the spread of the repetitions: undecided where some meet it and some do not, or
// where it was not measured.
Verdict JudgeObjective(const LoadObjective& objective, const std::vector<LoadFigures>& runs);

}  // namespace weir

#endif  // WEIR_TOOLS_LOAD_SLO_H_
