// SPDX-License-Identifier: Apache-2.0
#include "models/raw_table.h"

#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace weir {
namespace {

RawLabels Labels(const std::vector<const char*>& texts) {
  RawLabels labels;
  int64_t line = 0;
  for (const char* text : texts) EXPECT_TRUE(labels.Add(text, ++line).ok()) << text;
  return labels;
}

Result<ClassMap> Classes(const std::vector<const char*>& texts, int64_t limit = 100) {
  return ClassMap::Create(Labels(texts), "train", limit);
}

TEST(ClassMapTest, WholeNumbersFromZeroAreTheirOwnClasses) {
  Result<ClassMap> map = Classes({"2", "0", "2.0", "+0"});
  ASSERT_TRUE(map.ok());
  EXPECT_THAT(map->names(), testing::ElementsAre("0", "1", "2"));
  EXPECT_THAT(*map->Apply(Labels({"1", "2", "0.0"}), "test"), testing::ElementsAre(1, 2, 0));
}

TEST(ClassMapTest, NamesAreClassesInTheOrderOfTheirBytes) {
  Result<ClassMap> map = Classes({"setosa", "virginica", "setosa", "iris"});
  ASSERT_TRUE(map.ok());
  EXPECT_THAT(map->names(), testing::ElementsAre("iris", "setosa", "virginica"));
  EXPECT_THAT(*map->Apply(Labels({"virginica", "iris"}), "test"), testing::ElementsAre(2, 0));
}

TEST(ClassMapTest, MinusOneAndOneAreTwoClassesHoweverTheyAreSpelled) {
  Result<ClassMap> map = Classes({"-1", "+1"});
  ASSERT_TRUE(map.ok());
  EXPECT_THAT(map->names(), testing::ElementsAre("-1", "1"));
  EXPECT_THAT(*map->Apply(Labels({"1", "-1.0"}), "test"), testing::ElementsAre(1, 0));
}

TEST(ClassMapTest, ATestLabelThatIsNoTrainingClassIsNamedWithItsLine) {
  const Status numbers = Classes({"0", "9"})->Apply(Labels({"3", "10"}), "t.csv").status();
  EXPECT_EQ(numbers.code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(numbers.message(),
            "t.csv:2: label '10' is none of the 10 classes of the training set ('0' to '9')");
  EXPECT_FALSE(Classes({"0", "9"})->Apply(Labels({"-1"}), "t.csv").ok());
  EXPECT_FALSE(Classes({"a", "b"})->Apply(Labels({"c"}), "t.csv").ok());
}

TEST(ClassMapTest, OneLabelAloneIsRefused) {
  const Status status = Classes({"5", "5"}).status();
  EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(status.message(),
            "train: a classifier needs two different labels or more; every row here has '5'");
}

TEST(ClassMapTest, MoreClassesThanTheLimitAreRefused) {
  EXPECT_TRUE(Classes({"0", "9"}, 10).ok());
  EXPECT_EQ(Classes({"0", "10"}, 10).status().code(), StatusCode::kResourceExhausted);
  EXPECT_EQ(Classes({"0", "999999999"}, 10).status().code(), StatusCode::kResourceExhausted);
  EXPECT_EQ(Classes({"0.5", "1.5", "2.5"}, 2).status().code(), StatusCode::kResourceExhausted);
}

TEST(RawLabelsTest, EmptyAndNotFiniteLabelsAreRefused) {
  RawLabels labels;
  EXPECT_EQ(labels.Add("", 1).message(), "the label is empty");
  EXPECT_EQ(labels.Add("nan", 1).message(), "the label 'nan' is not finite");
  EXPECT_EQ(labels.Add("1e999", 1).code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(labels.rows(), 0);
}

TEST(CheckSizeTest, EachLimitIsNamed) {
  DatasetLimits limits;
  limits.rows = 10;
  limits.columns = 5;
  limits.values = 20;
  EXPECT_TRUE(CheckSize("f", 4, 5, limits).ok());
  EXPECT_TRUE(CheckSize("f", 10, 2, limits).ok());
  EXPECT_EQ(CheckSize("f", 11, 1, limits).message(), "f: more than 10 rows");
  EXPECT_EQ(CheckSize("f", 1, 6, limits).message(), "f: more than 5 features a row");
  EXPECT_EQ(CheckSize("f", 5, 5, limits).message(), "f: more than 20 values");
  EXPECT_EQ(CheckSize("f", 5, 5, limits).code(), StatusCode::kResourceExhausted);
}

}  // namespace
}  // namespace weir
