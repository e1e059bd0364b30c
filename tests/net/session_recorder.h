// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_TESTS_NET_SESSION_RECORDER_H_
#define WEIR_TESTS_NET_SESSION_RECORDER_H_

#include <gtest/gtest.h>

#include <cstddef>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "net/session_client.h"

namespace weir {

// Keeps what a session brings, and so the memory that it lies in.
class Recorder : public SessionClientHandler {
 public:
  static constexpr absl::Duration kPatience = absl::Seconds(30);  // for what must come

  void OnFrame(ServerFrame&& frame, size_t) override {
    absl::MutexLock lock(&mu_);
    EXPECT_FALSE(closed_);
    frames_.push_back(std::move(frame));
  }
  void OnClosed(const absl::Status& status) override {
    absl::MutexLock lock(&mu_);
    EXPECT_FALSE(closed_);
    closed_ = true;
    status_ = status;
  }

  // The first `count` frames, once there are so many; they stay.
  std::vector<ServerFrame> Await(size_t count) {
    absl::MutexLock lock(&mu_);
    AwaitFrames(count);
    return frames_;
  }
  // Takes the next `count` frames, once there are so many.
  std::vector<ServerFrame> Take(size_t count) {
    absl::MutexLock lock(&mu_);
    AwaitFrames(count);
    return std::exchange(frames_, {});
  }
  size_t frames() {
    absl::MutexLock lock(&mu_);
    return frames_.size();
  }
  // How the session ended, once it has; UNKNOWN: in order. OK: it has not within `patience`.
  absl::Status AwaitClosed(absl::Duration patience = kPatience) {
    absl::MutexLock lock(&mu_);
    if (!mu_.AwaitWithTimeout(absl::Condition(&closed_), patience)) return absl::OkStatus();
    return status_.ok() ? absl::UnknownError("closed in order") : status_;
  }

 private:
  void AwaitFrames(size_t count) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    const auto enough = [this, count]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
      return frames_.size() >= count || closed_;
    };
    mu_.AwaitWithTimeout(absl::Condition(&enough), kPatience);
    EXPECT_GE(frames_.size(), count) << "closed: " << closed_ << " " << status_;
  }

  absl::Mutex mu_;
  std::vector<ServerFrame> frames_ ABSL_GUARDED_BY(mu_);
  bool closed_ ABSL_GUARDED_BY(mu_) = false;
  absl::Status status_ ABSL_GUARDED_BY(mu_);
};

}  // namespace weir

#endif  // WEIR_TESTS_NET_SESSION_RECORDER_H_
