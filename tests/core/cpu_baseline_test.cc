// SPDX-License-Identifier: Apache-2.0
#include "core/cpu_baseline.h"

#include <gtest/gtest.h>

namespace weir {
namespace {

TEST(CpuBaselineTest, HostThatRunsTheseTestsLacksNothing) {
  EXPECT_EQ(MissingCpuFeature(HostCpuFeatures()), nullptr);
}

TEST(CpuBaselineTest, EachMissingFeatureIsNamed) {
  EXPECT_STREQ(MissingCpuFeature({false, true, true, true}), "AVX2");
  EXPECT_STREQ(MissingCpuFeature({true, false, true, true}), "FMA");
  EXPECT_STREQ(MissingCpuFeature({true, true, false, true}), "BMI1");
  EXPECT_STREQ(MissingCpuFeature({true, true, true, false}), "BMI2");
}

TEST(CpuBaselineDeathTest, OldHostGetsASentenceAndExitCode1) {
  EXPECT_EXIT(RefuseHost("AVX2"), testing::ExitedWithCode(1),
              "Weir needs a processor with x86-64-v3 .* this one has no AVX2\\.");
}

}  // namespace
}  // namespace weir
