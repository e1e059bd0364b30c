// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_PS_JOB_THREADS_H_
#define WEIR_PS_JOB_THREADS_H_

#include <cstdint>
#include <deque>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "ps/job.h"

namespace weir {

// Threads that run a shard's jobs, first come first served, and say when each is done. The queue is
// bounded by the shard, which has at most one job a slice out. Self-synchronised.
class JobThreads {
 public:
  using Done = std::function<void(uint64_t job, const JobResult& result)>;

  // `done` is called on the threads, under no lock, after the job has let go of its inputs. The
  // threads are called NAME-j0 and so on. REQUIRES: threads >= 1.
  JobThreads(const std::string& name, int threads, Done done);
  // Waits for the jobs that run; drops those that wait, without a word.
  ~JobThreads();
  JobThreads(const JobThreads&) = delete;
  JobThreads& operator=(const JobThreads&) = delete;

  void Submit(Job job);

 private:
  void Run();

  const Done done_;
  absl::Mutex mu_;
  std::deque<Job> queue_ ABSL_GUARDED_BY(mu_);
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
  std::vector<std::thread> threads_;  // joined by the destructor
};

}  // namespace weir

#endif  // WEIR_PS_JOB_THREADS_H_
