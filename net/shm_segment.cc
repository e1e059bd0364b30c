// SPDX-License-Identifier: Apache-2.0
#include "net/shm_segment.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <limits>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "core/pages.h"

namespace weir {
namespace {

constexpr size_t kPageBytes = 4096;
constexpr int kCollapse = 25;  // MADV_COLLAPSE, not in Debian 12's <sys/mman.h>
constexpr uint64_t kMostBytes = uint64_t{1} << 46;
constexpr int kSizeSeals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;

int SealsOf(SegmentAccess access) {
  return access == SegmentAccess::kBoth ? kSizeSeals : kSizeSeals | F_SEAL_FUTURE_WRITE;
}

absl::Status FromErrno(absl::string_view what, int error) {
  const std::string text =
      absl::StrCat("shared memory: ", what, ": ", std::strerror(error), " (errno ", error, ")");
  switch (error) {
    case ENOMEM:
    case ENOSPC:
    case EFBIG:
    case EDQUOT:
    case EMFILE:
    case ENFILE:
      return absl::ResourceExhaustedError(text);
    default:
      return absl::InternalError(text);
  }
}

// Fails rather than let the kernel kill: it sends SIGXFSZ at the limit, and at the end of memory
// ends whom it likes.
absl::Status CheckRoom(uint64_t bytes, uint64_t available_bytes) {
  if (bytes > available_bytes || bytes > kMostBytes) {
    return absl::ResourceExhaustedError(absl::StrCat("shared memory: no room for ", bytes,
                                                     " bytes, ", available_bytes, " are left"));
  }
  rlimit limit{};
  if (getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY &&
      bytes > limit.rlim_cur) {
    return absl::ResourceExhaustedError(absl::StrCat("shared memory: ", bytes,
                                                     " bytes exceed this process's limit of ",
                                                     limit.rlim_cur, " bytes a file (ulimit -f)"));
  }
  return absl::OkStatus();
}

absl::Status Allocate(int fd, size_t at, size_t bytes) {
  constexpr int kMostTries = 100;
  int tries = 0;
  while (fallocate(fd, 0, static_cast<off_t>(at), static_cast<off_t>(bytes)) != 0) {
    if (errno != EINTR || ++tries == kMostTries) return FromErrno("cannot allocate", errno);
  }
  return absl::OkStatus();
}

// In pieces, so that a signal only repeats one of them.
absl::Status AllocateInFull(int fd, size_t bytes) {
  constexpr size_t kPieceBytes = size_t{16} << 20;
  for (size_t done = 0; done < bytes; done += kPieceBytes) {
    const absl::Status status = Allocate(fd, done, std::min(kPieceBytes, bytes - done));
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

// Takes huge pages for what fills them, also where the machine gives shared memory none of itself
// (shmem_enabled is "never" in Debian): a small page in each, which the kernel then makes a huge
// one of. It leaves the rest as it is where it does not know how (before Linux 6.1) or has none.
absl::Status AskForHugePages(int fd, char* data, size_t bytes) {
  const size_t whole = bytes / kHugePageBytes * kHugePageBytes;
  for (size_t at = 0; at < whole; at += kHugePageBytes) {
    const absl::Status status = Allocate(fd, at, kPageBytes);
    if (!status.ok()) return status;
  }
  if (whole != 0) madvise(data, whole, kCollapse);
  return absl::OkStatus();
}

// The value of the line "name:   value kB", in bytes.
uint64_t MeminfoBytes(absl::string_view name) {
  std::ifstream file("/proc/meminfo");
  for (std::string line; std::getline(file, line);) {
    absl::string_view rest = line;
    if (!absl::ConsumePrefix(&rest, name) || !absl::ConsumePrefix(&rest, ":")) continue;
    absl::ConsumeSuffix(&rest, "kB");
    uint64_t kib = 0;
    return absl::SimpleAtoi(rest, &kib) ? kib << 10 : 0;
  }
  return 0;
}

bool ReadNumber(const std::string& path, uint64_t* value) {
  std::ifstream file(path);
  std::string text;
  return std::getline(file, text) && absl::SimpleAtoi(text, value);
}

// What the limits of our control group and of those around it leave.
uint64_t ControlGroupBytes() {
  std::ifstream file("/proc/self/cgroup");
  std::string path;
  for (std::string line; std::getline(file, line);) {
    absl::string_view rest = line;
    if (absl::ConsumePrefix(&rest, "0::")) path = std::string(rest);
  }
  uint64_t left = std::numeric_limits<uint64_t>::max();
  while (path.size() > 1) {
    const std::string group = absl::StrCat("/sys/fs/cgroup", path);
    uint64_t most = 0;
    uint64_t used = 0;
    if (ReadNumber(group + "/memory.max", &most) && ReadNumber(group + "/memory.current", &used)) {
      left = std::min(left, most > used ? most - used : 0);
    }
    path.resize(path.rfind('/'));
  }
  return left;
}

absl::Status Unsuitable(absl::string_view what) {
  return absl::FailedPreconditionError(
      absl::StrCat("shared memory that was handed over is refused: ", what));
}

absl::Status CheckSeals(int fd, SegmentAccess access) {
  const int seals = fcntl(fd, F_GET_SEALS);
  if (seals < 0) return Unsuitable("it is no memfd");
  const int wanted = SealsOf(access);
  if ((seals & (wanted | F_SEAL_WRITE | F_SEAL_FUTURE_WRITE)) != wanted) {
    return Unsuitable(
        absl::StrCat("its seals are ", seals, " where they must be ", wanted, " (fcntl.h)"));
  }
  return absl::OkStatus();
}

absl::Status CheckFile(int fd, const ShmSegment::Expected& expected) {
  struct statfs system {};
  // Not of huge pages: there an access fails where the kernel has run out of them.
  if (fstatfs(fd, &system) != 0 || system.f_type != TMPFS_MAGIC) {
    return Unsuitable("it is not of ordinary pages");
  }
  struct stat file {};
  if (fstat(fd, &file) != 0 || !S_ISREG(file.st_mode)) return Unsuitable("it is no file");
  if (file.st_uid != geteuid()) {
    return Unsuitable(absl::StrCat("it belongs to user ", file.st_uid));
  }
  if ((file.st_mode & 07777) != 0600) {
    return Unsuitable("others than its owner may open it, or its owner may not");
  }
  // Else every page that we read first would be taken from what we may take.
  constexpr int64_t kBlockBytes = 512;
  if (file.st_blocks * kBlockBytes < file.st_size) return Unsuitable("it is not allocated in full");
  const uint64_t bytes = static_cast<uint64_t>(file.st_size);
  if (bytes != expected.bytes || bytes == 0 || bytes % kPageBytes != 0) {
    return Unsuitable(absl::StrCat("it holds ", bytes, " bytes, announced as ", expected.bytes));
  }
  if (bytes > expected.max_bytes) {
    return absl::ResourceExhaustedError(absl::StrCat("shared memory of ", bytes,
                                                     " bytes was handed over; the limit is ",
                                                     expected.max_bytes, " bytes"));
  }
  return absl::OkStatus();
}

// At a multiple of a huge page, where it fills one: else the kernel would map small pages of it.
absl::StatusOr<char*> Map(int fd, size_t bytes, bool writable) {
  const size_t spare = bytes < kHugePageBytes ? 0 : kHugePageBytes;
  void* const reserved =
      mmap(nullptr, bytes + spare, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (reserved == MAP_FAILED) return FromErrno("cannot map", errno);
  char* const begin = static_cast<char*>(reserved);
  const size_t beyond = reinterpret_cast<uintptr_t>(begin) % kHugePageBytes;
  const size_t skipped = spare == 0 || beyond == 0 ? 0 : kHugePageBytes - beyond;
  char* const data = begin + skipped;
  const int protection = writable ? PROT_READ | PROT_WRITE : PROT_READ;
  if (mmap(data, bytes, protection, MAP_SHARED | MAP_FIXED, fd, /*offset=*/0) == MAP_FAILED) {
    const int error = errno;
    munmap(begin, bytes + spare);
    return FromErrno("cannot map", error);
  }
  if (skipped != 0) munmap(begin, skipped);
  if (skipped != spare) munmap(data + bytes, spare - skipped);
  madvise(data, bytes, MADV_HUGEPAGE);  // for speed only
  return data;
}

// For speed only: no faults later.
void Populate(char* data, size_t bytes, bool writable) {
  madvise(data, bytes, writable ? MADV_POPULATE_WRITE : MADV_POPULATE_READ);
}

}  // namespace

uint64_t AvailableMemoryBytes() {
  return std::min(MeminfoBytes("MemAvailable"), ControlGroupBytes());
}

absl::StatusOr<std::shared_ptr<ShmSegment>> ShmSegment::Create(size_t bytes, SegmentAccess access,
                                                               uint64_t available_bytes) {
  absl::Status status = CheckRoom(bytes, available_bytes);
  if (!status.ok()) return status;
  const size_t size = (std::max<size_t>(bytes, 1) + kPageBytes - 1) / kPageBytes * kPageBytes;
  ShmFd fd(memfd_create("weir", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!fd) return FromErrno("cannot create", errno);
  if (fchmod(fd.get(), 0600) != 0) return FromErrno("cannot set the mode", errno);
  if (ftruncate(fd.get(), static_cast<off_t>(size)) != 0) return FromErrno("cannot size", errno);
  absl::StatusOr<char*> data = Map(fd.get(), size, /*writable=*/true);
  if (!data.ok()) return data.status();
  const int number = fd.get();
  // From here on the destructor unmaps.
  std::shared_ptr<ShmSegment> segment(new ShmSegment(std::move(fd), *data, size));
  status = AskForHugePages(number, *data, size);
  if (status.ok()) status = AllocateInFull(number, size);
  if (!status.ok()) return status;
  Populate(*data, size, /*writable=*/true);
  if (fcntl(number, F_ADD_SEALS, SealsOf(access)) != 0) return FromErrno("cannot seal", errno);
  return segment;
}

absl::StatusOr<std::shared_ptr<ShmSegment>> ShmSegment::Adopt(ShmFd fd, const Expected& expected) {
  absl::Status status = CheckSeals(fd.get(), expected.access);
  if (status.ok()) status = CheckFile(fd.get(), expected);
  if (!status.ok()) return status;
  const bool writable = expected.access == SegmentAccess::kBoth;
  const absl::StatusOr<char*> data = Map(fd.get(), expected.bytes, writable);
  if (!data.ok()) return data.status();
  Populate(*data, expected.bytes, writable);
  return std::shared_ptr<ShmSegment>(new ShmSegment(ShmFd(), *data, expected.bytes));
}

ShmSegment::~ShmSegment() { munmap(data_, size_); }

}  // namespace weir
