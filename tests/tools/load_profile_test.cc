// SPDX-License-Identifier: Apache-2.0
#include "tools/load_profile.h"

#include <set>

#include "gtest/gtest.h"

namespace weir {
namespace {

TEST(LoadProfileTest, ResNet50HasThePublishedTensorsAndParameters) {
  const auto profile = MakeLoadProfile("resnet50");
  ASSERT_TRUE(profile.ok());
  EXPECT_EQ(profile->tensors.size(), 161u);
  EXPECT_EQ(profile->parameters(), 25557032);
  EXPECT_EQ(ElementCount(profile->tensors[profile->smallest()].shape), 64);
  std::set<std::string> names;
  for (const TensorSpec& tensor : profile->tensors) names.insert(tensor.name);
  EXPECT_EQ(names.size(), profile->tensors.size());
}

TEST(LoadProfileTest, TheTransformerHasTheTensorsAndParametersOfGpt2Small) {
  const auto profile = MakeLoadProfile("transformer");
  ASSERT_TRUE(profile.ok());
  EXPECT_EQ(profile->tensors.size(), 148u);
  EXPECT_EQ(profile->parameters(), 124439808);
  std::set<std::string> names;
  for (const TensorSpec& tensor : profile->tensors) names.insert(tensor.name);
  EXPECT_EQ(names.size(), profile->tensors.size());
}

TEST(LoadProfileTest, UniformHasWhatItsNameSays) {
  const auto profile = MakeLoadProfile("uniform:3x1000");
  ASSERT_TRUE(profile.ok());
  EXPECT_EQ(profile->tensors.size(), 3u);
  EXPECT_EQ(profile->parameters(), 3000);
}

TEST(LoadProfileTest, AnUnknownOrAbsurdProfileIsRefusedWithTheChoices) {
  EXPECT_EQ(MakeLoadProfile("resnet51").status().message(),
            "unknown profile 'resnet51'; the profiles are resnet50, mlp, transformer and "
            "uniform:COUNTxSIZE");
  for (const char* name : {"uniform:", "uniform:3", "uniform:0x4", "uniform:4x0", "uniform:-1x4",
                           "uniform:70000x1", "uniform:2x4294967296"}) {
    EXPECT_FALSE(MakeLoadProfile(name).ok()) << name;
  }
}

}  // namespace
}  // namespace weir
