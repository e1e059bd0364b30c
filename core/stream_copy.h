// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_CORE_STREAM_COPY_H_
#define WEIR_CORE_STREAM_COPY_H_

#include <cstddef>

namespace weir {

// From this many elements on an array is worth writing past the caches, as the optimizers do: a
// store through them first reads the line that it overwrites, and drives others out. Smaller arrays
// are of small tensors, which stay.
inline constexpr size_t kStreamElements = 8192;

// Copies `count` floats from a tile, at any address, to memory that nobody reads soon: the copy
// goes past the caches. `to` is a multiple of 4. Before another thread is told that the copy is
// there, StreamFence is called, once for any number of copies.
void StreamCopy(const void* from, size_t count, float* to);
void StreamFence();

}  // namespace weir

#endif  // WEIR_CORE_STREAM_COPY_H_
