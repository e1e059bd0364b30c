// SPDX-License-Identifier: Apache-2.0
#include "launcher/yaml_reader.h"

#include <gtest/gtest.h>

#include <string>

namespace weir {
namespace {

TEST(YamlReaderTest, ValuesKeepTheirPlacesAndQuotes) {
  const YamlDocument document = ReadYaml("# comment\na: 1\nb:\n  c: \"2\"\n  d: [x, ~]\n");
  ASSERT_TRUE(document.complete);
  ASSERT_EQ(document.root.entries.size(), 2u);
  const YamlEntry& a = document.root.entries[0];
  EXPECT_EQ(a.key, "a");
  EXPECT_EQ(a.at.line, 2);
  EXPECT_EQ(a.value.at.column, 4);
  EXPECT_FALSE(a.value.quoted);
  const YamlNode& b = document.root.entries[1].value;
  ASSERT_EQ(b.entries.size(), 2u);
  EXPECT_EQ(b.entries[0].value.text, "2");
  EXPECT_TRUE(b.entries[0].value.quoted);
  ASSERT_EQ(b.entries[1].value.items.size(), 2u);
  EXPECT_EQ(b.entries[1].value.items[1].kind, YamlNode::Kind::kNull);
  EXPECT_EQ(b.entries[1].value.items[1].at.line, 5);
}

TEST(YamlReaderTest, OfADuplicateKeyTheFirstValueStays) {
  const YamlDocument document = ReadYaml("{a: 1, a: 2}");
  EXPECT_TRUE(document.complete);
  EXPECT_EQ(document.problems.size(), 1u);
  ASSERT_EQ(document.root.entries.size(), 1u);
  EXPECT_EQ(document.root.entries[0].value.text, "1");
}

TEST(YamlReaderTest, AliasesNeverExpand) {
  std::string text = "a0: &a0 [x, x]\n";
  for (int i = 1; i < 60; ++i) {
    const std::string before = "*a" + std::to_string(i - 1);
    text += "a" + std::to_string(i) + ": &a" + std::to_string(i) + " [" + before + ", " + before +
            "]\n";
  }
  const YamlDocument document = ReadYaml(text);
  EXPECT_TRUE(document.complete);
  EXPECT_EQ(document.problems.size(), 60u + 2 * 59);
}

TEST(YamlReaderTest, DepthIsBounded) {
  for (const char* open : {"[", "{a: ", "- "}) {
    std::string text;
    for (int i = 0; i < 100000; ++i) text += open;
    const YamlDocument document = ReadYaml(text);
    EXPECT_FALSE(document.complete);
    EXPECT_EQ(document.problems.back().message, "nested more than 16 levels deep") << open;
  }
}

TEST(YamlReaderTest, ValuesAreBounded) {
  std::string text = "[";
  for (int i = 0; i < 200000; ++i) text += "x,";
  const YamlDocument document = ReadYaml(text + "]");
  EXPECT_FALSE(document.complete);
  ASSERT_EQ(document.problems.size(), 1u);
  EXPECT_EQ(document.problems[0].message, "more than 100000 values: not a topology");
}

// Each prefix, and each text with one byte replaced, ends in a tree or in problems, and never in a
// crash.
TEST(YamlReaderTest, BrokenTextsEndInATreeOrInProblems) {
  const std::string text =
      "a: [1, {b: 'c', d: \"e\\n\"}]\nf:\n  - |\n   g\n  - !t &h i\n  - *h\n---\nj: %k\n";
  for (size_t i = 0; i <= text.size(); ++i) {
    const YamlDocument prefix = ReadYaml(text.substr(0, i));
    EXPECT_TRUE(prefix.complete || !prefix.problems.empty()) << i;
    for (const char c :
         {'\0', '\t', '\n', ':', '-', '[', '}', '"', '\'', '&', '*', '!', '%', '\xff', '#', ','}) {
      std::string broken = text;
      if (i < broken.size()) broken[i] = c;
      const YamlDocument document = ReadYaml(broken);
      EXPECT_TRUE(document.complete || !document.problems.empty()) << broken;
    }
  }
}

}  // namespace
}  // namespace weir
