// SPDX-License-Identifier: Apache-2.0
#include "net/socket_directory.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "absl/strings/str_cat.h"

namespace weir {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using ::testing::StartsWith;

class SocketDirectoryTest : public ::testing::Test {
 protected:
  SocketDirectoryTest() {
    char name[] = "/tmp/sockets.XXXXXX";
    base = mkdtemp(name);
  }
  ~SocketDirectoryTest() override { fs::remove_all(base); }

  std::unique_ptr<SocketDirectory> Make() {
    auto made = SocketDirectory::Make({base});
    EXPECT_TRUE(made.ok()) << made.status();
    return made.ok() ? *std::move(made) : nullptr;
  }

  // A path of `bytes` bytes below base.
  std::string LongBase(size_t bytes) {
    const std::string path = base + "/" + std::string(bytes - base.size() - 1, 'x');
    fs::create_directory(path);
    return path;
  }

  size_t Entries() {
    return static_cast<size_t>(
        std::distance(fs::directory_iterator(base), fs::directory_iterator()));
  }

  std::string base;
};

int Bind(const std::string& path) {
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_un where{};
  where.sun_family = AF_UNIX;
  path.copy(where.sun_path, sizeof(where.sun_path) - 1);
  EXPECT_EQ(bind(fd, reinterpret_cast<sockaddr*>(&where), sizeof(where)), 0) << path;
  EXPECT_EQ(listen(fd, 1), 0);
  return fd;
}

mode_t ModeOf(const std::string& path) {
  struct stat found {};
  EXPECT_EQ(lstat(path.c_str(), &found), 0) << path;
  return found.st_mode & 07777;
}

// What a process leaves behind that is killed while it listens in a directory below `base`.
void LeaveBehind(const std::string& base, bool also_a_file) {
  const pid_t child = fork();
  if (child == 0) {
    auto made = SocketDirectory::Make({base});
    if (!made.ok()) _exit(1);
    Bind((*made)->PathOf("s"));
    if (also_a_file) std::ofstream((*made)->PathOf("file")) << "precious";
    raise(SIGKILL);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFSIGNALED(status));
}

TEST_F(SocketDirectoryTest, ItIsPrivateWhateverTheUmaskAndGoneWithItsOwner) {
  const mode_t before = umask(0);
  auto directory = Make();
  umask(before);
  EXPECT_THAT(directory->path(), StartsWith(base + "/"));
  EXPECT_EQ(ModeOf(directory->path()), 0700u);
  const int fd = Bind(directory->PathOf("s"));
  ASSERT_TRUE(directory->Seal("s").ok());
  EXPECT_EQ(ModeOf(directory->PathOf("s")), 0600u);
  EXPECT_TRUE(CheckSocket(directory->PathOf("s")).ok());
  directory.reset();
  EXPECT_EQ(Entries(), 0u);
  close(fd);
}

TEST_F(SocketDirectoryTest, BelowADirectoryThatHandsItsGroupDownItIsPrivateToo) {
  ASSERT_EQ(chmod(base.c_str(), 02755), 0);
  EXPECT_EQ(ModeOf(Make()->path()), 0700u);
}

TEST_F(SocketDirectoryTest, TwoOfOneProcessAreTwo) {
  auto first = Make(), second = Make();
  EXPECT_NE(first->path(), second->path());
  first->Remove();
  first->Remove();  // again: nothing
  EXPECT_EQ(Entries(), 1u);
}

TEST_F(SocketDirectoryTest, WhatIsNoSocketCannotBeSealed) {
  auto directory = Make();
  EXPECT_EQ(directory->Seal("s").code(), absl::StatusCode::kFailedPrecondition);
  std::ofstream(directory->PathOf("s")) << "a file";
  EXPECT_EQ(directory->Seal("s").code(), absl::StatusCode::kFailedPrecondition);
  fs::remove(directory->PathOf("s"));
  fs::create_symlink(base, directory->PathOf("s"));
  EXPECT_EQ(directory->Seal("s").code(), absl::StatusCode::kFailedPrecondition);
  fs::remove(directory->PathOf("s"));
}

TEST_F(SocketDirectoryTest, APathThatIsTooLongForASocketFallsBackToTheNextBase) {
  const std::string longest = LongBase(107 - sizeof("/weir-sock-XXXXXX") - 16);
  auto fits = SocketDirectory::Make({longest});
  ASSERT_TRUE(fits.ok()) << fits.status();
  EXPECT_EQ((*fits)->PathOf(std::string(SocketDirectory::kMaxNameBytes, 's')).size(), 107u);
  close(Bind((*fits)->PathOf(std::string(SocketDirectory::kMaxNameBytes, 's'))));

  const std::string too_long = LongBase(longest.size() + 1);
  const absl::Status status = SocketDirectory::Make({too_long}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()), HasSubstr("108 bytes, at most 107"));
  auto fallback = SocketDirectory::Make({too_long, base});
  ASSERT_TRUE(fallback.ok()) << fallback.status();
  EXPECT_THAT((*fallback)->path(), StartsWith(base + "/weir-sock-"));
}

