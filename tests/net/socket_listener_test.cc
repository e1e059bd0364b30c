// SPDX-License-Identifier: Apache-2.0
#include "net/socket_listener.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/synchronization/mutex.h"

namespace weir {
namespace {

using ::testing::HasSubstr;

constexpr absl::Duration kPatience = absl::Seconds(30);

// A directory, and the sockets that were accepted.
class SocketListenerTest : public ::testing::Test {
 protected:
  SocketListenerTest() {
    char name[] = "/tmp/weir_listener_XXXXXX";
    directory_ = mkdtemp(name);
  }
  ~SocketListenerTest() override {
    for (const int fd : accepted_) close(fd);
    unlink(Path().c_str());
    rmdir(directory_.c_str());
  }

  std::string Path() const { return directory_ + "/s"; }
  absl::StatusOr<std::unique_ptr<SocketListener>> Listen() {
    return SocketListener::Start(Path(), [this](int fd) {
      absl::MutexLock lock(&mu_);
      accepted_.push_back(fd);
    });
  }
  int Accepted(size_t number) {
    absl::MutexLock lock(&mu_);
    const auto there = [&] { return accepted_.size() > number; };
    return mu_.AwaitWithTimeout(absl::Condition(&there), kPatience) ? accepted_[number] : -1;
  }

  std::string directory_;
  absl::Mutex mu_;
  std::vector<int> accepted_;
};

TEST_F(SocketListenerTest, WhatConnectsIsHandedOnBothWays) {
  const auto listener = Listen();
  ASSERT_TRUE(listener.ok()) << listener.status();
  for (size_t i = 0; i < 3; ++i) {
    const absl::StatusOr<int> client = ConnectSocket(Path());
    ASSERT_TRUE(client.ok()) << client.status();
    const int server = Accepted(i);
    ASSERT_GE(server, 0);
    ASSERT_EQ(write(*client, "x", 1), 1);
    char byte = 0;
    EXPECT_EQ(read(server, &byte, 1), 1);
    EXPECT_EQ(byte, 'x');
    close(*client);
  }
}

TEST_F(SocketListenerTest, BothEndsHaveLargeSendBuffers) {
  const auto listener = Listen();
  ASSERT_TRUE(listener.ok()) << listener.status();
  const int plain = socket(AF_UNIX, SOCK_STREAM, 0);
  const auto buffer = [](int fd) {
    int bytes = 0;
    socklen_t size = sizeof(bytes);
    getsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, &size);
    return bytes;
  };
  const absl::StatusOr<int> client = ConnectSocket(Path());
  ASSERT_TRUE(client.ok()) << client.status();
  EXPECT_GT(buffer(*client), buffer(plain));  // the kernel allows at least twice its default
  EXPECT_EQ(buffer(*client), buffer(Accepted(0)));
  close(plain);
  close(*client);
}

TEST_F(SocketListenerTest, WhereNothingListensConnectingIsUnavailable) {
  const absl::StatusOr<int> client = ConnectSocket(Path());
  EXPECT_EQ(client.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(client.status().message()), HasSubstr("No such file"));
}

TEST_F(SocketListenerTest, AnEndedListenerRefuses) {
  auto listener = Listen();
  ASSERT_TRUE(listener.ok()) << listener.status();
  listener->reset();
  EXPECT_EQ(ConnectSocket(Path()).status().code(), absl::StatusCode::kUnavailable);
}

TEST_F(SocketListenerTest, APathThatIsTakenOrTooLongIsNamed) {
  const auto listener = Listen();
  ASSERT_TRUE(listener.ok()) << listener.status();
  EXPECT_THAT(std::string(Listen().status().message()), HasSubstr("Address already in use"));
  const std::string longer = "/tmp/" + std::string(200, 'x');
  EXPECT_THAT(std::string(SocketListener::Start(longer, [](int) {}).status().message()),
              HasSubstr("205 bytes"));
}

}  // namespace
}  // namespace weir
