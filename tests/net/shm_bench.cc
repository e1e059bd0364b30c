// SPDX-License-Identifier: Apache-2.0

// Measures a link between two processes: round trips of a small frame, and frames of 1 MiB both
// ways at once, described where they lie and read by whoever receives them.
//
//   shm_bench [MICROSECONDS_TO_SPIN]     0, or nothing: sleep at once
//
// Each process runs one thread, on a core of its own where there are two.
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/buffer.h"
#include "net/shm_poller.h"
#include "net/spin.h"
#include "tests/net/shm_ends.h"

namespace weir {
namespace {

using testing::SocketPlace;
using testing::WireAt;
using Clock = std::chrono::steady_clock;

constexpr size_t kFrameBytes = size_t{1} << 20;
constexpr int kBuffers = 98;  // in turn: more than a processor keeps in its caches
constexpr int kInFlight = 16;

void StayOnCore(int core) {
  cpu_set_t cores;
  CPU_ZERO(&cores);
  CPU_SET(core, &cores);
  sched_setaffinity(0, sizeof(cores), &cores);
}

// Reads every byte, into a block that stays in the nearest cache.
void Read(const Payload& wire) {
  static char block[16384];
  for (const Payload::Chunk& chunk : wire.chunks()) {
    for (size_t at = 0; at < chunk.size; at += sizeof(block))
      std::memcpy(block, chunk.data + at, std::min(sizeof(block), chunk.size - at));
    asm volatile("" ::: "memory");
  }
}

// One end: answers every frame, with a small one or with one of its own large ones.
class End final : public ShmLinkHandler {
 public:
  End(absl::Duration spin, bool answers) : answers_(answers) {
    poller = *ShmPoller::Create({});
    poller->set_spin(spin);
    link_options.arena = std::make_shared<ShmArena>(ShmArena::Options());
    BufferPool pool(BufferPool::kNoLimit, link_options.arena);
    for (int i = 0; i < kBuffers; ++i) {
      buffers_.push_back(pool.Allocate(kFrameBytes));
      std::memset(buffers_.back().data(), i, kFrameBytes);
    }
  }

  void SendLarge() {
    const Buffer& buffer = buffers_[next_++ % kBuffers];
    Check(link->Send(WireAt("h", buffer.data(), kFrameBytes, buffer.owner()), kFrameBytes, this));
  }
  void SendSmall() { Check(link->Send(small_, 0, this)); }
  void Run() {
    while (!closed) poller->PollOnce(absl::InfiniteDuration());
  }
  void AwaitFrames(uint64_t wanted) {
    while (frames < wanted && !closed) poller->PollOnce(absl::InfiniteDuration());
  }

  void OnUp() override { up = true; }
  void OnWire(Payload&& wire, uint64_t payload_bytes) override {
    ++frames;
    Read(wire);
    if (!answers_) return;
    if (payload_bytes > 0) return SendLarge();
    SendSmall();
  }
  void OnSent(uint64_t) override {}
  void OnClosed(const absl::Status&) override { closed = true; }

  static void Check(const absl::Status& status) {
    if (status.ok()) return;
    std::fprintf(stderr, "%s\n", status.ToString().c_str());
    std::exit(1);
  }

  std::unique_ptr<ShmPoller> poller;
  ShmLink::Options link_options;
  std::shared_ptr<ShmLink> link;
  uint64_t frames = 0;
  bool up = false;
  bool closed = false;

 private:
  const bool answers_;
  const Payload small_ = testing::WireOf(std::string(64, 's'), "");
  std::vector<Buffer> buffers_;
  size_t next_ = 0;
};

void Serve(const std::string& path, absl::Duration spin, int ready) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  StayOnCore(1);
  End server(spin, /*answers=*/true);
  server.poller->Listen(*ShmListener::Listen(path, {}), [&](ShmListener::Offer offer) {
    server.link = *ShmLink::Accept(std::move(offer), server.link_options);
    server.poller->Add(server.link, &server);
  });
  if (write(ready, "x", 1) != 1) std::exit(1);
  server.Run();
}

void RoundTrips(End* client, int rounds) {
  std::vector<double> times;
  for (int i = 0; i < rounds; ++i) {
    const auto start = Clock::now();
    const uint64_t wanted = client->frames + 1;
    client->SendSmall();
    client->AwaitFrames(wanted);
    times.push_back(std::chrono::duration<double, std::micro>(Clock::now() - start).count());
  }
  std::sort(times.begin(), times.end());
  std::printf("round trip of 64 bytes, us: p50 %.2f, p99 %.2f, of %d\n", times[times.size() / 2],
              times[times.size() * 99 / 100], rounds);
}

void Throughput(End* client, int frames_of_a_run) {
  for (int run = 0; run < 3; ++run) {
    const auto start = Clock::now();
    const uint64_t first = client->frames;
    for (int i = 0; i < kInFlight; ++i) client->SendLarge();
    for (int i = kInFlight; i < frames_of_a_run; ++i) {
      client->AwaitFrames(first + static_cast<uint64_t>(i - kInFlight) + 1);
      client->SendLarge();
    }
    client->AwaitFrames(first + static_cast<uint64_t>(frames_of_a_run));
    const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
    std::printf("1 MiB frames, both ways: %.0f MB/s\n",
                2.0 * frames_of_a_run * kFrameBytes / seconds / 1e6);
  }
  const ShmOutbound::Statistics sent = client->link->sent();
  std::printf("described %.0f MB, copied %.0f MB\n",
              static_cast<double>(sent.described_bytes) / 1e6,
              static_cast<double>(sent.copied_bytes) / 1e6);
}

int Main(int argc, char** argv) {
  const absl::Duration asked = absl::Microseconds(argc > 1 ? std::atoi(argv[1]) : 0);
  const absl::Duration spin = SpinTime(asked, UsableCores(), /*spinners=*/2);
  std::printf("spin %s of %s asked\n", absl::FormatDuration(spin).c_str(),
              absl::FormatDuration(asked).c_str());
  std::fflush(stdout);
  const SocketPlace place;
  int ready[2];
  if (pipe(ready) != 0) return 1;
  const pid_t child = fork();
  if (child == 0) {
    Serve(place.path(), spin, ready[1]);
    _exit(0);
  }
  char byte;
  if (read(ready[0], &byte, 1) != 1) return 1;
  StayOnCore(0);
  {
    End client(spin, /*answers=*/false);
    client.link = *ShmLink::Offer(place.path(), ShmKey{}, client.link_options);
    client.poller->Add(client.link, &client);
    while (!client.up) client.poller->PollOnce(absl::InfiniteDuration());
    RoundTrips(&client, 20000);
    Throughput(&client, 1000);
    client.link->Close(absl::OkStatus());
    client.Run();
  }
  waitpid(child, nullptr, 0);
  return 0;
}

}  // namespace
}  // namespace weir

int main(int argc, char** argv) { return weir::Main(argc, argv); }
