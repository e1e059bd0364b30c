// SPDX-License-Identifier: Apache-2.0
#include "models/csv.h"

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace weir {
namespace {

using testing::ElementsAre;

Result<RawTable> Read(const std::string& text, const std::string& label_column = "") {
  return ReadCsv(text, "f.csv", label_column, DatasetLimits());
}

std::string Message(const std::string& text, const std::string& label_column = "") {
  const Status status = Read(text, label_column).status();
  EXPECT_EQ(status.code(), StatusCode::kInvalidArgument) << status.ToString();
  return status.message();
}

TEST(CsvTest, WithoutAHeaderTheFirstLineIsData) {
  Result<RawTable> table = Read("1,2,a\n3,4,b\n");
  ASSERT_TRUE(table.ok()) << table.status().ToString();
  EXPECT_EQ(table->rows, 2);
  EXPECT_EQ(table->columns, 2);
  EXPECT_THAT(table->features, ElementsAre(1, 2, 3, 4));
  EXPECT_THAT(table->labels.names(), ElementsAre("a", "b"));
}

TEST(CsvTest, AFirstLineWithoutNumbersIsAHeader) {
  Result<RawTable> table = Read("width,height,kind\n1,2,a\n3,4,b\n");
  ASSERT_TRUE(table.ok()) << table.status().ToString();
  EXPECT_EQ(table->rows, 2);
}

TEST(CsvTest, TheLabelIsFoundByNameByIndexOrAsTheLast) {
  const std::string text = "kind,x,y\n7,1,2\n8,3,4\n";
  for (const char* column : {"kind", "0"}) {
    Result<RawTable> table = Read(text, column);
    ASSERT_TRUE(table.ok()) << table.status().ToString();
    EXPECT_THAT(table->features, ElementsAre(1, 2, 3, 4));
    EXPECT_THAT(table->labels.names(), ElementsAre("7", "8"));
  }
  for (const char* column : {"y", "2", "last", ""}) {
    Result<RawTable> table = Read(text, column);
    ASSERT_TRUE(table.ok()) << table.status().ToString();
    EXPECT_THAT(table->features, ElementsAre(7, 1, 8, 3));
    EXPECT_THAT(table->labels.names(), ElementsAre("2", "4"));
  }
}

TEST(CsvTest, ALabelColumnThatIsNotThereIsRefused) {
  EXPECT_EQ(Message("x,y\n1,2\n", "kind"), "f.csv:1: no column 'kind' among 2");
  EXPECT_EQ(Message("x,y\n1,2\n", "2"), "f.csv:1: no column '2' among 2");
  EXPECT_EQ(Message("x,y\n1,2\n", "-1"), "f.csv:1: no column '-1' among 2");
  EXPECT_EQ(Message("1,2\n", "99999999999999999999"),
            "f.csv:1: no column '99999999999999999999' among 2");
}

TEST(CsvTest, SpacesBlankLinesQuotesAndLineEndsDoNotMatter) {
  Result<RawTable> table = Read("\r\n 1 ,\t2, \"a, \"\"b\"\"\" \r\n\r\n\"3\",4,c");
  ASSERT_TRUE(table.ok()) << table.status().ToString();
  EXPECT_THAT(table->features, ElementsAre(1, 2, 3, 4));
  EXPECT_THAT(table->labels.names(), ElementsAre("a, \"b\"", "c"));
}

TEST(CsvTest, ACellThatIsNoNumberIsNamedByLineAndColumn) {
  EXPECT_EQ(Message("1,2,a\n\n3,x,b\n"), "f.csv:3: column 2: 'x' is not a number");
  EXPECT_EQ(Message("1,2,a\n3,,b\n"), "f.csv:2: column 2: '' is not a number");
  // A first line with one number in it is data, not a header.
  EXPECT_EQ(Message("1,x,a\n3,4,b\n"), "f.csv:1: column 2: 'x' is not a number");
}

TEST(CsvTest, InfinityNanAndWhatAFloatCannotHoldAreRefused) {
  for (const char* cell : {"inf", "-inf", "nan", "1e39", "1e999"}) {
    EXPECT_EQ(Message(std::string("1,2\n") + cell + ",3\n"),
              std::string("f.csv:2: column 1: '") + cell + "' is not a finite 32-bit number");
  }
}

TEST(CsvTest, ARowOfAnotherLengthIsRefused) {
  EXPECT_EQ(Message("1,2,a\n3,b\n"), "f.csv:2: 2 cells, but the first row has 3");
  EXPECT_EQ(Message("1,2,a\n3,4,5,b\n"), "f.csv:2: 4 cells, but the first row has 3");
  EXPECT_EQ(Message("1,2,a\n3,4,b,\n"), "f.csv:2: 4 cells, but the first row has 3");
}

TEST(CsvTest, ASetWithoutRowsIsRefused) {
  EXPECT_EQ(Message(""), "f.csv:1: no rows");
  EXPECT_EQ(Message("\n\n"), "f.csv:1: no rows");
  EXPECT_EQ(Message("x,y,kind\n"), "f.csv:1: no rows");
}

TEST(CsvTest, OneColumnHasNoFeatures) {
  EXPECT_EQ(Message("1\n2\n"), "f.csv:1: one column only: no features beside the label");
}

TEST(CsvTest, AnEmptyLabelIsRefused) {
  EXPECT_EQ(Message("1,2,a\n3,4,\n"), "f.csv:2: the label is empty");
}

TEST(CsvTest, AQuoteThatDoesNotEndIsRefused) {
  EXPECT_EQ(Message("1,\"2,a\n"), "f.csv:1: a quoted cell does not end in this line");
  EXPECT_EQ(Message("1,\"2\"3,a\n"), "f.csv:1: a quoted cell does not end in this line");
}

TEST(CsvTest, LimitsAreKept) {
  DatasetLimits limits;
  limits.rows = 2;
  EXPECT_TRUE(ReadCsv("1,2\n3,4\n", "f", "", limits).ok());
  EXPECT_EQ(ReadCsv("1,2\n3,4\n5,6\n", "f", "", limits).status().code(),
            StatusCode::kResourceExhausted);
  limits.columns = 1;
  EXPECT_EQ(ReadCsv("1,2,3\n", "f", "", limits).status().message(),
            "f: more than 1 features a row");
}

TEST(CsvTest, BytesThatAreNoTextAreAnErrorNotACrash) {
  std::string bytes;
  for (int i = 0; i < 4096; ++i) bytes += static_cast<char>(i * 37 + i / 7);
  EXPECT_FALSE(Read(bytes).ok());
}

}  // namespace
}  // namespace weir