TEST_F(SocketDirectoryTest, APlaceWhereOthersCanReplaceItIsRefused) {
  ASSERT_EQ(chmod(base.c_str(), 0777), 0);
  absl::Status status = SocketDirectory::Make({base}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()), HasSubstr("other users can replace what is in it"));
  ASSERT_EQ(chmod(base.c_str(), 01777), 0);
  EXPECT_TRUE(SocketDirectory::Make({base}).ok());
}

TEST_F(SocketDirectoryTest, BasesThatWillNotDoAreAllNamed) {
  std::ofstream(base + "/file") << "";
  fs::create_directory(base + "/100%");
  const absl::Status status =
      SocketDirectory::Make({"relative", base + "/none", base + "/file", base + "/100%"}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  for (const char* words : {"not in relative: it is no absolute path", "/none: No such file",
                            "/file: it is no directory", "/100%: its path has other characters"}) {
    EXPECT_THAT(std::string(status.message()), HasSubstr(words));
  }
}

TEST_F(SocketDirectoryTest, WhatAKilledProcessLeavesIsNotUsedAgainAndCanBeRemoved) {
  LeaveBehind(base, /*also_a_file=*/false);
  ASSERT_EQ(Entries(), 1u);
  auto living = Make();
  EXPECT_EQ(Entries(), 2u) << "a new one";
  EXPECT_EQ(RemoveStaleSocketDirectories({base}), 1);
  EXPECT_EQ(Entries(), 1u);
  EXPECT_EQ(ModeOf(living->path()), 0700u);
  EXPECT_EQ(RemoveStaleSocketDirectories({base}), 0);
}

TEST_F(SocketDirectoryTest, OnlyWhatIsSurelyStaleIsRemoved) {
  LeaveBehind(base, /*also_a_file=*/true);
  fs::create_directory(base + "/weir-sock-abcdef");  // not private
  ASSERT_EQ(chmod((base + "/weir-sock-abcdef").c_str(), 0755), 0);
  fs::create_directory(base + "/weir-sockets");
  ASSERT_EQ(chmod((base + "/weir-sockets").c_str(), 0700), 0);
  fs::create_symlink(base + "/weir-sockets", base + "/weir-sock-ghijkl");
  EXPECT_EQ(RemoveStaleSocketDirectories({base, base + "/none"}), 0);
  EXPECT_EQ(Entries(), 4u);
}

TEST_F(SocketDirectoryTest, AClientUsesNoSocketThatSomebodyElseMayHaveMade) {
  auto directory = Make();
  const std::string path = directory->PathOf("s");
  EXPECT_THAT(std::string(CheckSocket(path).message()), HasSubstr("No such file"));
  const int fd = Bind(path);
  ASSERT_TRUE(directory->Seal("s").ok());
  ASSERT_EQ(chmod(path.c_str(), 0666), 0);
  EXPECT_THAT(std::string(CheckSocket(path).message()), HasSubstr("not this user's alone"));
  ASSERT_EQ(chmod(path.c_str(), 0600), 0);
  EXPECT_TRUE(CheckSocket(path).ok());
  ASSERT_EQ(chmod(directory->path().c_str(), 0711), 0);
  EXPECT_THAT(std::string(CheckSocket(path).message()), HasSubstr("mode 0711"));
  ASSERT_EQ(chmod(directory->path().c_str(), 0700), 0);
  directory.reset();
  EXPECT_EQ(CheckSocket(path).code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(CheckSocket("").code(), absl::StatusCode::kUnavailable);
  close(fd);
}

TEST_F(SocketDirectoryTest, TheUsersOwnDirectoryIsTriedBeforeTmp) {
  EXPECT_EQ(SocketBases("/run/user/7"), (std::vector<std::string>{"/run/user/7", "/tmp"}));
  EXPECT_EQ(SocketBases(""), std::vector<std::string>{"/tmp"});
}

}  // namespace
}  // namespace weir
