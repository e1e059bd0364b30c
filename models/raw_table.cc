// SPDX-License-Identifier: Apache-2.0
#include "models/raw_table.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "models/text.h"

namespace weir {
namespace {

// The largest whole number that counts as one; beyond it a label is a name like any other.
constexpr double kLargestNumber = 1e9;

// The value of a class number in its one spelling, or -1.
int64_t ClassNumber(const std::string& name) {
  const std::optional<double> number = ParseNumber(name);
  const bool is_class =
      number && *number >= 0 && *number <= kLargestNumber && *number == std::floor(*number);
  return is_class ? static_cast<int64_t>(*number) : -1;
}

}  // namespace

Status RawLabels::Add(std::string_view text, int64_t line) {
  if (text.empty()) return Status(StatusCode::kInvalidArgument, "the label is empty");
  std::string name(text);
  const std::optional<double> number = ParseNumber(text);
  if (number && !std::isfinite(*number)) {
    return Status(StatusCode::kInvalidArgument, "the label " + Quoted(text) + " is not finite");
  }
  if (number && *number == std::floor(*number) && std::fabs(*number) <= kLargestNumber) {
    name = std::to_string(static_cast<int64_t>(*number));
  }
  const auto [place, is_new] = places_.emplace(name, static_cast<int32_t>(names_.size()));
  if (is_new) {
    names_.push_back(std::move(name));
    first_lines_.push_back(line);
  }
  ids_.push_back(place->second);
  return Status();
}

Result<ClassMap> ClassMap::Create(const RawLabels& labels, const std::string& file, int64_t limit) {
  if (labels.names().size() < 2) {
    return Status(StatusCode::kInvalidArgument,
                  file + ": a classifier needs two different labels or more; every row here has " +
                      (labels.names().empty() ? "none" : Quoted(labels.names()[0])));
  }
  int64_t count = 0;
  bool all_numbers = true;
  for (const std::string& name : labels.names()) {
    const int64_t number = ClassNumber(name);
    all_numbers = all_numbers && number >= 0;
    count = std::max(count, number + 1);
  }
  if (!all_numbers) count = static_cast<int64_t>(labels.names().size());
  if (count > limit) {
    return Status(StatusCode::kResourceExhausted,
                  file + ": its labels make " + std::to_string(count) + " classes, more than " +
                      std::to_string(limit) + "; is the label column the right one?");
  }
  ClassMap map;
  if (all_numbers) {
    for (int64_t i = 0; i < count; ++i) map.names_.push_back(std::to_string(i));
  } else {
    map.names_ = labels.names();
    std::sort(map.names_.begin(), map.names_.end());
  }
  for (size_t i = 0; i < map.names_.size(); ++i) {
    map.classes_.emplace(map.names_[i], static_cast<int32_t>(i));
  }
  return map;
}

Result<std::vector<int32_t>> ClassMap::Apply(const RawLabels& labels,
                                             const std::string& file) const {
  std::vector<int32_t> class_of_id;
  for (size_t i = 0; i < labels.names().size(); ++i) {
    const auto found = classes_.find(labels.names()[i]);
    if (found == classes_.end()) {
      return ErrorAt(file, labels.first_lines()[i],
                     "label " + Quoted(labels.names()[i]) + " is none of the " +
                         std::to_string(names_.size()) + " classes of the training set (" +
                         Quoted(names_.front()) + " to " + Quoted(names_.back()) + ")");
    }
    class_of_id.push_back(found->second);
  }
  std::vector<int32_t> classes;
  classes.reserve(labels.ids().size());
  for (int32_t id : labels.ids()) classes.push_back(class_of_id[static_cast<size_t>(id)]);
  return classes;
}

Status ErrorAt(const std::string& file, int64_t line, const std::string& message) {
  return Status(StatusCode::kInvalidArgument, file + ":" + std::to_string(line) + ": " + message);
}

Status CheckSize(const std::string& file, int64_t rows, int64_t columns,
                 const DatasetLimits& limits) {
  const auto exceeded = [&file](const char* what, int64_t limit) {
    return Status(StatusCode::kResourceExhausted,
                  file + ": more than " + std::to_string(limit) + " " + what);
  };
  if (rows > limits.rows) return exceeded("rows", limits.rows);
  if (columns > limits.columns) return exceeded("features a row", limits.columns);
  if (columns > 0 && rows > limits.values / columns) return exceeded("values", limits.values);
  return Status();
}

}  // namespace weir
