// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_MODELS_LIBSVM_H_
#define WEIR_MODELS_LIBSVM_H_

#include <string>
#include <string_view>
#include <vector>

#include "models/raw_table.h"

namespace weir {

// One file of the LIBSVM text format, still sparse: whether indices count from 0 or 1, and how many
// features there are, is known only when the test file was read too.
struct LibsvmRows {
  std::string file;
  RawLabels labels;
  std::vector<size_t> row_ends;  // per row, where its features end in the two below
  std::vector<int32_t> indices;  // as written
  std::vector<float> values;
  int32_t largest_index = -1;
  bool has_zero = false;  // some index is 0, so they count from 0
};

// Reads lines `LABEL INDEX:VALUE ...`: indices grow along a line, features left out are 0.
// Everything from # on is a comment; `qid:N` after the label is ignored; blank lines are skipped.
//
// Errors begin with FILE:LINE: INVALID_ARGUMENT (no pair, an index or value that is no number,
// indices that do not grow, no rows), RESOURCE_EXHAUSTED (`limits`).
Result<LibsvmRows> ReadLibsvm(std::string_view text, const std::string& file,
                              const DatasetLimits& limits);

// Writes the rows densely, with `columns` features, of which `first_index` is the first.
// REQUIRES: every index lies in [first_index, first_index + columns). RESOURCE_EXHAUSTED: `limits`.
Result<RawTable> Densify(const LibsvmRows& rows, int32_t first_index, int64_t columns,
                         const DatasetLimits& limits);

}  // namespace weir

#endif  // WEIR_MODELS_LIBSVM_H_
