// SPDX-License-Identifier: Apache-2.0
#include "models/libsvm.h"

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace weir {
namespace {

using testing::ElementsAre;

Result<LibsvmRows> Read(const std::string& text) { return ReadLibsvm(text, "f", DatasetLimits()); }

std::string Message(const std::string& text) {
  const Status status = Read(text).status();
  EXPECT_EQ(status.code(), StatusCode::kInvalidArgument) << status.ToString();
  return status.message();
}

TEST(LibsvmTest, FeaturesLeftOutAreZeroAndIndicesCountFromOne) {
  Result<LibsvmRows> rows = Read("+1 1:0.5 3:2\n-1\n+1 2:-1e-1\n");
  ASSERT_TRUE(rows.ok()) << rows.status().ToString();
  EXPECT_FALSE(rows->has_zero);
  EXPECT_EQ(rows->largest_index, 3);
  Result<RawTable> table = Densify(*rows, 1, 3, DatasetLimits());
  ASSERT_TRUE(table.ok());
  EXPECT_THAT(table->features, ElementsAre(0.5f, 0, 2, 0, 0, 0, 0, -0.1f, 0));
  EXPECT_THAT(table->labels.names(), ElementsAre("1", "-1"));
}

TEST(LibsvmTest, AnIndexZeroMeansThatTheyCountFromZero) {
  Result<LibsvmRows> rows = Read("0 0:1 2:3\n1 1:2\n");
  ASSERT_TRUE(rows.ok());
  EXPECT_TRUE(rows->has_zero);
  EXPECT_THAT(Densify(*rows, 0, 3, DatasetLimits())->features, ElementsAre(1, 0, 3, 0, 2, 0));
}

TEST(LibsvmTest, CommentsQueryIdsAndBlankLinesAreSkipped) {
  Result<LibsvmRows> rows = Read("# made by hand\n\n3 qid:7 1:2 # the first\n  4\t1:3\r\n");
  ASSERT_TRUE(rows.ok()) << rows.status().ToString();
  EXPECT_THAT(rows->values, ElementsAre(2, 3));
  EXPECT_THAT(rows->labels.names(), ElementsAre("3", "4"));
}

TEST(LibsvmTest, MalformedPairsAreNamedWithTheirLine) {
  EXPECT_EQ(Message("1 1:2\n1 7\n"), "f:2: '7' is not INDEX:VALUE");
  EXPECT_EQ(Message("1 x:2\n"), "f:1: 'x:2': the index is not a whole number from 0");
  EXPECT_EQ(Message("1 -1:2\n"), "f:1: '-1:2': the index is not a whole number from 0");
  EXPECT_EQ(Message("1 :2\n"), "f:1: ':2': the index is not a whole number from 0");
  EXPECT_EQ(Message("1 1:\n"), "f:1: '1:': the value is not a number");
  EXPECT_EQ(Message("1 1:two\n"), "f:1: '1:two': the value is not a number");
  EXPECT_EQ(Message("1 1:inf\n"), "f:1: '1:inf': the value is not a finite 32-bit number");
  EXPECT_EQ(Message("1 1:nan\n"), "f:1: '1:nan': the value is not a finite 32-bit number");
  EXPECT_EQ(Message("1 2:1 2:1\n"), "f:1: '2:1': the indices of a line must grow");
  EXPECT_EQ(Message("1 2:1 1:1\n"), "f:1: '1:1': the indices of a line must grow");
}

TEST(LibsvmTest, ALineWithoutALabelAndASetWithoutRowsAreRefused) {
  EXPECT_EQ(Message("1:2 2:3\n"), "f:1: the line has no label");
  EXPECT_EQ(Message("nan 1:1\n"), "f:1: the label 'nan' is not finite");
  EXPECT_EQ(Message("# nothing\n"), "f:1: no rows");
}

TEST(LibsvmTest, AbsurdIndicesAndSizesAreRefused) {
  DatasetLimits limits;
  EXPECT_EQ(Read("1 65537:1\n").status().code(), StatusCode::kResourceExhausted);
  EXPECT_EQ(Read("1 99999999999:1\n").status().message(),
            "f:1: '99999999999:1': an index above 65536");
  limits.rows = 1;
  EXPECT_EQ(ReadLibsvm("1 1:1\n1 1:1\n", "f", limits).status().code(),
            StatusCode::kResourceExhausted);
  limits.rows = 2;
  limits.values = 7;
  EXPECT_EQ(Densify(*Read("1 4:1\n2 1:1\n"), 1, 4, limits).status().code(),
            StatusCode::kResourceExhausted);
}

}  // namespace
}  // namespace weir
