// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_NET_SHM_SEGMENT_H_
#define WEIR_NET_SHM_SEGMENT_H_

#include <cstddef>
#include <cstdint>
#include <memory>

#include "absl/status/statusor.h"
#include "net/shm_fd.h"

namespace weir {

// Who may write to a segment.
enum class SegmentAccess : uint8_t {
  kBoth,         // both ends of a link: its rings
  kCreatorOnly,  // its creator; others can map it for reading only, and no holes can be punched
};

// The memory that this process may still take without making the kernel end somebody: the least of
// what the machine has available and what the limits of our control group leave. 0 when the kernel
// does not say.
uint64_t AvailableMemoryBytes();

// One piece of memory that two processes share: a memfd, mode 0600, allocated in full, whose size
// is sealed, mapped whole. Nobody can make an access to it fail: it cannot shrink, and a hole that
// is punched into it (possible in kBoth only) reads as zeros.
//
// The memory is gone when the last mapping and the last descriptor are, so also when both processes
// are killed. Immutable, but for the bytes; any thread.
class ShmSegment {
 public:
  // What a receiver asks of a segment before it maps it.
  struct Expected {
    SegmentAccess access = SegmentAccess::kCreatorOnly;
    uint64_t bytes = 0;      // as its sender says
    uint64_t max_bytes = 0;  // that we are ready to map
  };

  // A segment of `bytes` bytes of zeros, rounded up to whole pages. `available_bytes` is what there
  // is to take from, see AvailableMemoryBytes. RESOURCE_EXHAUSTED: there is not that much memory,
  // or a limit of this process (descriptors, file size) stands against it; do without shared
  // memory. INTERNAL: the kernel refused for another reason.
  static absl::StatusOr<std::shared_ptr<ShmSegment>> Create(size_t bytes, SegmentAccess access,
                                                            uint64_t available_bytes);

  // Maps what another process handed over; for reading only when its access is kCreatorOnly. The
  // descriptor is closed in any case. FAILED_PRECONDITION, a sentence: it is no memfd, its seals,
  // mode, owner or size are not what they must be, or it has holes. RESOURCE_EXHAUSTED: larger than
  // max_bytes, or no address space for it.
  static absl::StatusOr<std::shared_ptr<ShmSegment>> Adopt(ShmFd fd, const Expected& expected);

  ~ShmSegment();
  ShmSegment(const ShmSegment&) = delete;
  ShmSegment& operator=(const ShmSegment&) = delete;

  // Page aligned; of one that fills a huge page (core/pages.h), aligned to that. REQUIRES, for
  // writing: we created it, or its access is kBoth.
  char* data() const { return data_; }
  size_t size() const { return size_; }
  // To be handed over; -1 of an adopted one.
  int fd() const { return fd_.get(); }

 private:
  ShmSegment(ShmFd fd, char* data, size_t size) : fd_(std::move(fd)), data_(data), size_(size) {}

  const ShmFd fd_;
  char* const data_;
  const size_t size_;
};

}  // namespace weir

#endif  // WEIR_NET_SHM_SEGMENT_H_
