// SPDX-License-Identifier: Apache-2.0
#include "models/dataset.h"

#include <zlib.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <limits>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace weir {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

// A directory of the test's own, removed at its end.
class DatasetTest : public testing::Test {
 protected:
  DatasetTest() {
    std::string name = testing::TempDir() + "/weir_dataset_XXXXXX";
    directory_ = mkdtemp(name.data());
  }
  ~DatasetTest() override { std::filesystem::remove_all(directory_); }

  std::string Write(const std::string& name, const std::string& bytes) {
    const std::string path = directory_ + "/" + name;
    std::ofstream(path, std::ios::binary) << bytes;
    return path;
  }

  std::string WriteGzip(const std::string& name, const std::string& bytes) {
    const std::string path = directory_ + "/" + name;
    gzFile file = gzopen(path.c_str(), "wb");
    EXPECT_EQ(gzwrite(file, bytes.data(), static_cast<unsigned>(bytes.size())),
              static_cast<int>(bytes.size()));
    gzclose(file);
    return path;
  }

  DatasetOptions Csv(const std::string& train, const std::string& test = "") {
    DatasetOptions options;
    options.format = "csv";
    options.path = Write("train.csv", train);
    if (!test.empty()) options.test_path = Write("test.csv", test);
    return options;
  }

  std::string directory_;
};

TrainTest Load(const DatasetOptions& options) {
  Result<TrainTest> sets = LoadDataset(options);
  EXPECT_TRUE(sets.ok()) << sets.status().ToString();
  return sets.ok() ? std::move(sets).value() : TrainTest();
}

Status Failure(const DatasetOptions& options) { return LoadDataset(options).status(); }

std::string BigEndian(uint32_t number) {
  std::string bytes;
  for (int shift = 24; shift >= 0; shift -= 8) bytes += static_cast<char>(number >> shift & 255);
  return bytes;
}

TEST_F(DatasetTest, BothSetsAreScaledByTheTrainingSetsLargestMagnitude) {
  const TrainTest sets = Load(Csv("1,-4,a\n2,0,b\n", "8,2,b\n"));
  EXPECT_THAT(sets.train.features, ElementsAre(0.25f, -1, 0.5f, 0));
  EXPECT_THAT(sets.train.labels, ElementsAre(0, 1));
  EXPECT_THAT(sets.test.features, ElementsAre(2, 0.5f));
  EXPECT_THAT(sets.test.labels, ElementsAre(1));
  EXPECT_THAT(sets.class_names, ElementsAre("a", "b"));
  EXPECT_EQ(sets.scale, 0.25f);
}

TEST_F(DatasetTest, AGivenScaleIsUsedAndAnAbsurdOneRefused) {
  DatasetOptions options = Csv("1,2,a\n3,4,b\n");
  options.scale = 0.5;
  EXPECT_THAT(Load(options).train.features, ElementsAre(0.5f, 1, 1.5f, 2));
  for (double scale : {0.0, -1.0, 1e300, 1e-300, std::numeric_limits<double>::quiet_NaN()}) {
    options.scale = scale;
    EXPECT_EQ(Failure(options).code(), StatusCode::kInvalidArgument) << scale;
  }
  options.scale = 3e38;
  EXPECT_EQ(Failure(options).message(), "scale makes a feature infinite");
}

TEST_F(DatasetTest, FeaturesThatAreAllZeroStayZero) {
  EXPECT_THAT(Load(Csv("0,a\n0,b\n")).train.features, ElementsAre(0, 0));
}

TEST_F(DatasetTest, AFractionIsHeldOutByTheSeedAndEveryRowIsInOneOfTheSets) {
  std::string text;
  for (int i = 0; i < 100; ++i) text += std::to_string(i) + "," + std::to_string(i % 2) + "\n";
  DatasetOptions options = Csv(text);
  options.test_fraction = 0.25;
  options.scale = 1;
  options.seed = 4;
  const TrainTest sets = Load(options);
  EXPECT_EQ(sets.test.rows, 25);
  EXPECT_EQ(sets.train.rows, 75);
  // The rows of each set are in the order of the file.
  EXPECT_TRUE(std::is_sorted(sets.train.features.begin(), sets.train.features.end()));
  EXPECT_TRUE(std::is_sorted(sets.test.features.begin(), sets.test.features.end()));
  std::vector<float> all = sets.train.features;
  all.insert(all.end(), sets.test.features.begin(), sets.test.features.end());
  std::sort(all.begin(), all.end());
  for (int i = 0; i < 100; ++i) EXPECT_EQ(all[static_cast<size_t>(i)], i);
  for (size_t i = 0; i < 25; ++i) {
    EXPECT_EQ(sets.test.labels[i], static_cast<int>(sets.test.features[i]) % 2);
  }
  EXPECT_EQ(Load(options).test.features, sets.test.features);
  options.seed = 5;
  EXPECT_NE(Load(options).test.features, sets.test.features);
}

