// SPDX-License-Identifier: Apache-2.0
#include "core/host_key.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "core/layout.h"

namespace weir {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

const HostIdentity kHere = {"aaaa-bbbb", 1000, 40, 41, 7, 2};

TEST(HostKeyTest, ProcessesOfOneHostHaveTheSameKey) {
  EXPECT_EQ(HostKeyOf(kHere), "aaaa-bbbb/1000/40/41/7:2");
  EXPECT_TRUE(SameHost(HostKeyOf(kHere), HostKeyOf(kHere)));
}

TEST(HostKeyTest, WhoeverCannotOpenTheOthersFilesIsOnAnotherHostAndTheDifferenceIsNamed) {
  const auto difference = [](void (*change)(HostIdentity*)) {
    HostIdentity there = kHere;
    change(&there);
    EXPECT_FALSE(SameHost(HostKeyOf(kHere), HostKeyOf(there)));
    return HostDifference(HostKeyOf(kHere), HostKeyOf(there));
  };
  EXPECT_THAT(difference([](HostIdentity* id) { id->boot_id = "cccc"; }), HasSubstr("machine"));
  EXPECT_EQ(difference([](HostIdentity* id) { id->user_id = 0; }), "another user");
  EXPECT_EQ(difference([](HostIdentity* id) { ++id->user_namespace; }), "another user namespace");
  EXPECT_EQ(difference([](HostIdentity* id) { ++id->mount_namespace; }), "another mount namespace");
  EXPECT_EQ(difference([](HostIdentity* id) { ++id->root_device; }), "another root directory");
  EXPECT_EQ(difference([](HostIdentity* id) { ++id->root_inode; }), "another root directory");
}

TEST(HostKeyTest, WhoDoesNotTellItsHostIsOnNobodysHost) {
  EXPECT_FALSE(SameHost("", ""));
  EXPECT_FALSE(SameHost(HostKeyOf(kHere), ""));
  EXPECT_THAT(HostDifference(HostKeyOf(kHere), ""), HasSubstr("does not tell"));
}

TEST(HostKeyTest, AKeyOfAnotherBuildIsOfAnotherHost) {
  EXPECT_FALSE(SameHost(HostKeyOf(kHere), "something else"));
  EXPECT_THAT(HostDifference(HostKeyOf(kHere), "something else"), HasSubstr("another machine"));
}

TEST(HostKeyTest, AProcessReadsItsOwnKeyAndItIsAlwaysTheSame) {
  const std::string key = ReadHostKey();
  EXPECT_EQ(key, ReadHostKey());
  EXPECT_THAT(key, HasSubstr(absl::StrCat("/", geteuid(), "/")));
  EXPECT_LE(key.size(), kMaxHostKeyBytes);
  EXPECT_TRUE(SameHost(key, key));
}

}  // namespace
}  // namespace weir
