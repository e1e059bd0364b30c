// SPDX-License-Identifier: Apache-2.0
#include "net/shm_inbound.h"

#include <cstring>
#include <deque>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"

namespace weir {

// Counts what has been let go of, in order, and tells the peer. Self-synchronised.
class ShmInbound::Releases {
 public:
  Releases(SharedWord* released, std::shared_ptr<const ShmDoorbell> doorbell)
      : released_(released), doorbell_(std::move(doorbell)) {}

  // The number of one more payload; nothing when `max_held` are held.
  absl::optional<uint64_t> Hold(size_t max_held) {
    absl::MutexLock lock(&mu_);
    if (done_.size() >= max_held) return absl::nullopt;
    done_.push_back(false);
    return first_ + done_.size() - 1;
  }

  void Release(uint64_t number) {
    {
      absl::MutexLock lock(&mu_);
      done_[number - first_] = true;
      if (number != first_) return;
      while (!done_.empty() && done_.front()) {
        done_.pop_front();
        ++first_;
      }
      released_->store(first_);
    }
    doorbell_->RingIfStarved();
  }

 private:
  SharedWord* const released_;
  const std::shared_ptr<const ShmDoorbell> doorbell_;
  absl::Mutex mu_;
  std::deque<bool> done_ ABSL_GUARDED_BY(mu_);  // from the first that is held
  uint64_t first_ ABSL_GUARDED_BY(mu_) = 0;
};

// What the owner of a borrowed payload is: lets go of it in the end.
class ShmInbound::Held {
 public:
  Held(std::shared_ptr<Releases> releases, uint64_t number, std::shared_ptr<ShmSegment> memory)
      : releases_(std::move(releases)), number_(number), memory_(std::move(memory)) {}
  ~Held() { releases_->Release(number_); }
  Held(const Held&) = delete;
  Held& operator=(const Held&) = delete;

 private:
  const std::shared_ptr<Releases> releases_;
  const uint64_t number_;
  const std::shared_ptr<ShmSegment> memory_;
};

ShmInbound::ShmInbound(const ShmDirection& direction, std::shared_ptr<const ShmDoorbell> doorbell,
                       Limits limits)
    : direction_(direction),
      doorbell_(std::move(doorbell)),
      limits_(limits),
      releases_(std::make_shared<Releases>(direction.released, doorbell_)),
      reader_(direction, limits.max_frame_bytes) {}

ShmInbound::~ShmInbound() = default;

absl::Status ShmInbound::AddSegment(uint32_t id, uint64_t bytes, ShmFd descriptor) {
  if (id >= segments_.size() || segments_[id] != nullptr) {
    return absl::InvalidArgumentError(absl::StrCat("shared memory: segment ", id,
                                                   " was handed over; numbers go up to ",
                                                   segments_.size() - 1, ", each once"));
  }
  ShmSegment::Expected expected;
  expected.access = SegmentAccess::kCreatorOnly;
  expected.bytes = bytes;
  expected.max_bytes = limits_.max_segment_bytes - segment_bytes_;
  absl::StatusOr<std::shared_ptr<ShmSegment>> segment =
      ShmSegment::Adopt(std::move(descriptor), expected);
  if (!segment.ok()) {
    if (absl::IsInvalidArgument(segment.status()))
      return absl::InternalError(segment.status().message());
    return segment.status();
  }
  segment_bytes_ += (*segment)->size();
  segments_[id] = *std::move(segment);
  return absl::OkStatus();
}

absl::StatusOr<absl::optional<ShmInbound::Frame>> ShmInbound::Next() {
  if (!reader_.HasNext()) return absl::optional<Frame>();
  absl::StatusOr<Record> record = reader_.Next();
  if (!record.ok()) return record.status();
  const RecordHead& head = record->head;
  Frame frame;
  frame.wire.Append(record->bytes.get(), record->size, record->bytes);
  frame.payload_bytes = head.payload_bytes;
  frame.hurry = head.kind == RecordKind::kHurried;
  frame.copied_bytes = record->size;
  if (HoldsPayload(head.kind)) return absl::make_optional(std::move(frame));

  std::shared_ptr<ShmSegment> memory;
  const absl::StatusOr<const char*> data = Locate(head, &memory);
  if (!data.ok()) return data.status();
  const absl::optional<uint64_t> number = releases_->Hold(limits_.max_held);
  if (!number) {
    return absl::ResourceExhaustedError(
        absl::StrCat("shared memory: ", limits_.max_held,
                     " payloads of one peer are in use, which is the limit"));
  }
  std::shared_ptr<const void> owner = std::make_shared<Held>(releases_, *number, std::move(memory));
  if (head.kind == RecordKind::kDescribed) {
    frame.lent = head.segment != kBounceSegment;
    frame.wire.Append(*data, head.payload_bytes, std::move(owner));
    return absl::make_optional(std::move(frame));
  }
  // A header must not change while it is being read.
  auto copy = std::shared_ptr<char[]>(new char[head.payload_bytes]);
  std::memcpy(copy.get(), *data, head.payload_bytes);
  std::atomic_signal_fence(std::memory_order_seq_cst);
  frame.wire.Append(copy.get(), head.payload_bytes, copy);
  frame.copied_bytes += head.payload_bytes;
  return absl::make_optional(std::move(frame));
}

void ShmInbound::Publish() {
  reader_.Publish();
  doorbell_->RingIfStarved();
}

absl::StatusOr<const char*> ShmInbound::Locate(const RecordHead& head,
                                               std::shared_ptr<ShmSegment>* memory) const {
  const char* base = direction_.bounce;
  uint64_t size = direction_.bounce_bytes;
  *memory = doorbell_->rings();
  if (head.segment != kBounceSegment) {
    if (head.segment >= segments_.size() || segments_[head.segment] == nullptr) {
      return absl::InvalidArgumentError(absl::StrCat(
          "shared memory: bytes of segment ", head.segment, " are described, which is not here"));
    }
    *memory = segments_[head.segment];
    base = (*memory)->data();
    size = (*memory)->size();
  }
  if (head.offset > size || head.payload_bytes > size - head.offset) {
    return absl::InvalidArgumentError(
        absl::StrCat("shared memory: ", head.payload_bytes, " bytes at ", head.offset,
                     " are described, beyond a segment of ", size, " bytes"));
  }
  return base + head.offset;
}

}  // namespace weir
