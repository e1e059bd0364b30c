// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_MODELS_RAW_TABLE_H_
#define WEIR_MODELS_RAW_TABLE_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "models/dataset.h"
#include "weir/status.h"

namespace weir {

// The labels of one file as they are written there. Whole numbers are brought to one spelling ("1",
// "+1" and "1.0" are the same label).
class RawLabels {
 public:
  // Adds the label of the next row, found at `line`. Not OK when it is empty, or a number that is
  // not finite; the message does not name the place.
  Status Add(std::string_view text, int64_t line);

  int64_t rows() const { return static_cast<int64_t>(ids_.size()); }
  // Distinct labels in the order of their first appearance, and the line of that.
  const std::vector<std::string>& names() const { return names_; }
  const std::vector<int64_t>& first_lines() const { return first_lines_; }
  // Of each row, its place in names().
  const std::vector<int32_t>& ids() const { return ids_; }

 private:
  std::vector<std::string> names_;
  std::vector<int64_t> first_lines_;
  std::vector<int32_t> ids_;
  std::unordered_map<std::string, int32_t> places_;
};

// One file as its reader leaves it: features unscaled and finite, labels not yet classes.
struct RawTable {
  std::string file;  // its name, for messages
  int64_t rows = 0;
  int64_t columns = 0;
  std::vector<float> features;  // [rows, columns]
  RawLabels labels;
};

// Turns labels into classes; see LoadDataset for the rule.
class ClassMap {
 public:
  // The classes of a training set. INVALID_ARGUMENT: fewer than two distinct labels.
  // RESOURCE_EXHAUSTED: more than `limit` classes.
  static Result<ClassMap> Create(const RawLabels& labels, const std::string& file, int64_t limit);

  // The class of each row. INVALID_ARGUMENT: a label that is none of the classes, with its line.
  Result<std::vector<int32_t>> Apply(const RawLabels& labels, const std::string& file) const;

  const std::vector<std::string>& names() const { return names_; }

 private:
  std::vector<std::string> names_;
  std::unordered_map<std::string, int32_t> classes_;
};

// INVALID_ARGUMENT "FILE:LINE: MESSAGE"; lines count from 1.
Status ErrorAt(const std::string& file, int64_t line, const std::string& message);

// RESOURCE_EXHAUSTED when rows or columns or their product exceed `limits`.
Status CheckSize(const std::string& file, int64_t rows, int64_t columns,
                 const DatasetLimits& limits);

}  // namespace weir

#endif  // WEIR_MODELS_RAW_TABLE_H_
