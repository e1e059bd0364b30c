// SPDX-License-Identifier: Apache-2.0
#include "ps/job_threads.h"

#include <pthread.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"

namespace weir {
namespace {

constexpr int64_t kFew = 3;
constexpr uint64_t kMostProcesses = 1 << 20;  // beyond any machine's

}  // namespace

int JobThreadsFor(int usable_cores, uint64_t processes, size_t shards) {
  const int64_t left = usable_cores - static_cast<int64_t>(std::min(processes, kMostProcesses)) + 1;
  const int64_t each = left / static_cast<int64_t>(std::max<size_t>(shards, 1));
  return static_cast<int>(std::clamp<int64_t>(each, 0, kFew));
}

JobThreads::JobThreads(const std::string& name, int threads, Done done)
    : done_(std::move(done)), count_(static_cast<size_t>(threads)) {
  for (int i = 0; i < threads; ++i) {
    threads_.emplace_back([this] { Run(); });
    pthread_setname_np(threads_.back().native_handle(),
                       absl::StrCat(name, "-j", i).substr(0, 15).c_str());
  }
}

JobThreads::~JobThreads() {
  {
    absl::MutexLock lock(&mu_);
    stopping_ = true;
    queue_.clear();
  }
  for (std::thread& thread : threads_) thread.join();
}

void JobThreads::Submit(Job job) {
  absl::MutexLock lock(&mu_);
  if (!stopping_) queue_.push_back(std::move(job));
}

absl::optional<Job> JobThreads::TakeExcess() {
  absl::MutexLock lock(&mu_);
  if (!Exceeds()) return absl::nullopt;
  absl::optional<Job> job = std::move(queue_.front());
  queue_.pop_front();
  return job;
}

bool JobThreads::HasExcess() const {
  absl::MutexLock lock(&mu_);
  return Exceeds();
}

void JobThreads::Run() {
  while (true) {
    Job job;
    {
      absl::MutexLock lock(&mu_);
      const auto due = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
        return stopping_ || !queue_.empty();
      };
      mu_.Await(absl::Condition(&due));
      if (stopping_) return;
      job = std::move(queue_.front());
      queue_.pop_front();
    }
    const JobResult result = RunJob(job);
    const uint64_t id = job.id;
    job = Job();
    done_(id, result);
  }
}

}  // namespace weir
