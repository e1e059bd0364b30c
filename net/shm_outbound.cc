// SPDX-License-Identifier: Apache-2.0
#include "net/shm_outbound.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"

namespace weir {
namespace {

// Payloads begin at cache lines.
constexpr uint64_t kBounceAlignment = 64;

// Copies what follows the first `skipped` bytes of `wire`.
void CopyBehind(const Payload& wire, size_t skipped, char* out) {
  for (const Payload::Chunk& chunk : wire.chunks()) {
    const size_t skip = std::min(skipped, chunk.size);
    std::memcpy(out, chunk.data + skip, chunk.size - skip);
    out += chunk.size - skip;
    skipped -= skip;
  }
}

}  // namespace

ShmOutbound::ShmOutbound(const ShmDirection& direction, SharedWord* starved,
                         std::shared_ptr<ShmArena> arena, Limits limits)
    : direction_(direction),
      starved_(starved),
      arena_(std::move(arena)),
      limits_(limits),
      writer_(direction) {}

absl::Status ShmOutbound::Send(Payload wire, uint64_t payload_bytes, bool hurry, Outcome* outcome) {
  if (wire.size() > limits_.max_frame_bytes || payload_bytes > wire.size()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "a frame of ", wire.size(), " bytes; the limit is ", limits_.max_frame_bytes, " bytes"));
  }
  absl::MutexLock lock(&mu_);
  if (closed_) return absl::UnavailableError("shared memory: the link has ended");
  if (queue_.size() >= limits_.max_queued_frames ||
      queued_bytes_ + wire.size() > limits_.max_queued_bytes) {
    return absl::ResourceExhaustedError(
        "shared memory: the peer does not read what it is sent: the queue is full");
  }
  queued_bytes_ += wire.size();
  queue_.push_back(Waiting{std::move(wire), payload_bytes, hurry});
  return queue_.size() == 1 ? Flush(outcome) : absl::OkStatus();
}

absl::Status ShmOutbound::Advance(Outcome* outcome) {
  absl::MutexLock lock(&mu_);
  if (closed_) return absl::OkStatus();
  const uint64_t head = direction_.head->load(std::memory_order_relaxed);
  if (std::exchange(head_seen_, head) != head) ++progress_;
  answered_ = false;
  const absl::Status status = Unpin(outcome);
  return status.ok() ? Flush(outcome) : status;
}

bool ShmOutbound::HasWork() const {
  absl::MutexLock lock(&mu_);
  if (closed_) return false;
  if (!pins_.empty() && direction_.released->load() != released_) return true;
  if (queue_.empty()) return false;
  return answered_ || direction_.head->load() != head_seen_;
}

absl::Status ShmOutbound::Answered(uint32_t segment, bool taken) {
  absl::MutexLock lock(&mu_);
  if (segment >= segments_.size() || segments_[segment] != SegmentState::kOffered) {
    return absl::InvalidArgumentError(absl::StrCat("shared memory: an answer about segment ",
                                                   segment, ", of which nothing was asked"));
  }
  segments_[segment] = taken ? SegmentState::kTaken : SegmentState::kRefused;
  answered_ = true;
  return absl::OkStatus();
}

bool ShmOutbound::Drain() {
  absl::MutexLock lock(&mu_);
  if (closed_) return true;
  draining_ = true;
  starved_->store(1);
  return queue_.empty() && direction_.released->load() - released_ == pins_.size();
}

void ShmOutbound::Close(Outcome* outcome) {
  absl::MutexLock lock(&mu_);
  closed_ = true;
  for (Waiting& frame : queue_) {
    for (const Payload::Chunk& chunk : frame.wire.chunks()) outcome->dropped.push_back(chunk.owner);
  }
  queue_.clear();
  queued_bytes_ = 0;
  for (Pin& pin : pins_) outcome->dropped.push_back(std::move(pin.owner));
  pins_.clear();
}

absl::Status ShmOutbound::Flush(Outcome* outcome) {
  bool asked = false;
  while (!queue_.empty()) {
    const absl::StatusOr<bool> written = Write(queue_.front(), outcome);
    if (!written.ok()) return written.status();
    if (*written) {
      for (const Payload::Chunk& chunk : queue_.front().wire.chunks())
        outcome->dropped.push_back(chunk.owner);
      queued_bytes_ -= queue_.front().wire.size();
      queue_.pop_front();
      outcome->wrote = true;
      continue;
    }
    if (asked) return absl::OkStatus();
    // Ask first, then look once more: the peer makes room first and looks then.
    starved_->store(1);
    const absl::Status status = Unpin(outcome);
    if (!status.ok()) return status;
    asked = true;
  }
  if (!draining_) starved_->store(0, std::memory_order_relaxed);
  return absl::OkStatus();
}

