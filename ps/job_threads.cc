// SPDX-License-Identifier: Apache-2.0
#include "ps/job_threads.h"

#include <pthread.h>

#include <utility>

#include "absl/strings/str_cat.h"

namespace weir {

JobThreads::JobThreads(const std::string& name, int threads, Done done) : done_(std::move(done)) {
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
