// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_MODELS_CSV_H_
#define WEIR_MODELS_CSV_H_

#include <string>
#include <string_view>

#include "models/raw_table.h"

namespace weir {

// Reads comma-separated values: one example a line, a label in `label_column` (see DatasetOptions),
// numbers elsewhere.
//
// A cell may stand in double quotes, where "" is a quote and a comma is text; a line break is not
// allowed in one. Spaces around cells, and blank lines, are skipped. The first line is a header
// when none of its cells, the label's aside, is a number; otherwise it is data.
//
// Errors begin with FILE:LINE and are INVALID_ARGUMENT (a cell that is no finite number, a row of
// another length, no label, no such column, no rows) or RESOURCE_EXHAUSTED (`limits`).
Result<RawTable> ReadCsv(std::string_view text, const std::string& file,
                         const std::string& label_column, const DatasetLimits& limits);

}  // namespace weir

#endif  // WEIR_MODELS_CSV_H_
