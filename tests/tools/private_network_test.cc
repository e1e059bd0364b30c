// SPDX-License-Identifier: Apache-2.0
#include "tools/private_network.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <string>

#include "gmock/gmock.h"

namespace weir {
namespace {

std::string NetworkOf(const char* process) {
  return std::filesystem::read_symlink(std::string("/proc/") + process + "/ns/net").string();
}

TEST(PrivateNetworkTest, ReturnsWhatTheBodyReturned) {
  const auto code = RunInPrivateNetwork([] { return 7; });
  ASSERT_TRUE(code.ok()) << code.status();
  EXPECT_EQ(*code, 7);
}

TEST(PrivateNetworkTest, SignalThatEndsTheBodyIsItsExitCode) {
  const auto code = RunInPrivateNetwork([] { return raise(SIGKILL); });
  ASSERT_TRUE(code.ok()) << code.status();
  EXPECT_EQ(*code, 128 + SIGKILL);
}

TEST(PrivateNetworkTest, BodyIsInANetworkOfItsOwnAndTheCallerStaysInItsOwn) {
  const std::string outside = NetworkOf("self");
  const auto code =
      RunInPrivateNetwork([&outside] { return NetworkOf("self") == outside ? 1 : 0; });
  ASSERT_TRUE(code.ok()) << code.status();
  EXPECT_EQ(*code, 0);
  EXPECT_EQ(NetworkOf("self"), outside);
}

TEST(PrivateNetworkTest, ProcShowsTheProcessesOfTheBodyOnly) {
  const auto code = RunInPrivateNetwork(
      [] { return getpid() == 2 && std::filesystem::read_symlink("/proc/self") == "2" ? 0 : 1; });
  ASSERT_TRUE(code.ok()) << code.status();
  EXPECT_EQ(*code, 0);
}

// Waits until every process that holds the writing end of `fd` has ended.
bool AllEnded(int fd) {
  pollfd end = {fd, POLLIN, 0};
  char byte;
  return poll(&end, 1, 30000) == 1 && read(fd, &byte, 1) == 0;
}

// Starts `body` in a private network below a process that is returned, and waits until it runs.
// `*alive` is at its end when nobody in there is left.
pid_t StartBelow(int* alive, const std::function<int()>& body) {
  int running[2], held[2];
  if (pipe(running) != 0 || pipe(held) != 0) return -1;
  const pid_t caller = fork();
  if (caller == 0) {
    close(held[0]);
    close(running[0]);
    const auto code = RunInPrivateNetwork([&running, &body] {
      (void)!write(running[1], "r", 1);
      return body();
    });
    _exit(code.ok() ? *code : 99);
  }
  close(held[1]);
  close(running[1]);
  char byte;
  const bool ran = read(running[0], &byte, 1) == 1;
  close(running[0]);
  *alive = held[0];
  return ran ? caller : -1;
}

TEST(PrivateNetworkTest, NothingOutlivesACallerThatIsKilled) {
  int alive = -1;
  const pid_t caller = StartBelow(&alive, [] {
    if (fork() == 0) setsid();  // a grandchild in a session of its own, whose parent is first
    signal(SIGTERM, SIG_IGN);
    for (;;) pause();
    return 0;
  });
  ASSERT_GT(caller, 0);
  kill(caller, SIGKILL);
  ASSERT_EQ(waitpid(caller, nullptr, 0), caller);
  EXPECT_TRUE(AllEnded(alive));
  close(alive);
}

TEST(PrivateNetworkTest, SignalOfTheCallerReachesTheBody) {
  int alive = -1;
  const pid_t caller = StartBelow(&alive, [] {
    for (;;) pause();
    return 0;
  });
  ASSERT_GT(caller, 0);
  kill(caller, SIGTERM);
  int wait_status = 0;
  ASSERT_EQ(waitpid(caller, &wait_status, 0), caller);
  ASSERT_TRUE(WIFEXITED(wait_status));
  EXPECT_EQ(WEXITSTATUS(wait_status), 128 + SIGTERM);
  EXPECT_TRUE(AllEnded(alive));
  close(alive);
}

}  // namespace
}  // namespace weir
