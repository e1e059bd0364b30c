// SPDX-License-Identifier: Apache-2.0
#include "models/text.h"

#include <cmath>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace weir {
namespace {

std::vector<std::string> AllLines(std::string_view text) {
  std::vector<std::string> all;
  for (Lines lines(text); lines.Next();) {
    all.push_back(std::to_string(lines.number()) + ":" + std::string(lines.line()));
  }
  return all;
}

TEST(LinesTest, EndWithEitherLineBreakOrTheText) {
  EXPECT_THAT(AllLines("a\n b \r\n\nc"), testing::ElementsAre("1:a", "2:b", "3:", "4:c"));
  EXPECT_THAT(AllLines("a\n"), testing::ElementsAre("1:a"));
  EXPECT_THAT(AllLines(""), testing::IsEmpty());
}

TEST(LinesTest, AByteOrderMarkIsSkipped) {
  EXPECT_THAT(AllLines("\xef\xbb\xbf"
                       "1,2"),
              testing::ElementsAre("1:1,2"));
}

TEST(ParseNumberTest, TakesTheWholeTextOrNothing) {
  EXPECT_EQ(ParseNumber("1.5"), 1.5);
  EXPECT_EQ(ParseNumber("+2"), 2);
  EXPECT_EQ(ParseNumber("-1e-3"), -1e-3);
  for (const char* text : {"", "+", "-", "1x", " 1", "1 ", "1,5", "0x10", "+-1", "setosa"}) {
    EXPECT_EQ(ParseNumber(text), std::nullopt) << text;
  }
}

TEST(ParseNumberTest, SaysWhenANumberIsNotFinite) {
  EXPECT_TRUE(std::isinf(*ParseNumber("inf")));
  EXPECT_TRUE(std::isinf(*ParseNumber("1e999")));
  EXPECT_TRUE(std::isnan(*ParseNumber("nan")));
}

TEST(QuotedTest, CutsLongTextAndHidesUnprintableBytes) {
  EXPECT_EQ(Quoted("a\x01\xff"
                   "b"),
            "'a??b'");
  EXPECT_EQ(Quoted(std::string(50, 'x')), "'" + std::string(40, 'x') + "...'");
}

}  // namespace
}  // namespace weir
