// SPDX-License-Identifier: Apache-2.0
#include "tools/load_options.h"

#include "gtest/gtest.h"

namespace weir {
namespace {

TEST(LoadOptionsTest, OptionsSurviveTheirWayThroughJson) {
  LoadOptions options;
  options.profile = "uniform:3x5";
  options.outstanding = 4;
  options.rate_hz = 2.5;
  const auto back = LoadOptionsFromJson(ToJson(options));
  ASSERT_TRUE(back.ok()) << back.status();
  EXPECT_EQ(*back, options);
}

TEST(LoadOptionsTest, WhatIsNoOptionsIsRefused) {
  EXPECT_FALSE(LoadOptionsFromJson(nlohmann::json::parse("[]")).ok());
  nlohmann::json json = ToJson(LoadOptions{});
  json["steps"] = "many";
  EXPECT_EQ(LoadOptionsFromJson(json).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(LoadOptionsTest, ANumberOutOfItsRangeIsNamedWithTheRange) {
  LoadOptions options;
  options.steps = 0;
  EXPECT_EQ(CheckLoadOptions(options).message(), "--steps=0: from 1 to 100000");
  options = {};
  options.outstanding = 65;
  EXPECT_EQ(CheckLoadOptions(options).message(), "--outstanding=65: from 1 to 64");
  options = {};
  options.rate_hz = -1;
  EXPECT_FALSE(CheckLoadOptions(options).ok());
  options = {};
  options.profile = "resnet51";
  EXPECT_FALSE(CheckLoadOptions(options).ok());
}

TEST(LoadOptionsTest, AMarkOfMemoryLiesBeforeTheLastOfStepsOneAfterTheOther) {
  LoadOptions options;
  options.steps = 20;
  options.memory_mark_steps = 19;
  EXPECT_TRUE(CheckLoadOptions(options).ok());
  options.memory_mark_steps = 20;
  EXPECT_EQ(CheckLoadOptions(options).message(),
            "--memory_mark_steps=20: below --steps=20, or 0 for no mark");
  options.memory_mark_steps = 2;
  options.rate_hz = 3;
  EXPECT_FALSE(CheckLoadOptions(options).ok());
  options.rate_hz = 0;
  options.mode = "echo";
  EXPECT_FALSE(CheckLoadOptions(options).ok());
}

TEST(LoadOptionsTest, ARateThatIsNoPowerOfTwoHasNoExactFormula) {
  LoadOptions options;
  for (const double rate : {0.1, 0.0, -0.5, 3.0}) {
    options.learning_rate = rate;
    EXPECT_EQ(CheckLoadOptions(options).code(), absl::StatusCode::kInvalidArgument) << rate;
  }
  options.learning_rate = 0.25;
  EXPECT_TRUE(CheckLoadOptions(options).ok());
}

}  // namespace
}  // namespace weir
