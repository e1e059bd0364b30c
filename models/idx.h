// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_MODELS_IDX_H_
#define WEIR_MODELS_IDX_H_

#include <string>
#include <string_view>

#include "models/raw_table.h"

namespace weir {

// Reads a pair of IDX files, the format of MNIST: big-endian 32-bit numbers, then one byte a value.
//   images: 0x00000803, count, height, width, then count * height * width bytes
//   labels: 0x00000801, count, then count bytes
// One row an image, its bytes in order as features.
//
// INVALID_ARGUMENT: another magic number, counts that differ, bytes after the end, no images.
// DATA_LOSS: a file that is shorter than its header says. RESOURCE_EXHAUSTED: a header beyond
// `limits`.
Result<RawTable> ReadIdx(std::string_view images, const std::string& images_file,
                         std::string_view labels, const std::string& labels_file,
                         const DatasetLimits& limits);

}  // namespace weir

#endif  // WEIR_MODELS_IDX_H_