TEST_F(DatasetTest, AFractionIsIgnoredWhereATestFileIsGiven) {
  DatasetOptions options = Csv("1,a\n2,b\n", "3,a\n");
  options.test_fraction = 0.5;
  EXPECT_EQ(Load(options).train.rows, 2);
  EXPECT_EQ(Load(options).test.rows, 1);
}

TEST_F(DatasetTest, AFractionOutOfRangeOrThatLeavesNothingIsRefused) {
  DatasetOptions options = Csv("1,a\n2,b\n");
  for (double fraction : {-0.1, 1.0, 2.0, std::numeric_limits<double>::quiet_NaN()}) {
    options.test_fraction = fraction;
    EXPECT_THAT(Failure(options).message(), HasSubstr("test_fraction must be")) << fraction;
  }
  options.test_fraction = 0.99;
  EXPECT_THAT(Failure(options).message(), HasSubstr("leaves none to train on"));
  options.test_fraction = 0.01;
  EXPECT_EQ(Load(options).test.rows, 1);
}

TEST_F(DatasetTest, WithoutATestSetThereAreNoTestRows) {
  EXPECT_EQ(Load(Csv("1,a\n2,b\n")).test.rows, 0);
}

TEST_F(DatasetTest, TrainAndTestMustHaveTheSameFeatures) {
  const Status status = Failure(Csv("1,2,a\n3,4,b\n", "1,a\n"));
  EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
  EXPECT_THAT(status.message(), HasSubstr("test.csv: 1 features a row, but "));
}

TEST_F(DatasetTest, ATestLabelOutOfRangeIsNamedWithItsLine) {
  EXPECT_THAT(Failure(Csv("1,0\n2,1\n", "1,0\n1,2\n")).message(),
              HasSubstr("test.csv:2: label '2' is none of the 2 classes"));
}

TEST_F(DatasetTest, ErrorsInTheTestFileNameTheTestFile) {
  EXPECT_THAT(Failure(Csv("1,0\n2,1\n", "1,0\nx,1\n")).message(),
              HasSubstr("test.csv:2: column 1: 'x' is not a number"));
}

TEST_F(DatasetTest, MissingFilesDirectoriesAndOptionsAreRefused) {
  DatasetOptions options;
  EXPECT_EQ(Failure(options).message(),
            "no data format ''; there are csv, idx, libsvm and synthetic");
  options.format = "csv";
  EXPECT_EQ(Failure(options).message(), "a csv data set needs a path");
  options.path = directory_ + "/absent.csv";
  EXPECT_EQ(Failure(options).code(), StatusCode::kNotFound);
  EXPECT_THAT(Failure(options).message(), HasSubstr("absent.csv: "));
  options.path = directory_;
  EXPECT_EQ(Failure(options).message(), directory_ + ": not a regular file");
  options = Csv("1,a\n2,b\n");
  options.test_path = directory_ + "/absent.csv";
  EXPECT_EQ(Failure(options).code(), StatusCode::kNotFound);
  options.format = "idx";
  EXPECT_EQ(Failure(options).message(), "an idx data set needs both images and labels");
  options.images = options.labels = options.test_images = options.path;
  EXPECT_THAT(Failure(options).message(), HasSubstr("both test_images and test_labels"));
}

TEST_F(DatasetTest, GzipIsUnpackedWhateverTheFilesName) {
  DatasetOptions options;
  options.format = "csv";
  options.path = WriteGzip("packed", "1,a\n2,b\n");
  EXPECT_EQ(Load(options).train.rows, 2);
}

