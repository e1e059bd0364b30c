// SPDX-License-Identifier: Apache-2.0
#include "models/libsvm.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <utility>

#include "models/text.h"

namespace weir {
namespace {

Status Invalid(std::string message) {
  return Status(StatusCode::kInvalidArgument, std::move(message));
}

// Takes the next word off `*rest`; empty at the end.
std::string_view TakeWord(std::string_view* rest) {
  *rest = Trimmed(*rest);
  const size_t end = std::min(rest->find_first_of(" \t"), rest->size());
  const std::string_view word = rest->substr(0, end);
  rest->remove_prefix(end);
  return word;
}

// Adds the feature `pair`, whose index must exceed `previous`.
Status AddFeature(std::string_view pair, int32_t previous, const DatasetLimits& limits,
                  LibsvmRows* rows) {
  const size_t colon = pair.find(':');
  if (colon == std::string_view::npos) return Invalid(Quoted(pair) + " is not INDEX:VALUE");
  int32_t index = -1;
  const char* end = pair.data() + colon;
  const auto [stopped, error] = std::from_chars(pair.data(), end, index);
  if (error == std::errc::result_out_of_range || index > limits.columns) {
    return Status(StatusCode::kResourceExhausted,
                  Quoted(pair) + ": an index above " + std::to_string(limits.columns));
  }
  if (error != std::errc() || stopped != end || index < 0) {
    return Invalid(Quoted(pair) + ": the index is not a whole number from 0");
  }
  if (index <= previous) return Invalid(Quoted(pair) + ": the indices of a line must grow");
  const std::optional<double> number = ParseNumber(pair.substr(colon + 1));
  if (!number) return Invalid(Quoted(pair) + ": the value is not a number");
  const float value = static_cast<float>(*number);
  if (!std::isfinite(value)) {
    return Invalid(Quoted(pair) + ": the value is not a finite 32-bit number");
  }
  rows->indices.push_back(index);
  rows->values.push_back(value);
  rows->largest_index = std::max(rows->largest_index, index);
  rows->has_zero = rows->has_zero || index == 0;
  return Status();
}

Status AddRow(std::string_view line, int64_t number, const DatasetLimits& limits,
              LibsvmRows* rows) {
  const std::string_view label = TakeWord(&line);
  if (label.find(':') != std::string_view::npos) return Invalid("the line has no label");
  const Status added = rows->labels.Add(label, number);
  if (!added.ok()) return added;
  int32_t previous = -1;
  for (std::string_view word = TakeWord(&line); !word.empty(); word = TakeWord(&line)) {
    if (word.substr(0, 4) == "qid:") continue;
    const Status feature = AddFeature(word, previous, limits, rows);
    if (!feature.ok()) return feature;
    previous = rows->indices.back();
  }
  rows->row_ends.push_back(rows->indices.size());
  return Status();
}

}  // namespace

Result<LibsvmRows> ReadLibsvm(std::string_view text, const std::string& file,
                              const DatasetLimits& limits) {
  LibsvmRows rows;
  rows.file = file;
  for (Lines lines(text); lines.Next();) {
    const std::string_view line = Trimmed(lines.line().substr(0, lines.line().find('#')));
    if (line.empty()) continue;
    const Status added = AddRow(line, lines.number(), limits, &rows);
    if (!added.ok()) {
      return Status(added.code(),
                    file + ":" + std::to_string(lines.number()) + ": " + added.message());
    }
    const Status size = CheckSize(file, rows.labels.rows(), 1, limits);
    if (!size.ok()) return size;
  }
  if (rows.labels.rows() == 0) return ErrorAt(file, 1, "no rows");
  return rows;
}

Result<RawTable> Densify(const LibsvmRows& rows, int32_t first_index, int64_t columns,
                         const DatasetLimits& limits) {
  const int64_t count = rows.labels.rows();
  const Status size = CheckSize(rows.file, count, columns, limits);
  if (!size.ok()) return size;
  RawTable table;
  table.file = rows.file;
  table.rows = count;
  table.columns = columns;
  table.labels = rows.labels;
  table.features.assign(static_cast<size_t>(count * columns), 0.0f);
  size_t at = 0;
  for (int64_t row = 0; row < count; ++row) {
    for (; at < rows.row_ends[static_cast<size_t>(row)]; ++at) {
      const int64_t column = rows.indices[at] - first_index;
      table.features[static_cast<size_t>(row * columns + column)] = rows.values[at];
    }
  }
  return table;
}

}  // namespace weir
