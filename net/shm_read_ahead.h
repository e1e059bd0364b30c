// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_NET_SHM_READ_AHEAD_H_
#define WEIR_NET_SHM_READ_AHEAD_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <utility>

#include "absl/types/optional.h"
#include "net/shm_inbound.h"

namespace weir {

// The frames that have been taken from a ring and not been handed on yet: first in first out, but
// those in a hurry go before the others, at most kMaxOvertaking in a row. So a small pull does not
// wait for the gradients that were written before it, which take their time one by one.
//
// Bounded: who fills it stops when it is full, and leaves the rest in the ring. Not synchronised.
class ShmReadAhead {
 public:
  static constexpr size_t kMaxFrames = 1024;
  static constexpr uint64_t kMaxBytes = uint64_t{1} << 20;  // in private memory; one more frame may
                                                            // go beyond it
  static constexpr int kMaxOvertaking = 8;

  bool empty() const { return waiting_.empty() && hurried_.empty(); }
  bool full() const {
    return waiting_.size() + hurried_.size() >= kMaxFrames || bytes_ >= kMaxBytes;
  }

  void Push(ShmInbound::Frame frame) {
    bytes_ += frame.copied_bytes;
    (frame.hurry ? hurried_ : waiting_).push_back(std::move(frame));
  }

  // The next frame; nothing when it is empty.
  absl::optional<ShmInbound::Frame> Take() {
    if (empty()) return absl::nullopt;
    const bool hurry = !hurried_.empty() && (waiting_.empty() || overtaking_ < kMaxOvertaking);
    overtaking_ = hurry && !waiting_.empty() ? overtaking_ + 1 : 0;
    std::deque<ShmInbound::Frame>& queue = hurry ? hurried_ : waiting_;
    ShmInbound::Frame frame = std::move(queue.front());
    queue.pop_front();
    bytes_ -= frame.copied_bytes;
    return frame;
  }

 private:
  std::deque<ShmInbound::Frame> waiting_;
  std::deque<ShmInbound::Frame> hurried_;
  uint64_t bytes_ = 0;  // of both, in private memory
  int overtaking_ = 0;  // that have gone before the first that waits
};

}  // namespace weir

#endif  // WEIR_NET_SHM_READ_AHEAD_H_
