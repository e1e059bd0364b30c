// SPDX-License-Identifier: Apache-2.0

// Names, limits and state of the optimizers' specifications; their arithmetic is in optimizer_test.
#include <limits>
#include <string>

#include "core/optimizer.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace weir {
namespace {

using ::testing::HasSubstr;

OptimizerSpec SpecOf(OptimizerType type) {
  OptimizerSpec spec;
  spec.type = type;
  return spec;
}

TEST(OptimizerSpecTest, NamesParseBackAndDefaultsAreValid) {
  for (int i = 0; i < 7; ++i) {
    const OptimizerType type = static_cast<OptimizerType>(i);
    ASSERT_TRUE(ParseOptimizerType(OptimizerName(type)).ok()) << i;
    EXPECT_EQ(*ParseOptimizerType(OptimizerName(type)), type);
    EXPECT_TRUE(Validate(SpecOf(type)).ok()) << Validate(SpecOf(type));
  }
}

TEST(OptimizerSpecTest, StateTensorsAreThoseOfTheFormulas) {
  EXPECT_EQ(StateTensors(OptimizerType::kSgd), 0);
  EXPECT_EQ(StateTensors(OptimizerType::kMomentum), 1);
  EXPECT_EQ(StateTensors(OptimizerType::kNesterov), 1);
  EXPECT_EQ(StateTensors(OptimizerType::kAdagrad), 1);
  EXPECT_EQ(StateTensors(OptimizerType::kRmsProp), 1);
  EXPECT_EQ(StateTensors(OptimizerType::kAdam), 2);
  EXPECT_EQ(StateTensors(OptimizerType::kAdamW), 2);
}

TEST(OptimizerSpecTest, UnknownNameIsRefusedWithTheKnownOnes) {
  const absl::Status status = ParseOptimizerType("adamax").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr("adamax"));
  EXPECT_THAT(std::string(status.message()), HasSubstr("sgd, momentum, nesterov"));
}

// Expects `spec` to be refused with a message that names `field`.
void ExpectInvalid(const OptimizerSpec& spec, const std::string& field) {
  const absl::Status status = Validate(spec);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << field;
  EXPECT_THAT(std::string(status.message()), HasSubstr(field));
}

TEST(OptimizerSpecTest, FieldsOutOfRangeAreRefusedByName) {
  constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
  for (double bad : {-1.0, kNan, 1e39}) {
    OptimizerSpec spec;
    spec.learning_rate = bad;
    ExpectInvalid(spec, "learning_rate");
    spec = OptimizerSpec();
    spec.weight_decay = bad;
    ExpectInvalid(spec, "weight_decay");
    spec = OptimizerSpec();
    spec.clip_value = bad;
    ExpectInvalid(spec, "clip_value");
  }
  for (double bad : {-0.1, 1.0, 1 - 1e-12, kNan}) {
    OptimizerSpec spec = SpecOf(OptimizerType::kNesterov);
    spec.momentum = bad;
    ExpectInvalid(spec, "momentum");
    spec = SpecOf(OptimizerType::kAdamW);
    spec.beta1 = bad;
    ExpectInvalid(spec, "beta1");
    spec = SpecOf(OptimizerType::kAdam);
    spec.beta2 = bad;
    ExpectInvalid(spec, "beta2");
    spec = SpecOf(OptimizerType::kRmsProp);
    spec.decay = bad;
    ExpectInvalid(spec, "decay");
  }
  for (double bad : {0.0, -1e-8, 1e-50, kNan}) {
    OptimizerSpec spec = SpecOf(OptimizerType::kAdagrad);
    spec.epsilon = bad;
    ExpectInvalid(spec, "epsilon");
  }
  OptimizerSpec spec;
  spec.type = static_cast<OptimizerType>(77);
  ExpectInvalid(spec, "77");
}

TEST(OptimizerSpecTest, FieldsOfOtherTypesAreIgnored) {
  OptimizerSpec spec;
  spec.momentum = 9;
  spec.beta1 = -1;
  spec.epsilon = 0;
  EXPECT_TRUE(Validate(spec).ok()) << Validate(spec);
}

}  // namespace
}  // namespace weir
