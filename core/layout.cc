// SPDX-License-Identifier: Apache-2.0
#include "core/layout.h"

#include <algorithm>
#include <numeric>
#include <set>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"

namespace weir {
namespace {

constexpr int64_t kMaxElements = int64_t{1} << 40;
constexpr uint64_t kSliceGranule =
    16;  // elements: slices start on 64-byte boundaries of their tensor
constexpr uint32_t kMaxShards = 65536;

absl::Status ValidateName(const std::string& name, size_t position) {
  if (name.empty())
    return absl::InvalidArgumentError(absl::StrCat("tensor ", position + 1, " has no name"));
  if (name.size() > kMaxNameBytes) {
    return absl::InvalidArgumentError(absl::StrCat("the name of tensor ", position + 1, " has ",
                                                   name.size(), " bytes, more than ",
                                                   kMaxNameBytes));
  }
  for (const char c : name) {
    if (c <= ' ' || c > '~') {
      return absl::InvalidArgumentError(
          absl::StrCat("the name of tensor ", position + 1,
                       " holds a character that is not printable ASCII, or a space"));
    }
  }
  return absl::OkStatus();
}

absl::Status ValidateShape(const TensorShape& tensor) {
  if (tensor.shape.size() > kMaxDimensions) {
    return absl::InvalidArgumentError(absl::StrCat("tensor '", tensor.name, "' has ",
                                                   tensor.shape.size(), " dimensions, more than ",
                                                   kMaxDimensions));
  }
  for (const int64_t dimension : tensor.shape) {
    if (dimension <= 0) {
      return absl::InvalidArgumentError(
          absl::StrCat("tensor '", tensor.name, "' has a dimension of ", dimension));
    }
  }
  if (tensor.count() < 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("tensor '", tensor.name, "' has more than 2^40 elements"));
  }
  return absl::OkStatus();
}

// The length of all slices but the last of a tensor of `count` elements.
uint64_t SliceLength(uint64_t count, uint64_t longest) {
  if (count <= longest) return count;
  longest = longest / kSliceGranule * kSliceGranule;
  const uint64_t slices = (count + longest - 1) / longest;
  const uint64_t equal = (count + slices - 1) / slices;
  return (equal + kSliceGranule - 1) / kSliceGranule * kSliceGranule;
}

// Gives each slice its shard.
void Place(uint32_t shards, std::vector<SliceSpec>* slices) {
  std::vector<size_t> order(slices->size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return (*slices)[a].count > (*slices)[b].count; });
  std::set<std::pair<uint64_t, uint32_t>> load;  // (elements, shard)
  for (uint32_t shard = 0; shard < shards; ++shard) load.emplace(0, shard);
  for (const size_t i : order) {
    const auto [elements, shard] = *load.begin();
    load.erase(load.begin());
    (*slices)[i].shard = shard;
    load.emplace(elements + (*slices)[i].count, shard);
  }
}

absl::Status ValidateShardCount(uint32_t shards) {
  if (shards >= 1 && shards <= kMaxShards) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("a layout has 1 to ", kMaxShards, " shards, not ", shards));
}

// Checks that the slices from `next` on cover tensor `id` and moves `next` behind them.
absl::Status ValidateCover(const Layout& layout, uint32_t id, uint32_t shards, size_t* next) {
  const TensorShape& tensor = layout.tensors[id - 1];
  const uint64_t count = static_cast<uint64_t>(tensor.count());
  uint64_t covered = 0;
  while (covered < count) {
    const bool here = *next < layout.slices.size() && layout.slices[*next].tensor_id == id;
    if (!here || layout.slices[*next].offset != covered) {
      return absl::InvalidArgumentError(
          absl::StrCat("no slice of tensor '", tensor.name, "' starts at element ", covered));
    }
    const SliceSpec& slice = layout.slices[(*next)++];
    if (slice.count == 0 || slice.count > count - covered) {
      return absl::InvalidArgumentError(absl::StrCat("the slice of tensor '", tensor.name,
                                                     "' at element ", covered, " has ", slice.count,
                                                     " elements of ", count - covered, " left"));
    }
    if (slice.shard >= shards) {
      return absl::InvalidArgumentError(absl::StrCat("the slice of tensor '", tensor.name,
                                                     "' at element ", covered, " is on shard ",
                                                     slice.shard, " of ", shards));
    }
    covered += slice.count;
  }
  return absl::OkStatus();
}

absl::Status ValidateCodecs(const Layout& layout) {
  if (layout.codecs.empty()) return absl::OkStatus();
  if (layout.codecs.size() != layout.tensors.size()) {
    return absl::InvalidArgumentError(absl::StrCat("a layout of ", layout.tensors.size(),
                                                   " tensors with the codecs of ",
                                                   layout.codecs.size()));
  }
  for (size_t i = 0; i < layout.codecs.size(); ++i) {
    const TensorCodec& codec = layout.codecs[i];
    for (const Codec each : {codec.push, codec.pull}) {
      if (each >= Codec::kF32 && each <= Codec::kInt8) continue;
      return absl::InvalidArgumentError(
          absl::StrCat("tensor '", layout.tensors[i].name,
                       "' has a codec that is not known here, number ", static_cast<int>(each)));
    }
    if (codec.error_feedback && codec.push != Codec::kInt8) {
      return absl::InvalidArgumentError(
          absl::StrCat("tensor '", layout.tensors[i].name,
                       "' has error feedback, which is of pushes in int8, and another push codec"));
    }
  }
  return absl::OkStatus();
}

