// SPDX-License-Identifier: Apache-2.0
#include <cstdlib>
#include <memory>
#include <new>
#include <vector>

#include "gtest/gtest.h"
#include "models/classifier.h"
#include "tests/models/counted_allocations.h"
#include "tests/models/tensors_in_memory.h"

namespace weir {
namespace {

// How often `work` asks for memory.
template <typename Work>
uint64_t CountOf(Work work) {
  const uint64_t before = CountedAllocations();
  work();
  return CountedAllocations() - before;
}

TEST(CountedAllocationsTest, EveryWayToAskForMemoryIsSeen) {
  void* volatile memory = nullptr;
  EXPECT_EQ(CountOf([&] { memory = std::malloc(100); }), 1u);
  EXPECT_EQ(CountOf([&] { memory = std::realloc(memory, 100'000); }), 1u);
  std::free(memory);
  EXPECT_EQ(CountOf([&] { memory = std::calloc(10, 10); }), 1u);
  std::free(memory);
  EXPECT_EQ(CountOf([&] { memory = std::aligned_alloc(64, 128); }), 1u);
  std::free(memory);
  EXPECT_EQ(CountOf([&] { memory = ::operator new(100); }), 1u);
  ::operator delete(memory);
  AlignedFloats floats;
  EXPECT_EQ(CountOf([&] { memory = floats.Grow(100); }), 1u);
  EXPECT_EQ(CountOf([] {}), 0u);
}

// Widths of hidden layers: none, small, and wider and deeper than one tile of a product.
class SteadyStateTest : public testing::TestWithParam<std::vector<int64_t>> {};

TEST_P(SteadyStateTest, GradientAndEvaluateAllocateNothingAlsoWhereAnEpochBegins) {
  DatasetOptions options;
  options.format = "synthetic";
  options.rows = 700;
  options.features = 300;
  options.test_fraction = 0.1;
  Result<TrainTest> data = LoadDataset(options);
  ASSERT_TRUE(data.ok());
  Result<std::unique_ptr<Classifier>> made =
      Classifier::Create(std::move(data).value(), GetParam(), Activation::kTanh, 200, 1);
  ASSERT_TRUE(made.ok()) << made.status().ToString();
  Model& model = **made;
  TensorsInMemory weights(model.Tensors()), gradients(model.Tensors());
  weights.Initialize(model.Tensors(), 1);
  const auto step = [&](uint64_t number) {
    uint64_t examples = 0;
    for (uint32_t part = 0; part < 3; ++part) {
      Result<PartResult> result =
          model.Gradient({number, part, 3}, weights.views, gradients.mutable_views);
      examples += result.ok() ? result->examples : 0;
    }
    Result<Evaluation> evaluation = model.Evaluate(weights.views);
    return examples + (evaluation.ok() ? evaluation->examples : 0);
  };
  ASSERT_EQ(step(0), 270u);
  const uint64_t before = CountedAllocations();
  uint64_t examples = 0;
  for (uint64_t number = 1; number < 4 * model.StepsPerEpoch(); ++number) examples += step(number);
  EXPECT_EQ(CountedAllocations() - before, 0u);
  EXPECT_EQ(examples, 270 * (4 * model.StepsPerEpoch() - 1));
}

INSTANTIATE_TEST_SUITE_P(Hidden, SteadyStateTest,
                         testing::Values(std::vector<int64_t>{}, std::vector<int64_t>{16},
                                         std::vector<int64_t>{300, 257, 130}));

}  // namespace
}  // namespace weir
