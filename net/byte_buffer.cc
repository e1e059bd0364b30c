// SPDX-License-Identifier: Apache-2.0
#include "net/byte_buffer.h"

#include <grpcpp/support/slice.h>

#include <memory>
#include <vector>

namespace weir {
namespace {

// Below this a copy costs less than a counted reference.
constexpr size_t kCopyBelowBytes = 512;

using Owner = std::shared_ptr<const void>;

grpc::Slice ToSlice(const Payload::Chunk& chunk) {
  if (chunk.size < kCopyBelowBytes) return grpc::Slice(chunk.data, chunk.size);
  auto owner = std::make_unique<Owner>(chunk.owner);
  const auto release = [](void* held) { delete static_cast<Owner*>(held); };
  return grpc::Slice(const_cast<char*>(chunk.data), chunk.size, release, owner.release());
}

}  // namespace

grpc::ByteBuffer ToByteBuffer(const Payload& payload) {
  std::vector<grpc::Slice> slices;
  slices.reserve(payload.chunks().size());
  for (const Payload::Chunk& chunk : payload.chunks()) slices.push_back(ToSlice(chunk));
  return grpc::ByteBuffer(slices.data(), slices.size());
}

size_t CopiedPayloadBytes(const Payload& wire) {
  size_t copied = 0;
  for (size_t i = 1; i < wire.chunks().size(); ++i) {  // the first one is the header
    const size_t size = wire.chunks()[i].size;
    if (size < kCopyBelowBytes) copied += size;
  }
  return copied;
}

Payload FromByteBuffer(const grpc::ByteBuffer& buffer) {
  auto slices = std::make_shared<std::vector<grpc::Slice>>();
  Payload payload;
  if (!buffer.Dump(slices.get()).ok()) return payload;
  // A small slice holds its bytes within itself: the vector must not change from here on.
  for (const grpc::Slice& slice : *slices) {
    payload.Append(reinterpret_cast<const char*>(slice.begin()), slice.size(), slices);
  }
  return payload;
}

}  // namespace weir
