// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_PS_SLICE_STORE_H_
#define WEIR_PS_SLICE_STORE_H_

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "core/buffer.h"
#include "core/codec.h"
#include "core/layout.h"

namespace weir {

// The values of one version of a slice.
struct SliceValues {
  Buffer weights;  // f32
  Buffer
      encoded;  // the same in the tensor's pull codec, made once for all who ask; null: it is f32

  explicit operator bool() const { return static_cast<bool>(weights); }
};

// One slice of this shard: its version, its weights and the optimizer's state.
struct StoredSlice {
  SliceSpec spec;
  Codec pull_codec = Codec::kF32;
  uint64_t version = 0;         // updates committed in this epoch
  SliceValues values;           // of `version`; null until initialised
  SliceValues before;           // of version - 1; null before the first commit
  std::array<Buffer, 2> state;  // the optimizer's; those that it uses are set

  size_t bytes() const { return spec.count * sizeof(float); }
  bool is_encoded() const { return pull_codec != Codec::kF32; }
  // The codec of an answer that wants the values encoded, or not; and the bytes of it.
  Codec codec(bool encoded) const { return encoded ? pull_codec : Codec::kF32; }
  size_t bytes(bool encoded) const { return EncodedBytes(codec(encoded), spec.count); }
};

// The slices of one shard under one layout, in the layout's order: a slice is named by its
// position.
//
// Weights are immutable once stored: a commit swaps pointers, and whoever holds the old buffer goes
// on reading the old version, whole. Memory: the weights twice and the state once; with a pull
// codec other than f32 the encoded weights twice as well. Deterministic; no threads.
class SliceStore {
 public:
  SliceStore() = default;
  // REQUIRES: ValidateLayout(layout) is OK.
  SliceStore(Layout layout, uint32_t shard);

  size_t size() const { return slices_.size(); }
  const StoredSlice& operator[](size_t slice) const { return slices_[slice]; }
  const Layout& layout() const { return *layout_; }
  const TensorShape& tensor(uint32_t tensor_id) const { return layout_->tensors[tensor_id - 1]; }
  // Keeps the layout alive, for whoever outlives the store.
  std::shared_ptr<const Layout> shared_layout() const { return layout_; }
  uint64_t largest_slice_bytes() const { return largest_slice_bytes_; }

  // The id of the tensor that a frame means by `name`, or, when that is empty, by `id`.
  // INVALID_ARGUMENT, a sentence: there is none, or the two disagree.
  absl::StatusOr<uint32_t> FindTensor(const std::string& name, uint32_t id) const;

  // The slice [offset, offset + count) of the tensor, exactly. INVALID_ARGUMENT, a sentence: the
  // layout has no such slice, or another shard holds it. REQUIRES: the tensor exists.
  absl::StatusOr<uint32_t> FindSlice(uint32_t tensor_id, uint64_t offset, uint64_t count) const;

  // The slices of the tensor that lie within [begin, end): [first, last). REQUIRES: the tensor
  // exists.
  std::pair<uint32_t, uint32_t> Within(uint32_t tensor_id, uint64_t begin, uint64_t end) const;

  // The values of `version`: null unless it is the current one or the one before.
  SliceValues ValuesAt(size_t slice, uint64_t version) const;

  // The first version under this layout: 0, or that of the cut it begins with.
  void Initialise(size_t slice, uint64_t version, SliceValues values, std::array<Buffer, 2> state);
  // The next version: what was current is now `before`. `state` replaces the old one.
  void Commit(size_t slice, SliceValues values, std::array<Buffer, 2> state);

  // The slice with the least version, the first of several. REQUIRES: size() > 0.
  uint32_t Least() const;

 private:
  std::shared_ptr<const Layout> layout_ = std::make_shared<Layout>();
  uint32_t shard_ = 0;
  uint64_t largest_slice_bytes_ = 0;
  std::vector<StoredSlice> slices_;  // ordered by (tensor_id, offset)
  std::vector<uint32_t>
      first_of_;  // by tensor_id: the position of its first slice; one more at the end
  absl::flat_hash_map<std::string, uint32_t> id_of_;  // looked up only
};

}  // namespace weir

#endif  // WEIR_PS_SLICE_STORE_H_
