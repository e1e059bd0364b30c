// SPDX-License-Identifier: Apache-2.0
// A Worker whose frames travel in shared memory, over real links: what is lent, and what happens
// when the memory breaks.
#include <gtest/gtest.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/strings/match.h"
#include "absl/synchronization/mutex.h"
#include "net/shm_ring.h"
#include "tests/worker/wire_cluster.h"
#include "weir/worker.h"

namespace weir {
namespace {

constexpr uint64_t kSliceElements = 16384;
constexpr uint64_t kSliceBytes = 4 * kSliceElements;
constexpr uint64_t kSlices = 4;
constexpr uint64_t kElements = kSlices * kSliceElements;
constexpr uint64_t kModelBytes = 4 * kElements;

// What a worker says.
class Log {
 public:
  std::function<void(LogLevel, const std::string&)> sink() {
    return [this](LogLevel, const std::string& line) {
      absl::MutexLock lock(&mu_);
      lines_.push_back(line);
    };
  }
  std::vector<std::string> With(const std::string& words) {
    absl::MutexLock lock(&mu_);
    std::vector<std::string> found;
    for (const std::string& line : lines_) {
      if (absl::StrContains(line, words)) found.push_back(line);
    }
    return found;
  }

 private:
  absl::Mutex mu_;
  std::vector<std::string> lines_ ABSL_GUARDED_BY(mu_);
};

// Of ones, in memory that servers read where it lies.
struct Gradient {
  explicit Gradient(Worker* worker) : memory(worker->Allocate(kModelBytes).value()) { Fill(1); }
  void Fill(float value) { std::fill_n(memory.floats(), kElements, value); }
  std::vector<TensorPush> push(std::vector<float>* into) const {
    TensorPush push{0, {memory.floats(), ElementType::kFloat32, kElements}};
    if (into != nullptr) push.into = {into->data(), ElementType::kFloat32, kElements};
    return {push};
  }
  TensorMemory memory;
};

class WorkerShmTest : public ::testing::Test {
 protected:
  void Serve(WireCluster::Options options) {
    options.shared_memory = true;
    options.slice_bytes = kSliceBytes;
    options.schedule.base_rate = options.optimizer.learning_rate = 0.5;
    cluster_ = std::make_unique<WireCluster>(options);
  }
  std::unique_ptr<Worker> Join(uint32_t rank, Log* log) {
    Options options = cluster_->WorkerOptions();
    options.rank = rank;
    options.log = log->sink();
    std::unique_ptr<Worker> worker = Worker::Connect(options).value();
    EXPECT_TRUE(worker->Declare({{"w", {kElements}, {}}}).ok());
    return worker;
  }
  static PushOptions One() {
    PushOptions options;
    options.examples = 1;
    return options;
  }

  std::unique_ptr<WireCluster> cluster_;
};

// Whether `values` lie in a segment of another end's, which is mapped here for reading only.
bool InSegment(const float* values) {
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);) {
    unsigned long begin = 0, end = 0;
    char access[5] = "";
    if (!absl::StrContains(line, "/memfd:weir") ||
        std::sscanf(line.c_str(), "%lx-%lx %4s", &begin, &end, access) != 3) {
      continue;
    }
    const auto at = reinterpret_cast<unsigned long>(values);
    if (begin <= at && at < end) return std::string(access) == "r--s";
  }
  return false;
}

// Where the rings of links are mapped here, at two places each.
std::set<char*> MappedRings() {
  std::set<char*> found;
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);) {
    unsigned long begin = 0, end = 0;
    if (absl::StrContains(line, "/memfd:weir") &&
        std::sscanf(line.c_str(), "%lx-%lx", &begin, &end) == 2 &&
        end - begin == ShmGeometry().segment_bytes()) {
      found.insert(reinterpret_cast<char*>(begin));
    }
  }
  return found;
}

// The rings of a link, for a peer that lies: a mapping of the same memory that stays when the link
// has gone.
class Spoilt {
 public:
  // `rings` is one of MappedRings.
  explicit Spoilt(char* rings)
      : segment_(static_cast<char*>(
            mremap(rings, /*another one*/ 0, ShmGeometry().segment_bytes(), MREMAP_MAYMOVE))) {}
  ~Spoilt() { munmap(segment_, ShmGeometry().segment_bytes()); }
  Spoilt(const Spoilt&) = delete;
  Spoilt& operator=(const Spoilt&) = delete;

