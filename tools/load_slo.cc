// SPDX-License-Identifier: Apache-2.0
#include "tools/load_slo.h"

#include <cmath>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"

namespace weir {
namespace {

using Relation = LoadObjective::Relation;

struct RelationSign {
  const char* sign;
  Relation relation;
};
// Longer signs first.
constexpr RelationSign kSigns[] = {
    {"<=", Relation::kAtMost}, {">=", Relation::kAtLeast}, {"==", Relation::kEqual},
    {"<", Relation::kLess},    {">", Relation::kMore},     {"=", Relation::kEqual},
};

absl::StatusOr<LoadObjective> ParseObjective(const std::string& text) {
  LoadObjective objective;
  objective.text = text;
  const size_t at = text.find_first_of("<>=");
  if (at == std::string::npos) {
    return absl::InvalidArgumentError(
        absl::StrCat("--slo: '", text, "': expected FIGURE<NUMBER, as in pull_us_p99<500"));
  }
  const absl::string_view name = absl::StripAsciiWhitespace(absl::string_view(text).substr(0, at));
  objective.figure = FindFigure(name);
  if (objective.figure == nullptr) {
    return absl::InvalidArgumentError(
        absl::StrCat("--slo: there is no figure '", name, "'; the figures are ",
                     absl::StrJoin(FigureNames(), ", ", [](std::string* out, const FigureName& f) {
                       absl::StrAppend(out, f.name);
                     })));
  }
  absl::string_view rest = absl::string_view(text).substr(at);
  for (const RelationSign& sign : kSigns) {
    if (!absl::ConsumePrefix(&rest, sign.sign)) continue;
    objective.relation = sign.relation;
    break;
  }
  if (absl::SimpleAtod(absl::StripAsciiWhitespace(rest), &objective.bound) &&
      std::isfinite(objective.bound)) {
    return objective;
  }
  return absl::InvalidArgumentError(absl::StrCat("--slo: '", text, "': '", rest, "' is no number"));
}

bool Holds(Relation relation, double value, double bound) {
  switch (relation) {
    case Relation::kLess:
      return value < bound;
    case Relation::kAtMost:
      return value <= bound;
    case Relation::kEqual:
      return value == bound;
    case Relation::kAtLeast:
      return value >= bound;
    case Relation::kMore:
      return value > bound;
  }
  return false;
}

double ValueOf(const LoadObjective& objective, const std::vector<LoadFigures>& runs) {
  if (objective.figure->value != &LoadFigures::wrong)
    return SpreadOf(runs, objective.figure->value).median;
  double wrong = 0;
  for (const LoadFigures& run : runs) wrong += run.wrong;
  return wrong;
}

}  // namespace

absl::StatusOr<std::vector<LoadObjective>> ParseSlo(const std::string& text) {
  std::vector<LoadObjective> objectives;
  if (text.empty()) return objectives;
  for (const absl::string_view one : absl::StrSplit(text, ',')) {
    auto objective = ParseObjective(std::string(one));
    if (!objective.ok()) return objective.status();
    objectives.push_back(*std::move(objective));
  }
  return objectives;
}

absl::Status CheckSlo(const std::vector<LoadObjective>& objectives, const std::string& row,
                      const std::vector<LoadFigures>& runs) {
  std::vector<std::string> missed;
  for (const LoadObjective& objective : objectives) {
    const double value = ValueOf(objective, runs);
    if (Holds(objective.relation, value, objective.bound)) continue;  // never of NaN
    const std::string was = std::isnan(value)
                                ? "was not measured"
                                : absl::StrFormat("is %.*f", objective.figure->decimals, value);
    missed.push_back(absl::StrCat("--slo: ", objective.text, " does not hold for ", row, ": ",
                                  objective.figure->name, " ", was));
  }
  if (missed.empty()) return absl::OkStatus();
  return absl::OutOfRangeError(absl::StrJoin(missed, "\n"));
}

Verdict JudgeObjective(const LoadObjective& objective, const std::vector<LoadFigures>& runs) {
  size_t met = 0, measured = 0;
  for (const LoadFigures& run : runs) {
    const double value = run.*objective.figure->value;
    if (std::isnan(value)) continue;
    ++measured;
    if (Holds(objective.relation, value, objective.bound)) ++met;
  }
  if (measured == 0) return Verdict::kUndecided;
  if (met == measured) return Verdict::kMet;
  return met == 0 ? Verdict::kMissed : Verdict::kUndecided;
}

}  // namespace weir
