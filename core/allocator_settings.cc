// SPDX-License-Identifier: Apache-2.0
//
// How the allocator of Weir's programs deals with large blocks, which come and go with every step:
// they stay mapped. Linked into every program by weir_program(), never into a library: a program
// that embeds a worker has an allocator of its own choice.
#include <malloc.h>

// jemalloc reads this before main; MALLOC_CONF in the environment still has the last word.
//
// - Blocks of 8 MiB and more are kept like all others, not unmapped as soon as they are free.
// - Huge pages where the system leaves them to the program ("madvise"): a twelfth of the page
//   faults, for an eighth more memory.
// - Four arenas, not four for each core. An arena that a thread has touched keeps huge pages of its
//   own that are hardly used, and takes another whenever a thread needs a little more than before:
//   memory that grows, with time and with the host's cores, and has nothing stored in it.
//
// What is free goes back to the system after 10 s, jemalloc's own default. Never, or much later,
// looks better on paper; but jemalloc joins neighbouring free blocks only then, and frames of many
// sizes took gigabytes (docs/operating.md).
extern "C" {
extern const char* malloc_conf;
const char* malloc_conf = "oversize_threshold:0,thp:always,narenas:4";
}

namespace {

constexpr int kLargestKept = 32 << 20;  // the most that glibc takes
constexpr int kNeverTrim = 1 << 30;

// Without jemalloc: the same for glibc, as far as it goes. Before any thread.
__attribute__((constructor)) void KeepLargeBlocks() {
  mallopt(M_MMAP_THRESHOLD, kLargestKept);
  mallopt(M_TRIM_THRESHOLD, kNeverTrim);
}

}  // namespace
