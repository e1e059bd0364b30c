// SPDX-License-Identifier: Apache-2.0
#include "ps/job_threads.h"

#include <gtest/gtest.h>

#include <limits>
#include <map>
#include <memory>
#include <utility>

#include "absl/synchronization/mutex.h"
#include "core/buffer.h"
#include "core/layout.h"

namespace weir {
namespace {

constexpr uint64_t kElements = 16;

Job JobOf(uint64_t id, BufferPool* pool) {
  InitJob work;
  work.tensor = std::make_shared<TensorShape>(TensorShape{"w", {kElements}, {}});
  work.weights_out = pool->Allocate(kElements * sizeof(float));
  Job job;
  job.id = id;
  job.count = kElements;
  job.work = std::move(work);
  return job;
}

// Keeps the threads that say that a job is done until it is opened.
class Door {
 public:
  JobThreads::Done Done() {
    return [this](uint64_t job, const JobResult&) {
      absl::MutexLock lock(&mu_);
      ++done_[job];
      mu_.Await(absl::Condition(&open_));
    };
  }
  void Open() {
    absl::MutexLock lock(&mu_);
    open_ = true;
  }
  void AwaitDone(size_t jobs) {
    absl::MutexLock lock(&mu_);
    const auto all = [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return done_.size() >= jobs; };
    EXPECT_TRUE(mu_.AwaitWithTimeout(absl::Condition(&all), absl::Seconds(30)));
  }
  std::map<uint64_t, int> done() {
    absl::MutexLock lock(&mu_);
    return done_;
  }

 private:
  absl::Mutex mu_;
  bool open_ ABSL_GUARDED_BY(mu_) = false;
  std::map<uint64_t, int> done_ ABSL_GUARDED_BY(mu_);
};

TEST(JobThreadsTest, WhatTheThreadsWillNotComeToSoonCanBeTakenInOrder) {
  BufferPool pool;
  Door door;
  JobThreads threads("test", 1, door.Done());
  EXPECT_FALSE(threads.HasExcess());
  EXPECT_FALSE(threads.TakeExcess());
  threads.Submit(JobOf(1, &pool));
  door.AwaitDone(1);  // the thread is busy with it until the door opens
  threads.Submit(JobOf(2, &pool));
  EXPECT_FALSE(threads.HasExcess()) << "the thread has nothing to do next";
  EXPECT_FALSE(threads.TakeExcess());
  threads.Submit(JobOf(3, &pool));
  threads.Submit(JobOf(4, &pool));
  EXPECT_TRUE(threads.HasExcess());
  EXPECT_EQ(threads.TakeExcess()->id, 2u);
  EXPECT_EQ(threads.TakeExcess()->id, 3u);
  EXPECT_FALSE(threads.TakeExcess());
  door.Open();
  door.AwaitDone(2);
  EXPECT_EQ(door.done(), (std::map<uint64_t, int>{{1, 1}, {4, 1}}));
}

TEST(JobThreadsTest, AThreadIsWorthHavingForEachCoreThatTheOtherProcessesLeave) {
  EXPECT_EQ(JobThreadsFor(2, 2, 1), 1) << "a server and a worker";
  EXPECT_EQ(JobThreadsFor(1, 2, 1), 0);
  EXPECT_EQ(JobThreadsFor(2, 5, 1), 0) << "four workers and a server on two cores";
  EXPECT_EQ(JobThreadsFor(8, 8, 1), 1);
  EXPECT_EQ(JobThreadsFor(64, 8, 1), 3);
  EXPECT_EQ(JobThreadsFor(4, 3, 2), 1) << "the shards of a process have to share";
  EXPECT_EQ(JobThreadsFor(2, 2, 2), 0);
  EXPECT_EQ(JobThreadsFor(2, std::numeric_limits<uint64_t>::max(), 0), 0);
}

}  // namespace
}  // namespace weir
