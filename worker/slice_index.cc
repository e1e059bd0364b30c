// SPDX-License-Identifier: Apache-2.0
#include "worker/slice_index.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace weir {

SliceIndex::SliceIndex(const Layout& layout) : slices_(layout.slices), codecs_(layout.codecs) {
  size_t next = 0;
  for (size_t tensor = 0; tensor < layout.tensors.size(); ++tensor) {
    counts_.push_back(static_cast<uint64_t>(layout.tensors[tensor].count()));
    first_.push_back(next);
    while (next < slices_.size() && slices_[next].tensor_id == tensor + 1) ++next;
  }
  first_.push_back(next);
}

Result<SliceIndex::Range> SliceIndex::Find(uint32_t tensor, uint64_t offset, uint64_t count) const {
  if (tensor >= tensors()) {
    return Status(StatusCode::kNotFound,
                  absl::StrCat("tensor ", tensor, " is not declared: there are ", tensors()));
  }
  const uint64_t total = counts_[tensor];
  if (count == 0 && offset < total) count = total - offset;
  const size_t first = At(tensor + 1, offset);
  size_t last = first;
  uint64_t end = offset;
  const size_t limit = first_[tensor + 1];
  while (first != size() && last < limit && end - offset < count) end += slices_[last++].count;
  if (first == size() || end - offset != count) {
    return Status(StatusCode::kInvalidArgument,
                  absl::StrCat("[", offset, ", ", offset, " + ", count, ") of tensor ", tensor,
                               " is not made of whole slices; it has ", total, " elements"));
  }
  return Range{first, last};
}

size_t SliceIndex::At(uint32_t tensor_id, uint64_t offset) const {
  if (tensor_id == 0 || tensor_id > tensors()) return size();
  const auto begin = slices_.begin() + first_[tensor_id - 1];
  const auto end = slices_.begin() + first_[tensor_id];
  const auto at = std::lower_bound(begin, end, offset,
                                   [](const SliceSpec& s, uint64_t o) { return s.offset < o; });
  if (at == end || at->offset != offset) return size();
  return at - slices_.begin();
}

}  // namespace weir