absl::Status ValidateAddresses(const Layout& layout, uint32_t shards) {
  if (layout.shard_addresses.empty()) return absl::OkStatus();
  if (layout.shard_addresses.size() != shards) {
    return absl::InvalidArgumentError(absl::StrCat("a layout of ", shards, " shards with ",
                                                   layout.shard_addresses.size(), " addresses"));
  }
  for (size_t shard = 0; shard < shards; ++shard) {
    const ShardAddress& at = layout.shard_addresses[shard];
    if (at.address.size() > kMaxAddressBytes || at.uds_path.size() > kMaxUdsPathBytes ||
        at.host_key.size() > kMaxHostKeyBytes) {
      return absl::InvalidArgumentError(absl::StrCat(
          "shard ", shard, " has an address, a socket's path or a host key of more ", "than ",
          kMaxAddressBytes, ", ", kMaxUdsPathBytes, " and ", kMaxHostKeyBytes, " bytes"));
    }
  }
  return absl::OkStatus();
}

}  // namespace

int64_t TensorShape::count() const {
  int64_t product = 1;
  for (const int64_t dimension : shape) {
    if (dimension <= 0 || dimension > kMaxElements / product) return -1;
    product *= dimension;
  }
  return product;
}

absl::Status ValidateTensors(const std::vector<TensorShape>& tensors) {
  if (tensors.empty()) return absl::InvalidArgumentError("a model has at least one tensor");
  if (tensors.size() > kMaxTensors) {
    return absl::InvalidArgumentError(
        absl::StrCat("a model of ", tensors.size(), " tensors, more than ", kMaxTensors));
  }
  absl::flat_hash_set<std::string> names;
  for (size_t i = 0; i < tensors.size(); ++i) {
    if (absl::Status status = ValidateName(tensors[i].name, i); !status.ok()) return status;
    if (absl::Status status = ValidateShape(tensors[i]); !status.ok()) return status;
    if (!names.insert(tensors[i].name).second) {
      return absl::InvalidArgumentError(
          absl::StrCat("tensor '", tensors[i].name, "' is declared twice"));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<Layout> MakeLayout(const std::vector<TensorShape>& tensors, uint64_t slice_bytes,
                                  uint32_t shards, uint64_t epoch) {
  if (absl::Status status = ValidateTensors(tensors); !status.ok()) return status;
  if (absl::Status status = ValidateShardCount(shards); !status.ok()) return status;
  if (slice_bytes % sizeof(float) != 0 || slice_bytes < kSliceGranule * sizeof(float)) {
    return absl::InvalidArgumentError(absl::StrCat("slice_bytes is a multiple of 4 and at least ",
                                                   kSliceGranule * sizeof(float), ", not ",
                                                   slice_bytes));
  }
  Layout layout;
  layout.epoch = epoch;
  layout.tensors = tensors;
  for (size_t i = 0; i < tensors.size(); ++i) {
    const uint64_t count = static_cast<uint64_t>(tensors[i].count());
    const uint64_t length = SliceLength(count, slice_bytes / sizeof(float));
    if ((count + length - 1) / length > kMaxSlices - layout.slices.size()) {
      return absl::InvalidArgumentError(
          absl::StrCat("slices of ", slice_bytes, " bytes cut the model into more than ",
                       kMaxSlices, ", the most there may be: use a larger slice_bytes"));
    }
    for (uint64_t offset = 0; offset < count; offset += length) {
      layout.slices.push_back(
          {static_cast<uint32_t>(i + 1), offset, std::min(length, count - offset), 0});
    }
  }
  Place(shards, &layout.slices);
  return layout;
}

absl::Status ValidateLayout(const Layout& layout, uint32_t shards) {
  if (absl::Status status = ValidateTensors(layout.tensors); !status.ok()) return status;
  if (absl::Status status = ValidateShardCount(shards); !status.ok()) return status;
  if (layout.slices.size() > kMaxSlices) {
    return absl::InvalidArgumentError(
        absl::StrCat("a layout of ", layout.slices.size(), " slices, more than ", kMaxSlices));
  }
  if (absl::Status status = ValidateAddresses(layout, shards); !status.ok()) return status;
  if (absl::Status status = ValidateCodecs(layout); !status.ok()) return status;
  size_t next = 0;
  for (uint32_t id = 1; id <= layout.tensors.size(); ++id) {
    if (absl::Status status = ValidateCover(layout, id, shards, &next); !status.ok()) return status;
  }
  if (next != layout.slices.size()) {
    return absl::InvalidArgumentError(absl::StrCat("slice ", next + 1, " of the layout, of tensor ",
                                                   layout.slices[next].tensor_id,
                                                   ", is out of order or of no tensor"));
  }
  return absl::OkStatus();
}

}  // namespace weir
