// SPDX-License-Identifier: Apache-2.0
#include "launcher/flags.h"

#include <gflags/gflags.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

DEFINE_int32(flags_test_port, 0, "where to listen");
DEFINE_string(flags_test_host, "127.0.0.1", "on which address");
DEFINE_bool(flags_test_dry, false, "only say what would be done");
DEFINE_bool(flags_test_hidden, false, "of another verb");

namespace weir {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

FlagTable Table() {
  FlagTable table;
  table.usage = "weir test FILE [flags]";
  table.about = "Tests.";
  table.flags = {"flags_test_port", "flags_test_host", "flags_test_dry"};
  table.repeated = "set";
  table.repeated_help = "a setting";
  table.min_arguments = 1;
  table.max_arguments = 1;
  return table;
}

std::string ErrorOf(const std::vector<std::string>& words) {
  auto line = ParseCommandLine(Table(), words);
  return line.ok() ? "" : std::string(line.status().message());
}

TEST(FlagsTest, FlagsAndArgumentsComeInAnyOrderAndForm) {
  auto line = ParseCommandLine(Table(), {"--flags_test_port=7", "file", "-flags_test_host", "h",
                                         "--flags_test_dry", "--set", "a=1", "--set=b=2"});
  ASSERT_TRUE(line.ok()) << line.status();
  EXPECT_THAT(line->arguments, ElementsAre("file"));
  EXPECT_THAT(line->repeated, ElementsAre("a=1", "b=2"));
  EXPECT_EQ(FLAGS_flags_test_port, 7);
  EXPECT_EQ(FLAGS_flags_test_host, "h");
  EXPECT_TRUE(FLAGS_flags_test_dry);
  ASSERT_TRUE(ParseCommandLine(Table(), {"file", "--noflags_test_dry"}).ok());
  EXPECT_FALSE(FLAGS_flags_test_dry);
}

TEST(FlagsTest, AnUnknownFlagIsRefusedWithTheNearestName) {
  EXPECT_EQ(ErrorOf({"f", "--flags_test_prt=1"}),
            "unknown flag --flags_test_prt; did you mean --flags_test_port?");
  EXPECT_EQ(ErrorOf({"f", "--entirely_else"}), "unknown flag --entirely_else");
  EXPECT_EQ(ErrorOf({"f", "--sett=a"}), "unknown flag --sett; did you mean --set?");
}

TEST(FlagsTest, AFlagOfAnotherVerbIsUnknown) {
  EXPECT_THAT(ErrorOf({"f", "--flags_test_hidden"}), HasSubstr("unknown flag --flags_test_hidden"));
}

TEST(FlagsTest, AValueThatTheFlagDoesNotTakeIsRefused) {
  EXPECT_EQ(ErrorOf({"f", "--flags_test_port=seven"}),
            "--flags_test_port takes a value of type int32, not 'seven'");
  EXPECT_EQ(ErrorOf({"f", "--flags_test_port"}), "--flags_test_port wants a value");
  EXPECT_THAT(ErrorOf({"f", "--noflags_test_port"}), HasSubstr("unknown flag"));
}

TEST(FlagsTest, TheNextFlagIsNotTakenAsAValue) {
  EXPECT_EQ(ErrorOf({"f", "--flags_test_host", "--flags_test_dry"}),
            "--flags_test_host wants a value");
  EXPECT_EQ(ErrorOf({"--set", "--flags_test_host", "x", "f"}), "--set wants a value");
  auto line = ParseCommandLine(Table(), {"f", "--flags_test_host=--x", "--set=--y"});
  ASSERT_TRUE(line.ok()) << line.status();
  EXPECT_EQ(FLAGS_flags_test_host, "--x");
  EXPECT_THAT(line->repeated, ElementsAre("--y"));
  ASSERT_TRUE(ParseCommandLine(Table(), {"f", "--flags_test_port", "-1"}).ok());
  EXPECT_EQ(FLAGS_flags_test_port, -1);
}

TEST(FlagsTest, TooFewAndTooManyArgumentsAreRefusedWithTheUsage) {
  EXPECT_THAT(ErrorOf({}), HasSubstr("usage: weir test FILE"));
  EXPECT_THAT(ErrorOf({"a", "b"}), HasSubstr("'b' is one argument too many"));
}

TEST(FlagsTest, AfterTwoDashesNothingIsAFlag) {
  auto line = ParseCommandLine(Table(), {"--", "--set"});
  ASSERT_TRUE(line.ok()) << line.status();
  EXPECT_THAT(line->arguments, ElementsAre("--set"));
}

TEST(FlagsTest, HelpWinsOverEverythingThatFollowsAndFitsAScreen) {
  auto line = ParseCommandLine(Table(), {"--help", "--nonsense"});
  ASSERT_TRUE(line.ok());
  EXPECT_TRUE(line->help);
  const std::string help = HelpText(Table());
  EXPECT_THAT(help, HasSubstr("--flags_test_host=VALUE"));
  EXPECT_THAT(help, HasSubstr("(default 127.0.0.1)"));
  EXPECT_THAT(help, HasSubstr("--set=VALUE"));
}

TEST(FlagsTest, TheHelpSaysOfAFlagWhatTheTableSaysInstead) {
  FlagTable table = Table();
  table.instead = {{"flags_test_port", "the port of the test"}, {"flags_test_host", ""}};
  const std::string help = HelpText(table);
  EXPECT_THAT(help, HasSubstr("the port of the test"));
  EXPECT_THAT(help, ::testing::Not(HasSubstr("where to listen")));
  EXPECT_THAT(help, ::testing::Not(HasSubstr("flags_test_host")));
  EXPECT_THAT(help, HasSubstr("flags_test_dry"));
  EXPECT_TRUE(ParseCommandLine(table, {"f", "--flags_test_host=h"}).ok());
}

}  // namespace
}  // namespace weir