absl::StatusOr<bool> ShmOutbound::Write(const Waiting& frame, Outcome* outcome) {
  const Payload& wire = frame.wire;
  const size_t header_bytes = wire.size() - frame.payload_bytes;
  RecordHead head;
  if (header_bytes > kMaxRecordHeaderBytes) {
    head.kind = RecordKind::kWhole;
    head.payload_bytes = wire.size();
    return WriteBounced(frame, head);
  }
  head.header_bytes = static_cast<uint32_t>(header_bytes);
  head.payload_bytes = frame.payload_bytes;
  if (frame.payload_bytes <= kMaxInlineBytes) {
    head.kind = frame.hurry ? RecordKind::kHurried : RecordKind::kInline;
    head.bytes = static_cast<uint32_t>(RecordBytes(head.kind, header_bytes, frame.payload_bytes));
    const absl::StatusOr<bool> room = writer_.HasRoom(head.bytes);
    if (!room.ok() || !*room) return room;
    writer_.Write(head, wire);
    ++statistics_.frames;
    statistics_.copied_bytes += frame.payload_bytes;
    outcome->sent.push_back(frame.payload_bytes);
    return true;
  }
  head.kind = RecordKind::kDescribed;
  const bool in_one_piece = wire.chunks().size() == 2 && wire.chunks()[0].size == header_bytes;
  const auto place = in_one_piece ? Shared(wire.chunks()[1], outcome) : absl::nullopt;
  if (!place) return WriteBounced(frame, head);
  head.bytes = static_cast<uint32_t>(RecordBytes(head.kind, header_bytes, 0));
  head.segment = place->segment;
  head.offset = place->offset;
  const absl::StatusOr<bool> room = writer_.HasRoom(head.bytes);
  if (!room.ok() || !*room) return room;
  if (pins_.size() >= limits_.max_pinned) return false;
  pins_.push_back(Pin{wire.chunks()[1].owner, bounce_used_, frame.payload_bytes});
  writer_.Write(head, wire);
  ++statistics_.frames;
  statistics_.described_bytes += frame.payload_bytes;
  return true;
}

absl::StatusOr<bool> ShmOutbound::WriteBounced(const Waiting& frame, RecordHead head) {
  head.segment = kBounceSegment;
  head.bytes = static_cast<uint32_t>(RecordBytes(head.kind, head.header_bytes, 0));
  const absl::StatusOr<bool> room = writer_.HasRoom(head.bytes);
  if (!room.ok() || !*room) return room;
  if (pins_.size() >= limits_.max_pinned) return false;
  const absl::optional<uint64_t> offset = TakeBounce(head.payload_bytes);
  if (!offset) return false;
  head.offset = *offset;
  CopyBehind(frame.wire, head.header_bytes, direction_.bounce + *offset);
  pins_.push_back(Pin{nullptr, bounce_used_, frame.payload_bytes});
  writer_.Write(head, frame.wire);
  ++statistics_.frames;
  statistics_.copied_bytes += frame.payload_bytes;
  return true;
}

absl::optional<ShmArena::Place> ShmOutbound::Shared(const Payload::Chunk& payload,
                                                    Outcome* outcome) {
  if (arena_ == nullptr) return absl::nullopt;
  const absl::optional<ShmArena::Place> place = arena_->Find(payload.data, payload.size);
  if (!place) return absl::nullopt;
  SegmentState& state = segments_[place->segment];
  if (state == SegmentState::kTaken) return place;
  if (state == SegmentState::kUnknown) {
    state = SegmentState::kOffered;
    outcome->to_hand_over.push_back(place->segment);
  }
  return absl::nullopt;
}

absl::Status ShmOutbound::Unpin(Outcome* outcome) {
  const uint64_t released = direction_.released->load();
  const uint64_t count = released - released_;
  if (count > pins_.size()) {
    return absl::InvalidArgumentError(
        absl::StrCat("shared memory: the peer says that it has let go of ", released, " payloads, ",
                     released_, " before; it holds ", pins_.size()));
  }
  for (uint64_t i = 0; i < count; ++i) {
    outcome->sent.push_back(pins_.front().payload_bytes);
    bounce_free_ = std::max(bounce_free_, pins_.front().bounce_end);
    outcome->dropped.push_back(std::move(pins_.front().owner));
    pins_.pop_front();
  }
  if (count > 0) ++progress_;
  released_ = released;
  return absl::OkStatus();
}

absl::optional<uint64_t> ShmOutbound::TakeBounce(uint64_t bytes) {
  const uint64_t size = (bytes + kBounceAlignment - 1) / kBounceAlignment * kBounceAlignment;
  const uint64_t capacity = direction_.bounce_bytes;
  if (bounce_used_ == bounce_free_) {  // all of it is free, but it may begin anywhere
    bounce_used_ += (capacity - bounce_used_ % capacity) % capacity;
    bounce_free_ = bounce_used_;
  }
  uint64_t begin = bounce_used_;
  if (begin % capacity + size > capacity) begin += capacity - begin % capacity;
  if (begin + size - bounce_free_ > capacity) return absl::nullopt;
  bounce_used_ = begin + size;
  return begin % capacity;
}

bool ShmOutbound::waiting() const {
  absl::MutexLock lock(&mu_);
  return !queue_.empty() || !pins_.empty();
}

uint64_t ShmOutbound::progress() const {
  absl::MutexLock lock(&mu_);
  return progress_;
}

ShmOutbound::Statistics ShmOutbound::statistics() const {
  absl::MutexLock lock(&mu_);
  return statistics_;
}

}  // namespace weir
