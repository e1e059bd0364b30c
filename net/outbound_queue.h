// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_NET_OUTBOUND_QUEUE_H_
#define WEIR_NET_OUTBOUND_QUEUE_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <utility>

#include "core/payload.h"

namespace weir {

// The encoded frames that wait for one stream's transport, first in first out, within bounds. The
// one being written counts until it is done. Not synchronised.
class OutboundQueue {
 public:
  OutboundQueue(size_t max_frames, uint64_t max_bytes)
      : max_frames_(max_frames), max_bytes_(max_bytes) {}

  // False, and nothing queued, when a bound would be exceeded.
  bool Push(Payload wire, uint64_t payload_bytes) {
    if (frames() == max_frames_ || bytes_ + wire.size() > max_bytes_) return false;
    bytes_ += wire.size();
    waiting_.push_back(Entry{std::move(wire), payload_bytes});
    return true;
  }

  // Takes the next frame for writing. REQUIRES: !writing() && has_waiting().
  Payload Start() {
    writing_ = true;
    current_bytes_ = waiting_.front().wire.size();
    current_payload_bytes_ = waiting_.front().payload_bytes;
    Payload wire = std::move(waiting_.front().wire);
    waiting_.pop_front();
    return wire;
  }

  // The frame being written has been taken by the transport, or lost. REQUIRES: writing().
  void Finish() {
    writing_ = false;
    bytes_ -= current_bytes_;
  }

  // Drops what waits; not the frame being written.
  void Clear() {
    waiting_.clear();
    bytes_ = writing_ ? current_bytes_ : 0;
  }

  bool writing() const { return writing_; }
  // Payload bytes of the frame being written. REQUIRES: writing().
  uint64_t current_payload_bytes() const { return current_payload_bytes_; }
  bool idle() const { return waiting_.empty() && !writing_; }
  bool has_waiting() const { return !waiting_.empty(); }
  size_t frames() const { return waiting_.size() + (writing_ ? 1 : 0); }
  uint64_t bytes() const { return bytes_; }

 private:
  struct Entry {
    Payload wire;
    uint64_t payload_bytes;
  };

  const size_t max_frames_;
  const uint64_t max_bytes_;
  std::deque<Entry> waiting_;
  uint64_t bytes_ = 0;  // of all frames()
  bool writing_ = false;
  uint64_t current_bytes_ = 0;
  uint64_t current_payload_bytes_ = 0;
};

}  // namespace weir

#endif  // WEIR_NET_OUTBOUND_QUEUE_H_