  bool ok() const { return segment_ != MAP_FAILED; }
  // Lies about what the server has written, again and again, until `seen`; what is honest is
  // written over it with every frame.
  template <typename Seen>
  void Lie(Seen seen) {
    while (!seen())
      DirectionOf(segment_, ShmGeometry(), ShmSide::kServer).tail->store(~uint64_t{0});
  }

 private:
  char* const segment_;
};

std::vector<LentSlice> Borrow(Worker* worker) {
  const Result<PullResult> pulled = worker->Pull({{0, {}}});
  EXPECT_TRUE(pulled.ok()) << pulled.status().ToString();
  return pulled.ok() ? pulled->lent : std::vector<LentSlice>();
}

// The whole tensor, lent where the server keeps it.
std::vector<LentSlice> BorrowInPlace(Worker* worker) {
  for (int attempt = 0; attempt < 1000; ++attempt) {  // copied until the segment has been mapped
    std::vector<LentSlice> lent = Borrow(worker);
    const bool in_place = std::all_of(
        lent.begin(), lent.end(), [](const LentSlice& slice) { return InSegment(slice.values); });
    if (in_place) return lent;
  }
  ADD_FAILURE() << "everything was copied";
  return {};
}

std::vector<float> Read(const LentSlice& slice) {
  return {slice.values, slice.values + slice.count};
}

class LentOverShmTest : public WorkerShmTest {
 protected:
  LentOverShmTest() {
    WireCluster::Options options;
    options.workers = 2;
    options.mode = 2;
    options.max_reply_bytes = 8 * kModelBytes;
    Serve(options);
    holder_ = Join(0, &log_);
    pusher_ = Join(1, &log_);
    ones_.emplace(pusher_.get());
    EXPECT_TRUE(pusher_->Pull({{0, {weights_.data(), ElementType::kFloat32, kElements}}}).ok());
  }
  // The weights of version v are -v / 2.
  void Push() {
    const Result<PushResult> pushed = pusher_->PushPull(ones_->push(&weights_), One());
    ASSERT_TRUE(pushed.ok()) << pushed.status().ToString();
    ASSERT_EQ(pushed->tally.applied, kSlices);
  }
  static std::vector<float> ValuesOf(uint64_t version) {
    return std::vector<float>(kSliceElements, -0.5f * static_cast<float>(version));
  }

  Log log_;
  std::unique_ptr<Worker> holder_, pusher_;
  std::optional<Gradient> ones_;
  std::vector<float> weights_ = std::vector<float>(kElements);
};

TEST_F(LentOverShmTest, ValuesKeepTheirBitsWhileLaterPushesCommit) {
  Push();
  const std::vector<LentSlice> held = BorrowInPlace(holder_.get());
  ASSERT_EQ(held.size(), kSlices);
  for (uint64_t version = 2; version < 30; ++version) {
    Push();
    for (const LentSlice& slice : held) {
      ASSERT_EQ(slice.version, 1u);
      ASSERT_EQ(Read(slice), ValuesOf(1)) << version;
    }
    if (version > 5) continue;  // within the credit
    for (const LentSlice& slice : Borrow(holder_.get())) {
      EXPECT_EQ(slice.version, version);
      EXPECT_EQ(Read(slice), ValuesOf(version));
    }
  }
}

TEST_F(LentOverShmTest, MemoryServesAgainOnceWhatLayThereIsLetGoOf) {
  std::vector<LentSlice> held = BorrowInPlace(holder_.get());
  std::set<const float*> places;
  for (const LentSlice& slice : held) places.insert(slice.values);
  ASSERT_EQ(places.size(), kSlices);
  for (int push = 0; push < 5; ++push) {
    Push();
    for (const LentSlice& slice : Borrow(holder_.get()))
      EXPECT_EQ(places.count(slice.values), 0u) << "still read";
  }
  held.clear();
  const uint64_t blocks = cluster_->allocated_blocks();
  bool again = false;
  for (int push = 0; push < 100 && !again; ++push) {
    Push();
    for (const LentSlice& slice : Borrow(holder_.get())) again |= places.count(slice.values) > 0;
  }
  EXPECT_TRUE(again);
  EXPECT_LE(cluster_->allocated_blocks(), blocks + kSlices);  // the holder may be about to let go
}

