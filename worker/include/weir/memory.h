// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_MEMORY_H_
#define WEIR_MEMORY_H_

#include <cstddef>
#include <memory>
#include <utility>

namespace weir {

// A counted handle to one block of memory from Worker::Allocate: zeroed, 64-byte aligned. Gradients
// that lie in it are sent from where they lie; others are copied first.
//
// A call reads the gradient until it has ended. If it has ended ok, the memory may be written anew
// at once. If it has not (kDeadlineExceeded, kCancelled, kAborted ...), a frame of it may still be
// on its way, and would carry what is written now under the old push's name: write elsewhere, to a
// fresh block, until a push with the same sequence (in bulk synchronous training: of the same step
// and parts) has ended ok. The memory itself stays valid whatever the caller does: frames count.
//
// Handles are copied freely and share the block, which lives until the last handle, and the last
// frame that borrows from it, is gone; also after Worker::Close and after the Worker. The handle is
// not thread-safe, the block is plain memory.
class TensorMemory {
 public:
  TensorMemory() = default;  // no block
  // For implementations of Worker. `block` keeps the `bytes` bytes at its pointer alive.
  TensorMemory(std::shared_ptr<void> block, size_t bytes)
      : block_(std::move(block)), bytes_(bytes) {}

  explicit operator bool() const { return block_ != nullptr; }
  void* data() const { return block_.get(); }
  float* floats() const { return static_cast<float*>(block_.get()); }
  size_t bytes() const { return bytes_; }

 private:
  std::shared_ptr<void> block_;
  size_t bytes_ = 0;
};

}  // namespace weir

#endif  // WEIR_MEMORY_H_
