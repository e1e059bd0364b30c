// SPDX-License-Identifier: Apache-2.0
#include "core/schedule.h"

#include <cmath>
#include <limits>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace weir {
namespace {

using ::testing::HasSubstr;

TEST(ScheduleTest, ConstantStaysWhatItIs) {
  ScheduleSpec spec;
  spec.base_rate = 0.1;
  EXPECT_EQ(LearningRate(spec, 0), 0.1f);
  EXPECT_EQ(LearningRate(spec, 1u << 30), 0.1f);
}

TEST(ScheduleTest, WarmUpClimbsByEqualStepsToTheBaseRate) {
  ScheduleSpec spec;
  spec.base_rate = 1;
  spec.warmup_steps = 4;
  EXPECT_FLOAT_EQ(LearningRate(spec, 0), 0.2f);
  EXPECT_FLOAT_EQ(LearningRate(spec, 1), 0.4f);
  EXPECT_FLOAT_EQ(LearningRate(spec, 3), 0.8f);
  EXPECT_EQ(LearningRate(spec, 4), 1.0f);
  EXPECT_EQ(LearningRate(spec, 5), 1.0f);
}

TEST(ScheduleTest, StepDecaysEverySoManyStepsAfterTheWarmUp) {
  ScheduleSpec spec;
  spec.type = ScheduleType::kStep;
  spec.base_rate = 1;
  spec.every = 10;
  spec.gamma = 0.5;
  spec.warmup_steps = 3;
  EXPECT_EQ(LearningRate(spec, 3), 1.0f);
  EXPECT_EQ(LearningRate(spec, 12), 1.0f);
  EXPECT_EQ(LearningRate(spec, 13), 0.5f);
  EXPECT_EQ(LearningRate(spec, 23), 0.25f);
  EXPECT_EQ(LearningRate(spec, ~uint64_t{0}), 0.0f);
}

TEST(ScheduleTest, CosineFallsFromBaseToMinimumAndStaysThere) {
  ScheduleSpec spec;
  spec.type = ScheduleType::kCosine;
  spec.base_rate = 0.5;
  spec.min_rate = 0.1;
  spec.warmup_steps = 10;
  spec.total_steps = 110;
  EXPECT_EQ(LearningRate(spec, 10), 0.5f);
  EXPECT_FLOAT_EQ(LearningRate(spec, 60), 0.3f);
  EXPECT_EQ(LearningRate(spec, 110), 0.1f);
  EXPECT_EQ(LearningRate(spec, ~uint64_t{0}), 0.1f);
  for (uint64_t step = 10; step < 110; ++step) {
    const double expected = 0.1 + 0.4 * (1 + std::cos(M_PI * (step - 10) / 100.0)) / 2;
    EXPECT_FLOAT_EQ(LearningRate(spec, step), static_cast<float>(expected)) << step;
    EXPECT_GT(LearningRate(spec, step), LearningRate(spec, step + 1));
  }
}

TEST(ScheduleTest, NamesParseBackAndUnknownOnesAreRefused) {
  for (ScheduleType type : {ScheduleType::kConstant, ScheduleType::kStep, ScheduleType::kCosine}) {
    ASSERT_TRUE(ParseScheduleType(ScheduleName(type)).ok());
    EXPECT_EQ(*ParseScheduleType(ScheduleName(type)), type);
  }
  const absl::Status status = ParseScheduleType("cosin").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr("constant, step, cosine"));
}

void ExpectInvalid(const ScheduleSpec& spec, const std::string& field) {
  const absl::Status status = Validate(spec);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << field;
  EXPECT_THAT(std::string(status.message()), HasSubstr(field));
}

TEST(ScheduleTest, FieldsOutOfRangeAreRefusedByName) {
  constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
  for (double bad : {-1.0, kNan, 1e39}) {
    ScheduleSpec spec;
    spec.base_rate = bad;
    ExpectInvalid(spec, "base_rate");
  }
  ScheduleSpec spec;
  spec.warmup_steps = ~uint64_t{0};
  ExpectInvalid(spec, "warmup_steps");

  spec = ScheduleSpec();
  spec.type = ScheduleType::kStep;
  ExpectInvalid(spec, "every");
  spec.every = 1;
  for (double bad : {0.0, -0.5, 1.5, kNan}) {
    spec.gamma = bad;
    ExpectInvalid(spec, "gamma");
  }

  spec = ScheduleSpec();
  spec.type = ScheduleType::kCosine;
  spec.warmup_steps = 5;
  spec.total_steps = 5;
  ExpectInvalid(spec, "total_steps");
  spec.total_steps = 6;
  EXPECT_TRUE(Validate(spec).ok()) << Validate(spec);
  for (double bad : {-0.5, 1.0, kNan}) {
    spec.min_rate = bad;
    ExpectInvalid(spec, "min_rate");
  }
  spec = ScheduleSpec();
  spec.type = static_cast<ScheduleType>(9);
  ExpectInvalid(spec, "type 9");
}

}  // namespace
}  // namespace weir
