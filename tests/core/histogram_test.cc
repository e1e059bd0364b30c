// SPDX-License-Identifier: Apache-2.0
#include "core/histogram.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/core/random_floats.h"

namespace weir {
namespace {

using ::testing::IsEmpty;

// Of every magnitude.
uint64_t AnyValue(TestRandom* random) { return random->Next() >> random->Below(64); }

TEST(HistogramTest, EveryValueLiesInItsBucketAndIsReadBackToWithin256th) {
  TestRandom random(1);
  std::vector<uint64_t> values = {0, 1, 127, 128, 255, 256, 257, ~uint64_t{0}};
  for (int bit = 1; bit < 64; ++bit) {
    const uint64_t power = uint64_t{1} << bit;
    values.insert(values.end(), {power - 1, power, power + 1});
  }
  for (int i = 0; i < 2000; ++i) values.push_back(AnyValue(&random));
  for (uint64_t value : values) {
    Histogram histogram;
    histogram.Record(value);
    histogram.Record(0);
    histogram.Record(~uint64_t{0});
    const uint64_t read = histogram.Percentile(50);
    const uint64_t error = read > value ? read - value : value - read;
    EXPECT_LE(static_cast<double>(error), static_cast<double>(value) / 256) << value;
    bool found = false;
    for (const Histogram::Bucket& bucket : histogram.Buckets()) {
      found |= bucket.low <= value && value <= bucket.high;
    }
    EXPECT_TRUE(found) << value;
  }
}

TEST(HistogramTest, BucketsAreAscendingWithoutGapsOrOverlaps) {
  Histogram histogram;
  uint64_t value = 0;
  uint64_t buckets = 0;
  for (;; ++buckets) {
    Histogram one;
    one.Record(value);
    const Histogram::Bucket bucket = one.Buckets().at(0);
    ASSERT_EQ(bucket.low, value);
    ASSERT_GE(bucket.high, bucket.low);
    if (bucket.high == ~uint64_t{0}) break;
    value = bucket.high + 1;
  }
  EXPECT_EQ(buckets + 1, 256u + 56 * 128);
}

TEST(HistogramTest, PercentilesAreThoseOfTheSortedValuesToWithin256th) {
  TestRandom random(2);
  for (size_t n : {1, 2, 3, 10, 999, 20000}) {
    Histogram histogram;
    std::vector<uint64_t> values;
    for (size_t i = 0; i < n; ++i) {
      values.push_back(AnyValue(&random));
      histogram.Record(values.back());
    }
    std::sort(values.begin(), values.end());
    for (double percent : {0.0, 0.1, 25.0, 50.0, 90.0, 99.0, 99.9, 100.0}) {
      const size_t rank = static_cast<size_t>(std::ceil(percent / 100 * static_cast<double>(n)));
      const double exact = static_cast<double>(values[rank == 0 ? 0 : rank - 1]);
      EXPECT_NEAR(static_cast<double>(histogram.Percentile(percent)), exact, exact / 256)
          << percent << " % of " << n;
    }
    EXPECT_EQ(histogram.Percentile(0), values.front());
    EXPECT_EQ(histogram.Percentile(100), values.back());
  }
}

TEST(HistogramTest, CountMinMaxAndMeanAreExact) {
  Histogram histogram;
  for (uint64_t value : {1000, 3001, 77}) histogram.Record(value);
  histogram.Record(10, 7);
  EXPECT_EQ(histogram.count(), 10u);
  EXPECT_EQ(histogram.min(), 10u);
  EXPECT_EQ(histogram.max(), 3001u);
  EXPECT_DOUBLE_EQ(histogram.mean(), (1000 + 3001 + 77 + 70) / 10.0);
}

TEST(HistogramTest, SumOfHugeValuesDoesNotOverflow) {
  Histogram histogram;
  histogram.Record(~uint64_t{0}, 1000000);
  histogram.Record(~uint64_t{0});
  EXPECT_DOUBLE_EQ(histogram.mean(), 0x1p64);
}

TEST(HistogramTest, MergeGivesWhatRecordingEverythingInOneGives) {
  TestRandom random(3);
  Histogram all;
  Histogram parts[3];
  for (int i = 0; i < 3000; ++i) {
    const uint64_t value = AnyValue(&random);
    all.Record(value);
    parts[i % 3].Record(value);
  }
  Histogram merged;
  for (const Histogram& part : parts) merged.Merge(part);
  merged.Merge(Histogram());
  EXPECT_EQ(merged.count(), all.count());
  EXPECT_EQ(merged.min(), all.min());
  EXPECT_EQ(merged.max(), all.max());
  EXPECT_EQ(merged.mean(), all.mean());
  ASSERT_EQ(merged.Buckets().size(), all.Buckets().size());
  uint64_t total = 0;
  for (size_t i = 0; i < all.Buckets().size(); ++i) {
    EXPECT_EQ(merged.Buckets()[i].low, all.Buckets()[i].low);
    EXPECT_EQ(merged.Buckets()[i].count, all.Buckets()[i].count);
    total += all.Buckets()[i].count;
  }
  EXPECT_EQ(total, 3000u);
}

TEST(HistogramTest, EmptyAndClearedOnesSayZero) {
  Histogram histogram;
  for (int round = 0; round < 2; ++round) {
    EXPECT_EQ(histogram.count(), 0u);
    EXPECT_EQ(histogram.min(), 0u);
    EXPECT_EQ(histogram.max(), 0u);
    EXPECT_EQ(histogram.mean(), 0);
    EXPECT_EQ(histogram.Percentile(50), 0u);
    EXPECT_THAT(histogram.Buckets(), IsEmpty());
    histogram.Record(5);
    histogram.Clear();
  }
}

}  // namespace
}  // namespace weir
