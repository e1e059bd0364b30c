// SPDX-License-Identifier: Apache-2.0
#include "core/pages.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstring>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace weir {
namespace {

// Far beyond any machine's memory; roundings of less do not overflow.
constexpr size_t kMostBytes = size_t{1} << 60;

size_t RoundUp(size_t bytes, size_t unit) { return (bytes + unit - 1) / unit * unit; }

}  // namespace

absl::StatusOr<std::shared_ptr<void>> MapPages(size_t bytes) {
  if (bytes == 0) return absl::InvalidArgumentError("no bytes were asked for");
  const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  const bool huge = bytes >= kHugePageBytes;
  const size_t size = RoundUp(std::min(bytes, kMostBytes), page);
  const size_t mapped = huge ? size + kHugePageBytes : size;
  void* const at = bytes > kMostBytes ? MAP_FAILED
                                      : mmap(nullptr, mapped, PROT_READ | PROT_WRITE,
                                             MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (at == MAP_FAILED) {
    return absl::ResourceExhaustedError(
        absl::StrCat("the system has no ", bytes,
                     " bytes of memory: ", std::strerror(bytes > kMostBytes ? ENOMEM : errno)));
  }
  if (!huge) return std::shared_ptr<void>(at, [size](void* block) { munmap(block, size); });
  // What lies before the first multiple and behind the block goes back.
  char* const begin = static_cast<char*>(at);
  const size_t skipped =
      RoundUp(reinterpret_cast<uintptr_t>(at), kHugePageBytes) - reinterpret_cast<uintptr_t>(at);
  char* const block = begin + skipped;
  if (skipped != 0) munmap(begin, skipped);
  munmap(block + size, kHugePageBytes - skipped);  // never nothing
  madvise(block, size, MADV_HUGEPAGE);             // where there are none, small pages do
  return std::shared_ptr<void>(block, [size](void* held) { munmap(held, size); });
}

}  // namespace weir
