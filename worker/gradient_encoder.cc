// SPDX-License-Identifier: Apache-2.0
#include "worker/gradient_encoder.h"

#include <iterator>
#include <utility>

#include "core/codec.h"

namespace weir {
namespace {

// A slice that is not finite is sent as such, for the shard to refuse it by name.
Payload Encoded(BufferPool* pool, Codec codec, const float* gradient, uint64_t count) {
  const size_t bytes = EncodedBytes(codec, count);
  const Buffer block = pool->Allocate(bytes);
  Encode(codec, gradient, count, block.data());
  return Payload(block, 0, bytes);
}

}  // namespace

void GradientEncoder::Reset(std::vector<uint64_t> counts) {
  counts_ = std::move(counts);
  residual_.assign(counts_.size(), {});
  sent_.clear();
}

Payload GradientEncoder::Encode(uint64_t sequence, const SliceSpec& slice, const TensorCodec& codec,
                                const float* gradient) {
  Payload* kept = nullptr;
  if (codec.error_feedback) {
    kept = &sent_[sequence][{slice.tensor_id, slice.offset}];
    if (!kept->empty()) return *kept;
  }
  if (kept == nullptr) return Encoded(pool_, codec.push, gradient + slice.offset, slice.count);
  const size_t bytes = EncodedBytes(codec.push, slice.count);
  const Buffer block = pool_->Allocate(bytes);
  const Payload encoded(block, 0, bytes);
  std::vector<float>& residual = residual_[slice.tensor_id - 1];
  if (residual.empty()) residual.assign(counts_[slice.tensor_id - 1], 0.0f);
  EncodeInt8WithFeedback(gradient + slice.offset, residual.data() + slice.offset, slice.count,
                         block.data());
  *kept = encoded;
  return encoded;
}

std::function<Payload()> GradientEncoder::Later(const SliceSpec& slice, const TensorCodec& codec,
                                                const float* gradient,
                                                std::shared_ptr<const void> owner) const {
  return [pool = pool_, codec = codec.push, from = gradient + slice.offset, count = slice.count,
          owner = std::move(owner)] { return Encoded(pool, codec, from, count); };
}

void GradientEncoder::DropClosed(const Sequences& sequences) {
  for (auto at = sent_.begin(); at != sent_.end();) {
    at = sequences.IsOpen(at->first) ? std::next(at) : sent_.erase(at);
  }
}

size_t GradientEncoder::kept_elements() const {
  size_t elements = 0;
  for (const std::vector<float>& residual : residual_) elements += residual.size();
  return elements;
}

}  // namespace weir
