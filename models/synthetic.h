// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_MODELS_SYNTHETIC_H_
#define WEIR_MODELS_SYNTHETIC_H_

#include <cstdint>

#include "models/raw_table.h"

namespace weir {

// Draws a classification problem: one centre a class, each coordinate normal with deviation 2;
// examples around the centres with deviation 1, the classes in turn (row i belongs to class i mod
// classes). A pure function of its arguments, the same bits on every host; a row does not depend on
// how many follow.
//
// INVALID_ARGUMENT: rows < classes, classes < 2 or features < 1. RESOURCE_EXHAUSTED: `limits`.
Result<RawTable> DrawSynthetic(int64_t rows, int64_t features, int64_t classes, uint64_t seed,
                               const DatasetLimits& limits);

}  // namespace weir

#endif  // WEIR_MODELS_SYNTHETIC_H_
