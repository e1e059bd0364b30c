// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_NET_OUTBOUND_QUEUE_H_
#define WEIR_NET_OUTBOUND_QUEUE_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <utility>
#include <vector>

#include "core/payload.h"
#include "net/frame.h"

namespace weir {

// The encoded frames that wait for one stream's transport, first in first out, within bounds. Those
// being written count until they are done. Not synchronised.
class OutboundQueue {
 public:
  struct Entry {
    Payload wire;
    size_t bytes;  // of `wire` when it was queued
    uint64_t payload_bytes;
  };

  // Of a message that holds several frames, and of each: more saves nothing any more, and keeps the
  // first ones from being read.
  static constexpr size_t kMaxBatchBytes = 64 << 10;
  static constexpr size_t kSmallFrameBytes = 16 << 10;

  OutboundQueue(size_t max_frames, uint64_t max_bytes)
      : max_frames_(max_frames), max_bytes_(max_bytes) {}

  // False, and nothing queued, when a bound would be exceeded.
  bool Push(Payload wire, uint64_t payload_bytes) {
    if (frames() == max_frames_ || bytes_ + wire.size() > max_bytes_) return false;
    bytes_ += wire.size();
    const size_t size = wire.size();
    waiting_.push_back(Entry{std::move(wire), size, payload_bytes});
    return true;
  }

  // Takes the next frame for writing; with `batches`, as many of the next as go well into one
  // message. They are in `writing()` until Finish. REQUIRES: !is_writing() && has_waiting().
  void Start(bool batches) {
    size_t bytes = 0;
    do {
      bytes += waiting_.front().wire.size();
      writing_.push_back(std::move(waiting_.front()));
      waiting_.pop_front();
    } while (batches && !waiting_.empty() && writing_.front().wire.size() <= kSmallFrameBytes &&
             waiting_.front().wire.size() <= kSmallFrameBytes &&
             bytes + waiting_.front().wire.size() <= kMaxBatchBytes &&
             writing_.size() < kMaxBatchFrames);
  }

  // The frames being written have been taken by the transport, or lost. REQUIRES: is_writing().
  void Finish() {
    for (const Entry& entry : writing_) bytes_ -= entry.bytes;
    writing_.clear();
  }

  // Drops what waits; not the frames being written.
  void Clear() {
    for (const Entry& entry : waiting_) bytes_ -= entry.bytes;
    waiting_.clear();
  }

  bool is_writing() const { return !writing_.empty(); }
  // The frames being written, whose `wire` the writer may take.
  std::vector<Entry>& writing() { return writing_; }
  bool idle() const { return waiting_.empty() && !is_writing(); }
  bool has_waiting() const { return !waiting_.empty(); }
  size_t frames() const { return waiting_.size() + writing_.size(); }
  uint64_t bytes() const { return bytes_; }

 private:
  const size_t max_frames_;
  const uint64_t max_bytes_;
  std::deque<Entry> waiting_;
  std::vector<Entry> writing_;
  uint64_t bytes_ = 0;  // of all frames()
};

}  // namespace weir

#endif  // WEIR_NET_OUTBOUND_QUEUE_H_
