// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_TOOLS_REST_BUFFER_H_
#define WEIR_TOOLS_REST_BUFFER_H_

#include <array>
#include <cstddef>
#include <memory>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"

namespace weir {

// Memory for messages of very different sizes, shared by the requests of a process: blocks of
// powers of two that stay mapped when they are given back, so that neither side of the comparison
// pays page faults for each message, nor keeps the largest message's memory for each connection.
//
// Thread-safe. Holds at most the blocks that were once in use at the same time, until Clear.
class RestMemory {
 public:
  static constexpr size_t kLeastBytes = 4096;

  // A block of CapacityFor(size) bytes, not cleared.
  std::unique_ptr<char[]> Take(size_t size);
  // Takes back what Take(size) gave.
  void Give(std::unique_ptr<char[]> block, size_t size);
  // Frees all that is not in use.
  void Clear();

  static size_t CapacityFor(size_t size);

 private:
  static constexpr size_t kClasses = 64;

  absl::Mutex mu_;
  // By the logarithm of their size.
  std::array<std::vector<std::unique_ptr<char[]>>, kClasses> free_ ABSL_GUARDED_BY(mu_);
};

// A message's body: never cleared, and followed by the bytes that simdjson may read beyond the end.
class RestBuffer {
 public:
  static constexpr size_t kPaddingBytes = 64;

  // Empty. `memory` outlives it.
  explicit RestBuffer(RestMemory* memory) : memory_(memory) {}
  ~RestBuffer();
  RestBuffer(const RestBuffer&) = delete;
  RestBuffer& operator=(const RestBuffer&) = delete;

  // Makes room for `size` bytes; what was there is lost.
  void Resize(size_t size);
  // Gives its memory back; it is empty then.
  void Release();
  char* data() { return block_.get(); }
  const char* data() const { return block_.get(); }
  size_t size() const { return size_; }
  absl::string_view text() const { return {block_.get(), size_}; }

 private:
  RestMemory* const memory_;
  std::unique_ptr<char[]> block_;
  size_t capacity_ = 0;  // of block_
  size_t size_ = 0;
};

}  // namespace weir

#endif  // WEIR_TOOLS_REST_BUFFER_H_
