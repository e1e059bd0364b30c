// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_CORE_PAYLOAD_H_
#define WEIR_CORE_PAYLOAD_H_

#include <cstddef>
#include <memory>
#include <utility>

#include "absl/container/inlined_vector.h"
#include "core/buffer.h"

namespace weir {

// The bytes of one payload, wherever they lie: a list of borrowed chunks and what keeps each alive.
// Copies share the bytes. Chunks may start at any address and may cut through an element: large
// gRPC messages arrive as pieces of some 64 KiB.
class Payload {
 public:
  struct Chunk {
    const char* data;
    size_t size;
    std::shared_ptr<const void> owner;
  };

  Payload() = default;
  // The first `bytes` bytes of `buffer`, from `offset`. REQUIRES: they lie within it.
  explicit Payload(const Buffer& buffer) { Append(buffer.data(), buffer.size(), buffer.owner()); }
  Payload(const Buffer& buffer, size_t offset, size_t bytes) {
    Append(buffer.data() + offset, bytes, buffer.owner());
  }

  // Adds a chunk that `owner` keeps alive; empty chunks are left out.
  void Append(const char* data, size_t size, std::shared_ptr<const void> owner) {
    if (size == 0) return;
    size_ += size;
    chunks_.push_back(Chunk{data, size, std::move(owner)});
  }

  size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  const absl::InlinedVector<Chunk, 2>& chunks() const { return chunks_; }

  // How many bytes were copied in user space to make this payload, a byte once for each time, as
  // whoever made it has said: 0 for bytes that are where their writer put them, or where the
  // transport received them.
  size_t copied_bytes() const { return copied_bytes_; }
  void CountCopied(size_t bytes) { copied_bytes_ += bytes; }

  // Copies the bytes to `out`, which holds size() bytes.
  void CopyTo(char* out) const;

 private:
  absl::InlinedVector<Chunk, 2> chunks_;
  size_t size_ = 0;
  size_t copied_bytes_ = 0;
};

}  // namespace weir

#endif  // WEIR_CORE_PAYLOAD_H_
