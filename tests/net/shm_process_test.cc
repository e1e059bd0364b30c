// SPDX-License-Identifier: Apache-2.0

// Links between processes, one of which is killed. The children are forked before there is any
// thread and run nothing but a poller.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/buffer.h"
#include "net/shm_poller.h"
#include "tests/net/shm_ends.h"

namespace weir {
namespace {

using testing::Descriptors;
using testing::MappedSegments;
using testing::Recorder;
using testing::SocketPlace;
using testing::WireAt;
using testing::WireOf;

constexpr size_t kBlock = 100000;

ShmLink::Options WithArena() {
  ShmLink::Options options;
  ShmArena::Options arena;
  arena.segment_bytes = size_t{16} << 20;
  options.arena = std::make_shared<ShmArena>(arena);
  return options;
}

// One end with its poller, in one thread.
class End {
 public:
  End() : options_(WithArena()), poller_(*ShmPoller::Create({})) {}

  // Serves one client after another.
  void Listen(const std::string& path) {
    poller_->Listen(*ShmListener::Listen(path, {}), [this](ShmListener::Offer offer) {
      link = *ShmLink::Accept(std::move(offer), options_);
      poller_->Add(link, &recorder);
    });
  }
  void Connect(const std::string& path) {
    link = *ShmLink::Offer(path, ShmKey{}, options_);
    poller_->Add(link, &recorder);
    PollUntil([this] { return recorder.ups == 1; });
  }

  // A payload in the arena.
  void SendBlock() {
    const Buffer block = pool_.Allocate(kBlock);
    std::memset(block.data(), 'x', kBlock);
    ASSERT_TRUE(
        link->Send(WireAt("block", block.data(), kBlock, block.owner()), kBlock, &recorder).ok());
  }

  template <typename Done>
  void PollUntil(Done done) {
    while (!done()) poller_->PollOnce(absl::InfiniteDuration());
  }

  // Answers a block with a block, until a frame without a payload comes.
  void Serve() {
    for (size_t answered = 0;; ++answered) {
      PollUntil([&] { return recorder.wires.size() > answered; });
      if (recorder.payload_bytes[answered] == 0) return;
      SendBlock();
    }
  }
  // Sends blocks, keeping all that come back, until the peer reads them where they lie. (Copies
  // have no room any more after some forty; then one waits until the peer has the segment.)
  void Exchange() {
    while (recorder.wires.size() < 4 || link->sent().described_bytes == 0) {
      SendBlock();
      const size_t wanted = recorder.wires.size() + 1;
      PollUntil([&] { return recorder.wires.size() == wanted; });
    }
    ASSERT_TRUE(link->Send(WireOf("done", ""), 0, &recorder).ok());
  }

  std::shared_ptr<ShmLink> link;
  Recorder recorder;

 private:
  const ShmLink::Options options_;
  BufferPool pool_{BufferPool::kNoLimit, options_.arena};
  const std::unique_ptr<ShmPoller> poller_;
};

// Runs `run` in a process of its own, which never returns from it.
template <typename Run>
pid_t Fork(Run run) {
  const pid_t child = fork();
  if (child != 0) return child;
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  run();
  _exit(0);
}

void Kill(pid_t child) {
  ASSERT_EQ(kill(child, SIGKILL), 0);
  ASSERT_EQ(waitpid(child, nullptr, 0), child);
}

// A client that keeps what it has got until it is killed.
pid_t ForkClient(const std::string& path) {
  return Fork([&path] {
    End client;
    client.Connect(path);
    client.Exchange();
    client.PollUntil([] { return false; });
  });
}

TEST(ShmProcessTest, NothingIsLeftOfAServerThatIsKilled) {
  const SocketPlace place;
  const size_t descriptors = Descriptors();
  int ready[2];
  ASSERT_EQ(pipe(ready), 0);
  const pid_t child = Fork([&] {
    End server;
    server.Listen(place.path());
    if (write(ready[1], "x", 1) != 1) _exit(1);
    server.Serve();
    server.PollUntil([] { return false; });
  });
  char byte;
  ASSERT_EQ(read(ready[0], &byte, 1), 1);
  close(ready[0]);
  close(ready[1]);
  {
    End client;
    client.Connect(place.path());
    client.Exchange();
    Kill(child);
    client.PollUntil([&] { return !client.recorder.closed.empty(); });
    EXPECT_TRUE(absl::IsUnavailable(client.recorder.closed[0])) << client.recorder.closed[0];
    // What it has sent can still be read.
    EXPECT_EQ(client.recorder.Text(3), "block" + std::string(kBlock, 'x'));
  }
  EXPECT_EQ(Descriptors(), descriptors);
  EXPECT_EQ(MappedSegments(), 0u);
}

TEST(ShmProcessTest, NothingIsLeftOfAClientThatIsKilled) {
  const SocketPlace place;
  const size_t descriptors = Descriptors();
  {
    End server;
    server.Listen(place.path());
    const pid_t child = ForkClient(place.path());
    server.Serve();
    Kill(child);
    server.PollUntil([&] { return !server.recorder.closed.empty(); });
    EXPECT_TRUE(absl::IsUnavailable(server.recorder.closed[0])) << server.recorder.closed[0];
    EXPECT_EQ(server.recorder.Text(3), "block" + std::string(kBlock, 'x'));
    EXPECT_FALSE(server.link->waiting());  // what the client held is free
    server.recorder.wires.clear();
    server.link.reset();
    EXPECT_EQ(MappedSegments(), 1u);  // its own arena
  }
  EXPECT_EQ(Descriptors(), descriptors);
  EXPECT_EQ(MappedSegments(), 0u);
}

TEST(ShmProcessTest, AServerOutlivesOneKilledClientAfterAnother) {
  const SocketPlace place;
  End server;
  server.Listen(place.path());
  size_t descriptors = 0;
  for (size_t round = 1; round <= 10; ++round) {
    const pid_t child = ForkClient(place.path());
    server.Serve();
    Kill(child);
    server.PollUntil([&] { return server.recorder.closed.size() == round; });
    server.recorder.wires.clear();
    server.recorder.payload_bytes.clear();
    server.link.reset();
    if (round == 1) descriptors = Descriptors();
    EXPECT_EQ(Descriptors(), descriptors);
    EXPECT_EQ(MappedSegments(), 1u);  // its own arena
  }
}

}  // namespace
}  // namespace weir
