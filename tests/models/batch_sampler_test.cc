// SPDX-License-Identifier: Apache-2.0
#include "models/batch_sampler.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace weir {
namespace {

BatchSampler Sampler(uint64_t seed, int64_t rows, int64_t batch) {
  Result<BatchSampler> sampler = BatchSampler::Create(seed, rows, batch);
  EXPECT_TRUE(sampler.ok()) << sampler.status().ToString();
  return std::move(sampler).value();
}

std::vector<uint32_t> Rows(BatchSampler* sampler, uint64_t step, uint32_t part, uint32_t parts) {
  const RowRange range = sampler->Rows({step, part, parts});
  return std::vector<uint32_t>(range.rows, range.rows + range.count);
}

std::vector<uint32_t> Epoch(BatchSampler* sampler, uint64_t epoch) {
  std::vector<uint32_t> all;
  for (uint64_t k = 0; k < sampler->StepsPerEpoch(); ++k) {
    const auto rows = Rows(sampler, epoch * sampler->StepsPerEpoch() + k, 0, 1);
    all.insert(all.end(), rows.begin(), rows.end());
  }
  return all;
}

TEST(BatchSamplerTest, AnEpochHoldsNoRowTwiceAndLeavesOutLessThanABatch) {
  BatchSampler sampler = Sampler(1, 103, 10);
  EXPECT_EQ(sampler.StepsPerEpoch(), 10u);
  std::vector<uint32_t> rows = Epoch(&sampler, 3);
  EXPECT_EQ(rows.size(), 100u);
  std::sort(rows.begin(), rows.end());
  EXPECT_EQ(std::unique(rows.begin(), rows.end()), rows.end());
  EXPECT_LT(rows.back(), 103u);
}

TEST(BatchSamplerTest, EpochsAndSeedsDifferInTheirOrder) {
  BatchSampler sampler = Sampler(1, 100, 10), other = Sampler(2, 100, 10);
  EXPECT_NE(Epoch(&sampler, 0), Epoch(&sampler, 1));
  EXPECT_NE(Epoch(&sampler, 0), Epoch(&other, 0));
}

TEST(BatchSamplerTest, RowsDoNotDependOnWhatWasAskedBefore) {
  BatchSampler forth = Sampler(7, 50, 8), back = Sampler(7, 50, 8);
  std::vector<std::vector<uint32_t>> steps(30);
  for (uint64_t step = 0; step < 30; ++step) steps[step] = Rows(&forth, step, 1, 3);
  for (uint64_t step = 30; step-- > 0;) EXPECT_EQ(Rows(&back, step, 1, 3), steps[step]) << step;
}

TEST(BatchSamplerTest, PartsInOrderMakeTheBatchAndDifferByAtMostOneRow) {
  BatchSampler sampler = Sampler(3, 100, 32);
  for (uint32_t parts : {1u, 2u, 3u, 5u, 7u, 31u, 32u, 33u, 40u}) {
    std::vector<uint32_t> joined;
    for (uint32_t part = 0; part < parts; ++part) {
      const auto rows = Rows(&sampler, 4, part, parts);
      EXPECT_THAT(rows.size(), testing::AnyOf(32 / parts, 32 / parts + 1)) << parts;
      joined.insert(joined.end(), rows.begin(), rows.end());
    }
    EXPECT_EQ(joined, Rows(&sampler, 4, 0, 1)) << parts;
  }
}

TEST(BatchSamplerTest, EveryOrderIsAboutAsLikely) {
  // 3 rows have 6 orders; over 6,000 epochs each comes 1,000 times, give or take 5 deviations
  // of 29.
  BatchSampler sampler = Sampler(9, 3, 3);
  std::vector<int> counts(27);
  for (uint64_t epoch = 0; epoch < 6000; ++epoch) {
    const auto rows = Rows(&sampler, epoch, 0, 1);
    ++counts[rows[0] * 9 + rows[1] * 3 + rows[2]];
  }
  int orders = 0;
  for (int count : counts) {
    if (count == 0) continue;
    ++orders;
    EXPECT_NEAR(count, 1000, 145);
  }
  EXPECT_EQ(orders, 6);
}

// A change here breaks runs that were begun by an earlier build.
TEST(BatchSamplerTest, TheOrderOfASeedIsFixedForGood) {
  BatchSampler sampler = Sampler(42, 10, 10);
  EXPECT_THAT(Rows(&sampler, 0, 0, 1), testing::ElementsAre(5, 1, 9, 6, 7, 2, 4, 0, 8, 3));
}

TEST(BatchSamplerTest, ABatchOfTheWholeSetIsOneStep) {
  EXPECT_EQ(Sampler(1, 10, 10).StepsPerEpoch(), 1u);
}

TEST(BatchSamplerTest, ABatchLargerThanTheSetOrBelowOneIsRefused) {
  const Status larger = BatchSampler::Create(1, 10, 11).status();
  EXPECT_EQ(larger.code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(larger.message(), "a batch of 11 rows is larger than the training set of 10");
  EXPECT_EQ(BatchSampler::Create(1, 10, 0).status().code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(BatchSampler::Create(1, 10, -5).status().code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(BatchSampler::Create(1, 0, 1).status().code(), StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace weir
