// SPDX-License-Identifier: Apache-2.0
#include "models/csv.h"

#include <charconv>
#include <cmath>
#include <utility>
#include <vector>

#include "models/text.h"

namespace weir {
namespace {

// Reads the quoted cell at the start of `*rest` and the comma or end after it. False when it is
// malformed.
bool TakeQuoted(std::string_view* rest, std::string* cell) {
  rest->remove_prefix(1);
  for (;;) {
    const size_t quote = rest->find('"');
    if (quote == std::string_view::npos) return false;
    cell->append(rest->substr(0, quote));
    rest->remove_prefix(quote + 1);
    if (rest->empty() || rest->front() != '"') break;
    *cell += '"';
    rest->remove_prefix(1);
  }
  *rest = Trimmed(*rest);
  return rest->empty() || rest->front() == ',';
}

// Cuts `line` into cells, reusing their memory. False when a quoted cell does not end as it must.
bool SplitCells(std::string_view line, std::vector<std::string>* cells) {
  size_t count = 0;
  for (bool more = true; more; ++count) {
    if (count == cells->size()) cells->emplace_back();
    std::string& cell = (*cells)[count];
    cell.clear();
    line = Trimmed(line);
    if (!line.empty() && line.front() == '"') {
      if (!TakeQuoted(&line, &cell)) return false;
    } else {
      const size_t comma = std::min(line.find(','), line.size());
      cell = Trimmed(line.substr(0, comma));
      line.remove_prefix(comma);
    }
    more = !line.empty();
    if (more) line.remove_prefix(1);
  }
  cells->resize(count);
  return true;
}

// The place of the label among `cells` of the first line; -1: it is a name that is not there.
int64_t FindLabel(const std::string& label_column, const std::vector<std::string>& cells) {
  const int64_t count = static_cast<int64_t>(cells.size());
  for (int64_t i = 0; i < count; ++i) {
    if (!label_column.empty() && cells[static_cast<size_t>(i)] == label_column &&
        !ParseNumber(label_column)) {
      return i;
    }
  }
  if (label_column.empty() || label_column == "last") return count - 1;
  int64_t index = -1;
  const char* end = label_column.data() + label_column.size();
  const auto [stopped, error] = std::from_chars(label_column.data(), end, index);
  return error == std::errc() && stopped == end && index >= 0 && index < count ? index : -1;
}

bool IsHeader(const std::vector<std::string>& cells, int64_t label) {
  for (size_t i = 0; i < cells.size(); ++i) {
    if (static_cast<int64_t>(i) != label && ParseNumber(cells[i])) return false;
  }
  return cells.size() > 1;
}

// Appends one row of data. The message of a failure does not name the place.
Status AddRow(const std::vector<std::string>& cells, int64_t label, int64_t line, RawTable* table) {
  const auto invalid = [](std::string message) {
    return Status(StatusCode::kInvalidArgument, std::move(message));
  };
  if (static_cast<int64_t>(cells.size()) != table->columns + 1) {
    return invalid(std::to_string(cells.size()) + " cells, but the first row has " +
                   std::to_string(table->columns + 1));
  }
  for (size_t i = 0; i < cells.size(); ++i) {
    if (static_cast<int64_t>(i) == label) continue;
    const std::optional<double> number = ParseNumber(cells[i]);
    const std::string column = "column " + std::to_string(i + 1) + ": " + Quoted(cells[i]);
    if (!number) return invalid(column + " is not a number");
    const float value = static_cast<float>(*number);
    if (!std::isfinite(value)) return invalid(column + " is not a finite 32-bit number");
    table->features.push_back(value);
  }
  ++table->rows;
  return table->labels.Add(cells[static_cast<size_t>(label)], line);
}

}  // namespace

Result<RawTable> ReadCsv(std::string_view text, const std::string& file,
                         const std::string& label_column, const DatasetLimits& limits) {
  RawTable table;
  table.file = file;
  int64_t label = -1;
  std::vector<std::string> cells;
  for (Lines lines(text); lines.Next();) {
    if (lines.line().empty()) continue;
    if (!SplitCells(lines.line(), &cells)) {
      return ErrorAt(file, lines.number(), "a quoted cell does not end in this line");
    }
    if (label < 0) {
      label = FindLabel(label_column, cells);
      if (label < 0) {
        return ErrorAt(
            file, lines.number(),
            "no column " + Quoted(label_column) + " among " + std::to_string(cells.size()));
      }
      if (cells.size() < 2) {
        return ErrorAt(file, lines.number(), "one column only: no features beside the label");
      }
      table.columns = static_cast<int64_t>(cells.size()) - 1;
      if (IsHeader(cells, label)) continue;
    }
    const Status added = AddRow(cells, label, lines.number(), &table);
    if (!added.ok()) return ErrorAt(file, lines.number(), added.message());
    const Status size = CheckSize(file, table.rows, table.columns, limits);
    if (!size.ok()) return size;
  }
  if (table.rows == 0) return ErrorAt(file, 1, "no rows");
  return table;
}

}  // namespace weir
