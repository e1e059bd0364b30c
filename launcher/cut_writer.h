// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_LAUNCHER_CUT_WRITER_H_
#define WEIR_LAUNCHER_CUT_WRITER_H_

#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "core/file_system.h"
#include "launcher/checkpoint_files.h"
#include "launcher/checkpoint_schedule.h"
#include "ps/cut.h"

namespace weir {

// Writes the cuts of this process's shards in the background, one cut of the job at a time.
//
// A thread of its own, "weir-ckpt", at the lowest priority, so that serving comes first. Expect
// says which cut is wanted; Add brings the shards' parts of it as they come; report tells how far
// it is. A cut that is not wanted any more is given up between two slices. Methods may be called
// from any thread and do not wait for the disk.
class CutWriter {
 public:
  struct Options {
    FileSystem* files = nullptr;  // borrowed
    CheckpointPlace place;
    uint32_t own_shards = 0;  // of this process
  };

  explicit CutWriter(Options options);
  // Gives up what is not written.
  ~CutWriter();
  CutWriter(const CutWriter&) = delete;
  CutWriter& operator=(const CutWriter&) = delete;

  // From now on cut `number` of `epoch` is wanted, and no other; 0: none.
  void Expect(uint64_t number, uint64_t epoch);
  // A part of it. One that is not wanted is dropped.
  void Add(std::shared_ptr<const ShardCut> cut);
  // The cut wanted cannot be written.
  void Fail(CutReport::State state, std::string why);

  CutReport report() const;
  // Returns when the cut wanted is written or has failed, or after `limit`.
  void AwaitEnd(absl::Duration limit) const;

 private:
  void Loop();
  bool IsWanted(const ShardCut& cut) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    return cut.number == report_.cut && cut.epoch == epoch_ &&
           report_.state == CutReport::State::kWriting;
  }
  bool IsOver() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    return report_.state != CutReport::State::kWriting;
  }
  bool HasWork() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return stopping_ || !queue_.empty(); }

  const Options options_;
  mutable absl::Mutex mu_;
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
  uint64_t epoch_ ABSL_GUARDED_BY(mu_) = 0;
  CutReport report_ ABSL_GUARDED_BY(mu_);
  uint32_t written_ ABSL_GUARDED_BY(mu_) = 0;  // shards of the cut wanted
  std::deque<std::shared_ptr<const ShardCut>> queue_ ABSL_GUARDED_BY(mu_);
  std::thread thread_;
};

}  // namespace weir

#endif  // WEIR_LAUNCHER_CUT_WRITER_H_
