// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_NET_OUTBOUND_QUEUE_H_
#define WEIR_NET_OUTBOUND_QUEUE_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <utility>
#include <vector>

#include "core/payload.h"
#include "net/frame.h"

namespace weir {

// The encoded frames that wait for one stream's transport, within bounds: first in first out, but
// those in a hurry go before the others, for at most kMaxOvertaking messages in a row. Nothing
// overtakes the first frame of all, the hello or its answer. Those being written count until they
// are done. Not synchronised.
class OutboundQueue {
 public:
  struct Entry {
    Payload wire;
    size_t bytes;  // of `wire` when it was queued
    uint64_t payload_bytes;
    // Makes the payload of `wire`, where its bytes are nowhere yet.
    std::function<Payload()> make;
  };

  // Of a message that holds several frames, and of each: more saves nothing any more, and keeps the
  // first ones from being read.
  static constexpr size_t kMaxBatchBytes = 64 << 10;
  static constexpr size_t kSmallFrameBytes = 16 << 10;
  // Messages that go before a frame that waits: what is in a hurry takes a third of the bytes at
  // most, beside slices of a megabyte.
  static constexpr int kMaxOvertaking = 8;

  OutboundQueue(size_t max_frames, uint64_t max_bytes)
      : max_frames_(max_frames), max_bytes_(max_bytes) {}

  // False, and nothing queued, when a bound would be exceeded. `hurry`: it may overtake frames that
  // are not in a hurry; one that is not small is in none.
  bool Push(Payload wire, uint64_t payload_bytes, bool hurry,
            std::function<Payload()> make = nullptr) {
    if (frames() == max_frames_ || bytes_ + wire.size() > max_bytes_) return false;
    bytes_ += wire.size();
    const size_t size = wire.size();
    auto& queue = hurry && begun_ && size <= kSmallFrameBytes ? hurried_ : waiting_;
    queue.push_back(Entry{std::move(wire), size, payload_bytes, std::move(make)});
    return true;
  }

  // Takes the next frame for writing; with `batches`, as many of the next as go well into one
  // message. They are in `writing()` until Finish. REQUIRES: !is_writing() && has_waiting().
  void Start(bool batches) {
    const bool hurry = !hurried_.empty() && (waiting_.empty() || overtaking_ < kMaxOvertaking);
    overtaking_ = hurry && !waiting_.empty() ? overtaking_ + 1 : 0;
    writes_in_hurry_ = hurry;
    begun_ = true;
    std::deque<Entry>& queue = hurry ? hurried_ : waiting_;
    size_t bytes = 0;
    do {
      bytes += queue.front().bytes;
      writing_.push_back(std::move(queue.front()));
      queue.pop_front();
    } while (batches && !queue.empty() && writing_.front().bytes <= kSmallFrameBytes &&
             queue.front().bytes <= kSmallFrameBytes &&
             bytes + queue.front().bytes <= kMaxBatchBytes && writing_.size() < kMaxBatchFrames);
  }

  // What is to be written; what `writing()` tells of it stays but for the wires.
  std::vector<Entry> TakeWriting() {
    std::vector<Entry> taken;
    for (Entry& entry : writing_)
      taken.push_back(
          {std::move(entry.wire), entry.bytes, entry.payload_bytes, std::move(entry.make)});
    return taken;
  }

  // The frames being written have been taken by the transport, or lost. REQUIRES: is_writing().
  void Finish() {
    for (const Entry& entry : writing_) bytes_ -= entry.bytes;
    writing_.clear();
  }

  // Drops what waits; not the frames being written.
  void Clear() {
    for (const Entry& entry : waiting_) bytes_ -= entry.bytes;
    for (const Entry& entry : hurried_) bytes_ -= entry.bytes;
    waiting_.clear();
    hurried_.clear();
  }

  // Whether what is being written may overtake.
  bool writes_in_hurry() const { return writes_in_hurry_; }
  bool is_writing() const { return !writing_.empty(); }
  // The frames being written, whose `wire` the writer may take.
  std::vector<Entry>& writing() { return writing_; }
  bool idle() const { return !has_waiting() && !is_writing(); }
  bool has_waiting() const { return !waiting_.empty() || !hurried_.empty(); }
  size_t frames() const { return waiting_.size() + hurried_.size() + writing_.size(); }
  uint64_t bytes() const { return bytes_; }

 private:
  const size_t max_frames_;
  const uint64_t max_bytes_;
  std::deque<Entry> waiting_;
  std::deque<Entry> hurried_;
  std::vector<Entry> writing_;
  uint64_t bytes_ = 0;  // of all frames()
  bool begun_ = false;  // a frame has been taken
  bool writes_in_hurry_ = false;
  int overtaking_ = 0;  // messages that have gone before the first that waits
};

}  // namespace weir

#endif  // WEIR_NET_OUTBOUND_QUEUE_H_
