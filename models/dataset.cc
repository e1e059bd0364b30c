// SPDX-License-Identifier: Apache-2.0
#include "models/dataset.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include "models/csv.h"
#include "models/file_bytes.h"
#include "models/idx.h"
#include "models/libsvm.h"
#include "models/random.h"
#include "models/raw_table.h"
#include "models/synthetic.h"

namespace weir {
namespace {

// What the readers leave; `test` has 0 rows where there is no test file.
struct RawTables {
  RawTable train;
  RawTable test;
};

Status Invalid(std::string message) {
  return Status(StatusCode::kInvalidArgument, std::move(message));
}

Result<RawTables> LoadCsv(const DatasetOptions& options) {
  RawTables tables;
  for (const bool test : {false, true}) {
    const std::string& path = test ? options.test_path : options.path;
    if (test && path.empty()) break;
    Result<std::string> text = ReadFileBytes(path, options.limits.file_bytes);
    if (!text.ok()) return text.status();
    Result<RawTable> table = ReadCsv(*text, path, options.label_column, options.limits);
    if (!table.ok()) return table.status();
    (test ? tables.test : tables.train) = std::move(table).value();
  }
  return tables;
}

Result<LibsvmRows> LoadLibsvmRows(const std::string& path, const DatasetLimits& limits) {
  Result<std::string> text = ReadFileBytes(path, limits.file_bytes);
  if (!text.ok()) return text.status();
  return ReadLibsvm(*text, path, limits);
}

Result<RawTables> LoadLibsvm(const DatasetOptions& options) {
  Result<LibsvmRows> train = LoadLibsvmRows(options.path, options.limits);
  if (!train.ok()) return train.status();
  Result<LibsvmRows> test = LibsvmRows();
  if (!options.test_path.empty()) test = LoadLibsvmRows(options.test_path, options.limits);
  if (!test.ok()) return test.status();
  const int32_t first_index = train->has_zero || test->has_zero ? 0 : 1;
  const int64_t columns =
      std::max(train->largest_index, test->largest_index) - int64_t{first_index} + 1;
  if (columns < 1) return ErrorAt(options.path, 1, "no features in any row");
  Result<RawTable> dense = Densify(*train, first_index, columns, options.limits);
  if (!dense.ok()) return dense.status();
  Result<RawTable> dense_test = Densify(*test, first_index, columns, options.limits);
  if (!dense_test.ok()) return dense_test.status();
  return RawTables{std::move(dense).value(), std::move(dense_test).value()};
}

Result<RawTable> LoadIdxPair(const std::string& images, const std::string& labels,
                             const DatasetLimits& limits) {
  Result<std::string> image_bytes = ReadFileBytes(images, limits.file_bytes);
  if (!image_bytes.ok()) return image_bytes.status();
  Result<std::string> label_bytes = ReadFileBytes(labels, limits.file_bytes);
  if (!label_bytes.ok()) return label_bytes.status();
  return ReadIdx(*image_bytes, images, *label_bytes, labels, limits);
}

Result<RawTables> LoadIdx(const DatasetOptions& options) {
  if (options.images.empty() || options.labels.empty()) {
    return Invalid("an idx data set needs both images and labels");
  }
  if (options.test_images.empty() != options.test_labels.empty()) {
    return Invalid("an idx data set needs both test_images and test_labels, or neither");
  }
  RawTables tables;
  Result<RawTable> train = LoadIdxPair(options.images, options.labels, options.limits);
  if (!train.ok()) return train.status();
  tables.train = std::move(train).value();
  if (options.test_images.empty()) return tables;
  Result<RawTable> test = LoadIdxPair(options.test_images, options.test_labels, options.limits);
  if (!test.ok()) return test.status();
  tables.test = std::move(test).value();
  return tables;
}

Result<RawTables> LoadTables(const DatasetOptions& options) {
  if (options.format == "idx") return LoadIdx(options);
  if (options.format == "synthetic") {
    Result<RawTable> drawn = DrawSynthetic(options.rows, options.features, options.classes,
                                           options.seed, options.limits);
    if (!drawn.ok()) return drawn.status();
    return RawTables{std::move(drawn).value(), RawTable()};
  }
  if (options.format != "csv" && options.format != "libsvm") {
    return Invalid("no data format '" + options.format +
                   "'; there are csv, idx, libsvm and synthetic");
  }
  if (options.path.empty()) return Invalid("a " + options.format + " data set needs a path");
  return options.format == "csv" ? LoadCsv(options) : LoadLibsvm(options);
}

Result<Dataset> ToDataset(RawTable table, const ClassMap& classes) {
  Result<std::vector<int32_t>> labels = classes.Apply(table.labels, table.file);
  if (!labels.ok()) return labels.status();
  Dataset set;
  set.rows = table.rows;
  set.columns = table.columns;
  set.features = std::move(table.features);
  set.labels = std::move(labels).value();
  return set;
}

Dataset Select(const Dataset& set, const uint32_t* rows, int64_t count) {
  Dataset selected;
  selected.rows = count;
  selected.columns = set.columns;
  for (int64_t i = 0; i < count; ++i) {
    const float* row = set.features.data() + rows[i] * set.columns;
    selected.features.insert(selected.features.end(), row, row + set.columns);
    selected.labels.push_back(set.labels[rows[i]]);
  }
  return selected;
}

// Moves test_fraction of the training rows, at least one, to the test set. Rows keep their order in
// both.
Status Split(double fraction, uint64_t seed, TrainTest* sets) {
  constexpr uint64_t kSplitStream = 0x73706c6974;  // "split"
  const int64_t rows = sets->train.rows;
  const int64_t test_rows =
      std::max<int64_t>(1, std::llround(static_cast<double>(rows) * fraction));
  if (test_rows >= rows) {
    return Invalid("test_fraction " + std::to_string(fraction) + " of " + std::to_string(rows) +
                   " rows leaves none to train on");
  }
  std::vector<uint32_t> order(static_cast<size_t>(rows));
  std::iota(order.begin(), order.end(), 0u);
  SeededRandom random(seed, kSplitStream);
  for (int64_t i = rows - 1; i > 0; --i) {
    std::swap(order[static_cast<size_t>(i)], order[random.Below(static_cast<uint32_t>(i + 1))]);
  }
  std::sort(order.begin(), order.begin() + test_rows);
  std::sort(order.begin() + test_rows, order.end());
  sets->test = Select(sets->train, order.data(), test_rows);
  sets->train = Select(sets->train, order.data() + test_rows, rows - test_rows);
  return Status();
}

Status Scale(const std::optional<double>& wanted, TrainTest* sets) {
  if (wanted) {
    sets->scale = static_cast<float>(*wanted);
    if (!std::isfinite(sets->scale) || sets->scale <= 0) {
      return Invalid("scale must be positive and finite, not " + std::to_string(*wanted));
    }
  } else {
    float largest = 0;
    for (float value : sets->train.features) largest = std::max(largest, std::fabs(value));
    // The smallest magnitudes have no finite inverse: such features stay as they are.
    sets->scale = largest > 1e-30f ? 1.0f / largest : 1.0f;
  }
  for (Dataset* set : {&sets->train, &sets->test}) {
    for (float& value : set->features) {
      value *= sets->scale;
      if (!std::isfinite(value)) return Invalid("scale makes a feature infinite");
    }
  }
  return Status();
}

}  // namespace

Result<TrainTest> LoadDataset(const DatasetOptions& options) {
  if (!(options.test_fraction >= 0 && options.test_fraction < 1)) {
    return Invalid("test_fraction must be 0 or more and below 1, not " +
                   std::to_string(options.test_fraction));
  }
  Result<RawTables> tables = LoadTables(options);
  if (!tables.ok()) return tables.status();
  if (tables->test.rows > 0 && tables->test.columns != tables->train.columns) {
    return Invalid(tables->test.file + ": " + std::to_string(tables->test.columns) +
                   " features a row, but " + tables->train.file + " has " +
                   std::to_string(tables->train.columns));
  }
  Result<ClassMap> classes =
      ClassMap::Create(tables->train.labels, tables->train.file, options.limits.classes);
  if (!classes.ok()) return classes.status();
  Result<Dataset> train = ToDataset(std::move(tables->train), *classes);
  if (!train.ok()) return train.status();
  Result<Dataset> test = ToDataset(std::move(tables->test), *classes);
  if (!test.ok()) return test.status();

  TrainTest sets;
  sets.class_names = classes->names();
  sets.train = std::move(train).value();
  sets.test = std::move(test).value();
  Status status;
  if (sets.test.rows == 0 && options.test_fraction > 0) {
    status = Split(options.test_fraction, options.seed, &sets);
  }
  if (status.ok()) status = Scale(options.scale, &sets);
  if (!status.ok()) return status;
  return sets;
}

}  // namespace weir
