// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_WORKER_SLICE_INDEX_H_
#define WEIR_WORKER_SLICE_INDEX_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/codec.h"
#include "core/layout.h"
#include "weir/status.h"

namespace weir {

// Where the slices of each tensor stand in a layout's list. Slices are named by their position in
// that list, which is the order of (tensor, offset): the order in which they are sent. Tensors are
// named as in the worker API: from 0.
//
// Immutable; deterministic.
class SliceIndex {
 public:
  // Slices [first, last) of the list.
  struct Range {
    size_t first = 0;
    size_t last = 0;
    size_t size() const { return last - first; }
  };

  SliceIndex() = default;
  // REQUIRES: ValidateLayout(layout) is OK.
  explicit SliceIndex(const Layout& layout);

  size_t size() const { return slices_.size(); }
  size_t tensors() const { return counts_.size(); }
  const SliceSpec& slice(size_t index) const { return slices_[index]; }
  // Of the slice as f32; of its gradient and of its values as they travel.
  uint64_t bytes(size_t index) const { return slices_[index].count * sizeof(float); }
  uint64_t push_bytes(size_t index) const {
    return EncodedBytes(codec(index).push, slices_[index].count);
  }
  uint64_t values_bytes(size_t index) const {
    return EncodedBytes(codec(index).pull, slices_[index].count);
  }
  TensorCodec codec(size_t index) const {
    return codecs_.empty() ? TensorCodec() : codecs_[tensor(index)];
  }
  uint32_t tensor(size_t index) const { return slices_[index].tensor_id - 1; }
  const std::vector<uint64_t>& counts() const { return counts_; }
  // Elements of a tensor. REQUIRES: tensor < tensors().
  uint64_t count(uint32_t tensor) const { return counts_[tensor]; }

  // The slices that make up [offset, offset + count) of `tensor`; count 0: to its end. kNotFound:
  // no such tensor; kInvalidArgument: the range is not made of whole slices.
  Result<Range> Find(uint32_t tensor, uint64_t offset, uint64_t count) const;

  // The slice that starts at `offset` of the wire's tensor_id; size() if there is none.
  size_t At(uint32_t tensor_id, uint64_t offset) const;

 private:
  std::vector<SliceSpec> slices_;
  std::vector<TensorCodec> codecs_;  // by tensor; empty: f32
  std::vector<uint64_t> counts_;     // by tensor
  std::vector<size_t> first_;        // by tensor, and one more
};

}  // namespace weir

#endif  // WEIR_WORKER_SLICE_INDEX_H_
