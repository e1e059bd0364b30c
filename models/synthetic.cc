// SPDX-License-Identifier: Apache-2.0
#include "models/synthetic.h"

#include "models/random.h"

namespace weir {
namespace {

// Streams of the seed: centres from 0 on, rows from here on.
constexpr uint64_t kRowStreams = uint64_t{1} << 32;

}  // namespace

Result<RawTable> DrawSynthetic(int64_t rows, int64_t features, int64_t classes, uint64_t seed,
                               const DatasetLimits& limits) {
  RawTable table;
  table.file = "synthetic data";
  if (features < 1 || classes < 2 || rows < classes) {
    return Status(StatusCode::kInvalidArgument,
                  table.file +
                      ": needs 1 feature, 2 classes and a row for each class, or more; got " +
                      std::to_string(features) + " features, " + std::to_string(classes) +
                      " classes, " + std::to_string(rows) + " rows");
  }
  Status status = CheckSize(table.file, rows, features, limits);
  if (status.ok()) status = CheckSize(table.file, classes, features, limits);
  if (!status.ok()) return status;
  std::vector<float> centres;
  centres.reserve(static_cast<size_t>(classes * features));
  for (int64_t c = 0; c < classes; ++c) {
    SeededRandom random(seed, static_cast<uint64_t>(c));
    for (int64_t i = 0; i < features; ++i) centres.push_back(2.0f * random.Normal());
  }
  table.rows = rows;
  table.columns = features;
  table.features.reserve(static_cast<size_t>(rows * features));
  for (int64_t row = 0; row < rows; ++row) {
    const int64_t c = row % classes;
    SeededRandom random(seed, kRowStreams + static_cast<uint64_t>(row));
    const float* centre = centres.data() + c * features;
    for (int64_t i = 0; i < features; ++i) table.features.push_back(centre[i] + random.Normal());
    status = table.labels.Add(std::to_string(c), row + 1);
    if (!status.ok()) return status;
  }
  return table;
}

}  // namespace weir
