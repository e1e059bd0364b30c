// SPDX-License-Identifier: Apache-2.0
#include "core/build_info.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace weir {
namespace {

using ::testing::HasSubstr;
using ::testing::MatchesRegex;
using ::testing::StartsWith;

TEST(BuildInfoTest, VersionIsThreeNumbers) {
  EXPECT_THAT(Version(), MatchesRegex("[0-9]+\\.[0-9]+\\.[0-9]+"));
}

TEST(BuildInfoTest, GitIdIsACommitOrSaysThatItIsUnknown) {
  EXPECT_THAT(GitId(), MatchesRegex("([0-9a-f]{7,40}(-dirty)?)|unknown"));
}

TEST(BuildInfoTest, BuildIdNamesVersionCommitAndCompiler) {
  EXPECT_THAT(BuildId(), StartsWith(Version()));
  EXPECT_THAT(BuildId(), HasSubstr(GitId()));
#ifdef __clang__
  EXPECT_THAT(BuildId(), HasSubstr("-Clang-"));
#else
  EXPECT_THAT(BuildId(), HasSubstr("-GNU-"));
#endif
}

}  // namespace
}  // namespace weir
