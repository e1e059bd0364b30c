// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_PS_JOB_THREADS_H_
#define WEIR_PS_JOB_THREADS_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/types/optional.h"
#include "ps/job.h"

namespace weir {

// So many threads of its own are worth having for a shard, beside the one that brings its frames:
// one for each core that the other processes of the job leave, but no more than a few, which move
// all that memory can; none where every core is somebody else's. `processes` are those that run on
// this machine, this one included; `shards` those of this process.
int JobThreadsFor(int usable_cores, uint64_t processes, size_t shards);

// Threads that run a shard's jobs, first come first served, and say when each is done; beside them
// whoever brings jobs may run some itself. The queue is bounded by the shard, which has at most one
// job a slice out. Self-synchronised.
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

  // Takes the first job that waits, unless the threads will soon be there for it: as long as fewer
  // wait than there are threads, each has what it does next. Never `done`: that is the taker's.
  absl::optional<Job> TakeExcess();
  bool HasExcess() const;

 private:
  void Run();
  bool Exceeds() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return queue_.size() > count_; }

  const Done done_;
  const size_t count_;
  mutable absl::Mutex mu_;
  std::deque<Job> queue_ ABSL_GUARDED_BY(mu_);
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
  std::vector<std::thread> threads_;  // joined by the destructor
};

}  // namespace weir

#endif  // WEIR_PS_JOB_THREADS_H_
