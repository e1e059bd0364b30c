// SPDX-License-Identifier: Apache-2.0
#include "launcher/run_directory.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace weir {
namespace {

using ::testing::HasSubstr;
namespace fs = std::filesystem;

// Works in an empty directory of its own.
class RunDirectoryTest : public ::testing::Test {
 protected:
  RunDirectoryTest() : before(fs::current_path()) {
    char name[] = "/tmp/run_directory_test.XXXXXX";
    directory = mkdtemp(name);
    fs::current_path(directory);
  }
  ~RunDirectoryTest() override {
    fs::current_path(before);
    fs::remove_all(directory);
  }
  const fs::path before;
  std::string directory;
};

TEST_F(RunDirectoryTest, WithoutAPathItIsNamedAfterTheRunAndTheTimeAndLatestLeadsToIt) {
  const absl::Time now = absl::FromUnixSeconds(1700000000);
  auto first = MakeRunDirectory("", "digits", now);
  ASSERT_TRUE(first.ok()) << first.status();
  EXPECT_THAT(*first, HasSubstr(absl::StrCat(directory, "/runs/digits-2023")));
  auto second = MakeRunDirectory("", "digits", now);
  ASSERT_TRUE(second.ok()) << second.status();
  EXPECT_EQ(*second, absl::StrCat(*first, "-2")) << "two runs in one second do not meet";
  EXPECT_EQ(fs::canonical("runs/latest"), fs::path(*second));
}

TEST_F(RunDirectoryTest, APathThatHoldsARunIsRefused) {
  auto made = MakeRunDirectory("a/b", "digits", absl::Now());
  ASSERT_TRUE(made.ok()) << made.status();
  EXPECT_EQ(*made, directory + "/a/b");
  fs::create_directory("c");
  EXPECT_TRUE(MakeRunDirectory("c", "digits", absl::Now()).ok()) << "it is empty yet";
  fs::create_directory("d");
  ASSERT_TRUE(WriteFile("d/summary.json", "{}", 0644).ok());
  auto again = MakeRunDirectory("d", "digits", absl::Now());
  EXPECT_EQ(again.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(again.status().message()), HasSubstr("summary.json"));
}

TEST_F(RunDirectoryTest, ADirectoryThatAnotherRunUsesIsRefusedThoughItIsEmptyYet) {
  ASSERT_TRUE(MakeRunDirectory("a", "digits", absl::Now()).ok());
  auto again = MakeRunDirectory("a", "digits", absl::Now());
  EXPECT_EQ(again.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(again.status().message()), HasSubstr("goes on"));
}

TEST_F(RunDirectoryTest, ADirectoryThatCannotBeMadeIsNamed) {
  ASSERT_TRUE(WriteFile("file", "", 0644).ok());
  auto made = MakeRunDirectory("file/below", "digits", absl::Now());
  EXPECT_FALSE(made.ok());
  EXPECT_THAT(std::string(made.status().message()), HasSubstr("file/below"));
}

TEST_F(RunDirectoryTest, AFileIsWrittenWholeWithItsModeAndReplacesAnOlderOne) {
  ASSERT_TRUE(WriteFile("token", "old and longer", 0644).ok());
  ASSERT_TRUE(WriteFile("token", "new\n", 0600).ok());
  struct stat info;
  ASSERT_EQ(stat("token", &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
  EXPECT_EQ(*ReadFile("token", 100), "new\n");
  EXPECT_FALSE(fs::exists("token.partial"));
  EXPECT_EQ(ReadFile("token", 2).status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(ReadFile("none", 2).status().code(), absl::StatusCode::kNotFound);
  EXPECT_FALSE(WriteFile("none/file", "x", 0644).ok());
}

TEST_F(RunDirectoryTest, ATokenComesWithoutTheSpaceAroundIt) {
  ASSERT_TRUE(WriteFile("token", "  secret \n", 0600).ok());
  EXPECT_EQ(*ReadTokenFile("token"), "secret");
  ASSERT_TRUE(WriteFile("empty", " \n", 0600).ok());
  EXPECT_EQ(ReadTokenFile("empty").status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(ReadTokenFile("none").status().code(), absl::StatusCode::kNotFound);
}

TEST_F(RunDirectoryTest, TheLastLinesOfALogAreThoseAtItsEnd) {
  std::string log;
  for (int i = 1; i <= 30; ++i) absl::StrAppend(&log, "line ", i, "\n");
  ASSERT_TRUE(WriteFile("log", log, 0644).ok());
  EXPECT_EQ(LastLines("log", 2), "line 29\nline 30");
  EXPECT_TRUE(absl::StartsWith(LastLines("log", 20), "line 11\n"));
  EXPECT_TRUE(absl::StartsWith(LastLines("log", 100), "line 1\n"));
  EXPECT_EQ(LastLines("none", 20), "");
  ASSERT_TRUE(WriteFile("empty", "", 0644).ok());
  EXPECT_EQ(LastLines("empty", 20), "");
}

TEST_F(RunDirectoryTest, ALogCannotCommandTheTerminalNorFillIt) {
  ASSERT_TRUE(WriteFile("log", "red \x1b[31m\ttext\r\n", 0644).ok());
  EXPECT_EQ(LastLines("log", 20), "red \\x1b[31m\ttext\\x0d");
  ASSERT_TRUE(WriteFile("log", std::string(1 << 20, 'x'), 0644).ok());
  EXPECT_LE(LastLines("log", 20).size(), size_t{64 << 10});
}

TEST_F(RunDirectoryTest, RandomBytesDiffer) {
  EXPECT_EQ(RandomBytes(32).size(), 32u);
  EXPECT_NE(RandomBytes(32), RandomBytes(32));
}

}  // namespace
}  // namespace weir