TEST_F(LentOverShmTest, AWorkerThatHoldsAllItsCreditPullsNoMoreUntilItLetsGo) {
  std::vector<std::vector<LentSlice>> held;
  for (int i = 0; i < 8; ++i) held.push_back(BorrowInPlace(holder_.get()));
  Future<PullResult> waiting = holder_->PullAsync({{0, {}}});
  for (int push = 0; push < 5; ++push) Push();
  EXPECT_FALSE(waiting.Ready());
  held.erase(held.begin());
  const Result<PullResult> pulled = waiting.Get();
  ASSERT_TRUE(pulled.ok()) << pulled.status().ToString();
  EXPECT_EQ(pulled->min_version, 5u);
  EXPECT_EQ(Read(held[0][0]), ValuesOf(0));
}

TEST_F(LentOverShmTest, ValuesStayAfterTheWorkerIsGone) {
  Push();
  const std::vector<LentSlice> held = BorrowInPlace(holder_.get());
  holder_.reset();
  EXPECT_EQ(Read(held[0]), ValuesOf(1));
}

class BrokenShmTest : public WorkerShmTest {
 protected:
  // One step of both workers, each with a part of it. `meanwhile` runs while the first one's waits.
  template <typename Meanwhile>
  void Step(uint64_t step, Meanwhile meanwhile) {
    PushOptions part = One();
    part.step = step;
    Future<PushResult> first = workers_[0]->PushPullAsync(gradients_[0].push(&weights_[0]), part);
    meanwhile();
    part.first_part = 1;
    const Result<PushResult> second = workers_[1]->PushPull(gradients_[1].push(&weights_[1]), part);
    ASSERT_TRUE(second.ok()) << second.status().ToString();
    const Result<PushResult> ended = first.Get();
    ASSERT_TRUE(ended.ok()) << ended.status().ToString();
    EXPECT_TRUE(ended->counted() && second->counted());
    for (const std::vector<float>& weights : weights_)
      ASSERT_EQ(weights, std::vector<float>(kElements, -0.5f * static_cast<float>(step + 1)));
  }

  Log logs_[2];
  std::vector<std::unique_ptr<Worker>> workers_;
  std::vector<Gradient> gradients_;
  std::vector<float> weights_[2] = {std::vector<float>(kElements), std::vector<float>(kElements)};
};

TEST_F(BrokenShmTest, TheSessionGoesOnOverItsSocketAndNothingIsLostOrCountedTwice) {
  WireCluster::Options options;
  options.workers = 2;
  options.gradient_shards = 2;
  Serve(options);
  std::set<char*> rings;  // of the first worker
  for (uint32_t rank : {1, 0}) {
    const std::set<char*> before = MappedRings();
    workers_.insert(workers_.begin(), Join(rank, &logs_[rank]));
    ASSERT_EQ(Borrow(workers_[0].get()).size(), kSlices);
    rings = MappedRings();
    for (char* other : before) rings.erase(other);
  }
  ASSERT_EQ(rings.size(), 2u);
  Spoilt spoilt(*rings.begin());
  ASSERT_TRUE(spoilt.ok());
  for (const auto& worker : workers_) gradients_.emplace_back(worker.get());
  Log& log = logs_[0];
  const std::string failed = "shared memory with shard 0 failed";
  ASSERT_EQ(log.With("to shard 0 by shm").size(), 1u);
  for (uint64_t step = 0; step < 3; ++step) Step(step, [] {});
  Step(3, [&] {
    while (log.With(failed).empty()) {
      Future<PullResult> pull = workers_[0]->PullAsync({{0, {}}});
      spoilt.Lie([&] { return pull.Ready() || !log.With(failed).empty(); });
      ASSERT_TRUE(pull.Get().ok());
    }
  });
  for (uint64_t step = 4; step < 8; ++step) Step(step, [] {});

  EXPECT_EQ(log.With(failed).size(), 1u);
  EXPECT_EQ(log.With("its Unix socket serves").size(), 1u);
  EXPECT_EQ(log.With("to shard 0 by uds").size(), 1u);
  EXPECT_EQ(logs_[1].With("failed").size(), 0u);
  EXPECT_EQ(cluster_->totals().applied, 8 * 2 * kSlices);
  EXPECT_EQ(cluster_->totals().invalid, 0u);
  EXPECT_EQ(cluster_->sessions(0).workers_over_shm, 2u);
  EXPECT_EQ(cluster_->sessions(0).workers_over_uds, 1u);
}

}  // namespace
}  // namespace weir
