// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_MODELS_DATASET_H_
#define WEIR_MODELS_DATASET_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "weir/status.h"

namespace weir {

// Labelled examples in memory.
struct Dataset {
  int64_t rows = 0;
  int64_t columns = 0;
  std::vector<float> features;  // [rows, columns], row-major, all finite
  std::vector<int32_t> labels;  // [rows], each in [0, classes)
};

// A training set, the test set that belongs to it (0 rows: none), and what their labels mean.
struct TrainTest {
  Dataset train;
  Dataset test;
  std::vector<std::string> class_names;  // [classes]
  float scale = 1;                       // what both sets' features were multiplied by

  int32_t classes() const { return static_cast<int32_t>(class_names.size()); }
};

// The most that a data set may hold. A larger one is refused before memory is taken for it.
struct DatasetLimits {
  size_t file_bytes = size_t{1} << 30;  // of one file, after unpacking gzip
  int64_t rows = 10'000'000;            // of one set
  int64_t columns = 65'536;             // features
  int64_t values = int64_t{1} << 28;    // rows * columns of one set: 1 GiB of memory
  int64_t classes = 65'536;
};

// Where the examples come from. Options of formats that are not in use are ignored.
struct DatasetOptions {
  // "csv", "idx", "libsvm" or "synthetic". Any file may be gzipped.
  std::string format;

  // csv, libsvm: the training file, and the test file or "".
  std::string path;
  std::string test_path;

  // idx: the training and test images and labels; both test files or none.
  std::string images;
  std::string labels;
  std::string test_images;
  std::string test_labels;

  // Share of the rows set aside as the test set, in [0, 1), drawn by `seed`; ignored where a test
  // file is given.
  double test_fraction = 0;

  // csv: the column that holds the label: a name of the header, an index from 0, or "last" (also
  // "").
  std::string label_column;

  // What every feature is multiplied by; default 1 / the largest magnitude in the training set.
  std::optional<double> scale;

  // synthetic: its size.
  int64_t rows = 1000;
  int64_t features = 16;
  int64_t classes = 4;

  uint64_t seed = 0;
  DatasetLimits limits;
};

// Reads, splits and scales a data set: a pure function of the files and the options.
//
// Labels: where all training labels are whole numbers from 0, the class is the number; otherwise
// classes are the distinct labels in the order of their bytes.
//
// INVALID_ARGUMENT: an option out of its range; a malformed file (the message begins FILE:LINE), an
// empty one, one that
//   leaves no row to train on; a feature that is no finite number; a test label that is no training
//   class.
// NOT_FOUND: no such file. DATA_LOSS: damaged gzip, truncated IDX. RESOURCE_EXHAUSTED: a limit,
// named.
Result<TrainTest> LoadDataset(const DatasetOptions& options);

}  // namespace weir

#endif  // WEIR_MODELS_DATASET_H_
