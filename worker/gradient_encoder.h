// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_WORKER_GRADIENT_ENCODER_H_
#define WEIR_WORKER_GRADIENT_ENCODER_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "core/buffer.h"
#include "core/layout.h"
#include "core/payload.h"
#include "worker/sequences.h"

namespace weir {

// Encodes the slices of gradients for their pushes, into blocks of a pool.
//
// With error feedback it keeps, for each tensor, what the encoding of its pushes has lost so far,
// and adds that to the next gradient; so nothing is lost for long. A push changes it once: its
// encoded slices are kept while its sequence is open, and a push sent again is the same bytes. What
// is kept of a push that ends stale or invalid is gone with the push, like its gradient.
//
// Memory: with error feedback one float an element of the tensors pushed, and the encoded slices of
// the open sequences. Deterministic; not thread-safe.
class GradientEncoder {
 public:
  // `pool` outlives it.
  explicit GradientEncoder(BufferPool* pool) : pool_(pool) {}

  // For a model of so many elements by tensor. What was kept is dropped: it is of weights that are
  // gone.
  void Reset(std::vector<uint64_t> counts);

  // The elements of `slice` of its tensor's `gradient`, in `codec.push`, for the push `sequence`.
  // `gradient` is the tensor's first element. REQUIRES: codec.push is not f32.
  Payload Encode(uint64_t sequence, const SliceSpec& slice, const TensorCodec& codec,
                 const float* gradient);

  // What encodes the slice when it is called, to the bytes that Encode gives, from any thread while
  // the pool lives; it holds `owner`, which keeps the gradient. REQUIRES: CanWait(codec).
  std::function<Payload()> Later(const SliceSpec& slice, const TensorCodec& codec,
                                 const float* gradient, std::shared_ptr<const void> owner) const;
  // Without error feedback the encoding depends on the gradient alone.
  static bool CanWait(const TensorCodec& codec) { return !codec.error_feedback; }

  // Drops the encoded slices of the sequences that are not open any more.
  void DropClosed(const Sequences& sequences);

  // Elements whose losses are kept; for tests.
  size_t kept_elements() const;

 private:
  using SliceKey = std::pair<uint32_t, uint64_t>;  // (tensor id, offset)

  BufferPool* const pool_;
  std::vector<uint64_t> counts_;              // by tensor
  std::vector<std::vector<float>> residual_;  // by tensor; empty until it is pushed with feedback
  std::map<uint64_t, std::map<SliceKey, Payload>> sent_;  // by sequence; with error feedback only
};

}  // namespace weir

#endif  // WEIR_WORKER_GRADIENT_ENCODER_H_