TEST_F(DatasetTest, DamagedOrTruncatedGzipIsDataLoss) {
  std::string text;
  for (int i = 0; i < 5000; ++i) text += std::to_string(i * 7919 % 10007) + ",1\n1,0\n";
  DatasetOptions options;
  options.format = "csv";
  options.path = WriteGzip("packed.gz", text);
  std::ifstream in(options.path, std::ios::binary);
  const std::string packed((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
  EXPECT_EQ(Load(options).train.rows, 10'000);
  for (size_t size : {packed.size() - 1, packed.size() - 9, packed.size() / 2}) {
    options.path = Write("cut.gz", packed.substr(0, size));
    EXPECT_EQ(Failure(options).code(), StatusCode::kDataLoss) << size;
  }
  std::string damaged = packed;
  damaged[damaged.size() / 2] ^= 0x55;
  options.path = Write("damaged.gz", damaged);
  EXPECT_EQ(Failure(options).code(), StatusCode::kDataLoss);
}

TEST_F(DatasetTest, AFileBeyondTheLimitIsRefusedAlsoWhenItIsSmallOnDisk) {
  DatasetOptions options;
  options.format = "csv";
  options.limits.file_bytes = 1 << 20;
  options.path = WriteGzip("bomb.gz", std::string(8 << 20, '\n'));
  EXPECT_LT(std::filesystem::file_size(options.path), 1u << 20);
  EXPECT_EQ(Failure(options).code(), StatusCode::kResourceExhausted);
  EXPECT_THAT(Failure(options).message(), HasSubstr("more than 1048576 bytes"));
}

TEST_F(DatasetTest, IdxIsReadPlainAndGzipped) {
  const std::string images = BigEndian(0x803) + BigEndian(2) + BigEndian(1) + BigEndian(2) +
                             std::string("\x00\xff\x33\x66", 4);
  const std::string labels = BigEndian(0x801) + BigEndian(2) + std::string("\x00\x01", 2);
  DatasetOptions options;
  options.format = "idx";
  options.images = Write("images", images);
  options.labels = WriteGzip("labels.gz", labels);
  options.test_images = WriteGzip("test_images.gz", images);
  options.test_labels = Write("test_labels", labels);
  const TrainTest sets = Load(options);
  EXPECT_THAT(sets.train.features,
              ElementsAre(0, 1, testing::FloatEq(0.2f), testing::FloatEq(0.4f)));
  EXPECT_THAT(sets.train.labels, ElementsAre(0, 1));
  EXPECT_EQ(sets.test.features, sets.train.features);

  options.test_labels = Write("bad", BigEndian(0x801) + BigEndian(2) + std::string("\x00\x07", 2));
  EXPECT_THAT(Failure(options).message(), HasSubstr("bad:2: label '7' is none of the 2 classes"));
}

TEST_F(DatasetTest, LibsvmTrainAndTestShareTheirFeatures) {
  DatasetOptions options;
  options.format = "libsvm";
  options.path = Write("train", "1 1:4\n2 2:2\n");
  options.test_path = Write("test", "1 3:1\n");
  TrainTest sets = Load(options);
  EXPECT_THAT(sets.train.features, ElementsAre(1, 0, 0, 0, 0.5f, 0));
  EXPECT_THAT(sets.test.features, ElementsAre(0, 0, 0.25f));
  // An index 0 in either file means that both count from 0.
  options.test_path = Write("test", "1 0:1\n");
  sets = Load(options);
  EXPECT_THAT(sets.train.features, ElementsAre(0, 1, 0, 0, 0, 0.5f));
  EXPECT_THAT(sets.test.features, ElementsAre(0.25f, 0, 0));
  options.path = Write("train", "1\n2\n");
  options.test_path.clear();
  EXPECT_THAT(Failure(options).message(), HasSubstr("no features in any row"));
}

TEST_F(DatasetTest, SyntheticDataNeedsNoFile) {
  DatasetOptions options;
  options.format = "synthetic";
  options.test_fraction = 0.1;
  const TrainTest sets = Load(options);
  EXPECT_EQ(sets.train.rows, 900);
  EXPECT_EQ(sets.test.rows, 100);
  EXPECT_EQ(sets.train.columns, 16);
  EXPECT_EQ(sets.classes(), 4);
  options.rows = -1;
  EXPECT_EQ(Failure(options).code(), StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace weir
