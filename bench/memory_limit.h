// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_BENCH_MEMORY_LIMIT_H_
#define WEIR_BENCH_MEMORY_LIMIT_H_

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "bench/arrays.h"
#include "bench/measured.h"

namespace weir::bench {

// What memory allows: loops that read `reads` arrays and write `writes` others, all of one length,
// with one multiplication and one addition an element read (a triad is two reads and a write).
// Whatever reads and writes the same bytes can hardly be faster.

// Which way the stores go: through the caches, which first read the lines, or past them.
enum class Stores { kCached, kStreamed };

// 32-byte aligned arrays of `count` elements. REQUIRES: 1 <= reads, writes <= 4; a multiple of 8.
void RunMemoryLimit(int reads, int writes, Stores stores, const float* const* in, float* const* out,
                    size_t count);

// Adds the two limits of that mix, over arrays of `bytes` bytes in total, to `all`, unless they are
// there, and returns their names.
std::vector<std::string> MemoryLimits(int reads, int writes, size_t bytes,
                                      const std::shared_ptr<Arrays>& arrays,
                                      std::vector<Measured>* all);

}  // namespace weir::bench

#endif  // WEIR_BENCH_MEMORY_LIMIT_H_
