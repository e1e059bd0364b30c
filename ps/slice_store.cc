// SPDX-License-Identifier: Apache-2.0
#include "ps/slice_store.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace weir {
namespace {

bool StartsBefore(const StoredSlice& slice, uint64_t offset) { return slice.spec.offset < offset; }

// Names are data from outside when they come with a frame: cut for the sentence.
std::string Quoted(const std::string& name) {
  return name.size() <= kMaxNameBytes
             ? absl::StrCat("'", name, "'")
             : absl::StrCat("'", name.substr(0, 32), "...' (", name.size(), " bytes)");
}

}  // namespace

SliceStore::SliceStore(Layout layout, uint32_t shard)
    : layout_(std::make_shared<const Layout>(std::move(layout))), shard_(shard) {
  first_of_.assign(layout_->tensors.size() + 2, 0);
  for (const SliceSpec& spec : layout_->slices) {
    if (spec.shard != shard) continue;
    StoredSlice slice;
    slice.spec = spec;
    slice.pull_codec = layout_->codec(spec.tensor_id).pull;
    largest_slice_bytes_ = std::max<uint64_t>(largest_slice_bytes_, slice.bytes());
    slices_.push_back(std::move(slice));
    ++first_of_[spec.tensor_id + 1];
  }
  for (size_t id = 1; id < first_of_.size(); ++id) first_of_[id] += first_of_[id - 1];
  for (size_t i = 0; i < layout_->tensors.size(); ++i)
    id_of_[layout_->tensors[i].name] = static_cast<uint32_t>(i + 1);
}

absl::StatusOr<uint32_t> SliceStore::FindTensor(const std::string& name, uint32_t id) const {
  if (name.empty()) {
    if (id >= 1 && id <= layout_->tensors.size()) return id;
    return absl::InvalidArgumentError(
        absl::StrCat("no tensor has the id ", id, "; the layout of epoch ", layout_->epoch, " has ",
                     layout_->tensors.size(), " tensors, from 1"));
  }
  const auto it = id_of_.find(name);
  if (it == id_of_.end()) {
    return absl::InvalidArgumentError(absl::StrCat("no tensor is named ", Quoted(name),
                                                   " in the layout of epoch ", layout_->epoch));
  }
  if (id != 0 && id != it->second) {
    return absl::InvalidArgumentError(
        absl::StrCat("tensor ", Quoted(name), " has the id ", it->second, ", not ", id));
  }
  return it->second;
}

absl::StatusOr<uint32_t> SliceStore::FindSlice(uint32_t tensor_id, uint64_t offset,
                                               uint64_t count) const {
  const auto first = slices_.begin() + first_of_[tensor_id];
  const auto last = slices_.begin() + first_of_[tensor_id + 1];
  const auto it = std::lower_bound(first, last, offset, StartsBefore);
  if (it != last && it->spec.offset == offset && it->spec.count == count)
    return static_cast<uint32_t>(it - slices_.begin());
  const std::string what = absl::StrCat("slice of tensor '", layout_->tensors[tensor_id - 1].name,
                                        "' at offset ", offset, " with ", count, " elements");
  const auto elsewhere = std::lower_bound(
      layout_->slices.begin(), layout_->slices.end(), std::make_pair(tensor_id, offset),
      [](const SliceSpec& spec, const std::pair<uint32_t, uint64_t>& place) {
        return std::make_pair(spec.tensor_id, spec.offset) < place;
      });
  if (elsewhere != layout_->slices.end() &&
      *elsewhere == SliceSpec{tensor_id, offset, count, elsewhere->shard}) {
    return absl::InvalidArgumentError(
        absl::StrCat("the ", what, " is on shard ", elsewhere->shard, ", not on ", shard_));
  }
  return absl::InvalidArgumentError(
      absl::StrCat("the layout of epoch ", layout_->epoch, " has no ", what));
}

std::pair<uint32_t, uint32_t> SliceStore::Within(uint32_t tensor_id, uint64_t begin,
                                                 uint64_t end) const {
  const auto first = slices_.begin() + first_of_[tensor_id];
  auto last = slices_.begin() + first_of_[tensor_id + 1];
  const auto from = std::lower_bound(first, last, begin, StartsBefore);
  auto to = std::lower_bound(from, last, end, StartsBefore);
  if (to != from && end - std::prev(to)->spec.offset < std::prev(to)->spec.count)
    --to;  // the last reaches beyond
  return {static_cast<uint32_t>(from - slices_.begin()),
          static_cast<uint32_t>(to - slices_.begin())};
}

SliceValues SliceStore::ValuesAt(size_t slice, uint64_t version) const {
  const StoredSlice& stored = slices_[slice];
  if (version == stored.version) return stored.values;
  if (version < stored.version && version + 1 == stored.version) return stored.before;
  return SliceValues();
}

void SliceStore::Initialise(size_t slice, uint64_t version, SliceValues values,
                            std::array<Buffer, 2> state) {
  slices_[slice].version = version;
  slices_[slice].values = std::move(values);
  slices_[slice].state = std::move(state);
}

void SliceStore::Commit(size_t slice, SliceValues values, std::array<Buffer, 2> state) {
  StoredSlice& stored = slices_[slice];
  stored.before = std::move(stored.values);
  stored.values = std::move(values);
  stored.state = std::move(state);
  ++stored.version;
}

uint32_t SliceStore::Least() const {
  const auto it = std::min_element(
      slices_.begin(), slices_.end(),
      [](const StoredSlice& a, const StoredSlice& b) { return a.version < b.version; });
  return static_cast<uint32_t>(it - slices_.begin());
}

}  // namespace weir
