// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_CORE_LAYOUT_H_
#define WEIR_CORE_LAYOUT_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/codec.h"

namespace weir {

// How a tensor is filled at step 0; weir/tensor.h of the worker API and proto/weir/v1/types.proto
// say the same.
struct InitializerSpec {
  enum class Kind { kZeros = 0, kConstant, kUniform, kNormal, kXavierUniform, kHeNormal };
  Kind kind = Kind::kZeros;
  double a = 0;
  double b = 0;
  bool operator==(const InitializerSpec& o) const { return kind == o.kind && a == o.a && b == o.b; }
};

// A declared tensor: f32, row-major, 1 to 2^40 elements.
struct TensorShape {
  std::string name;
  std::vector<int64_t> shape;
  InitializerSpec initializer;

  // The product of the dimensions; -1 when one is not positive or the product exceeds 2^40.
  int64_t count() const;
};

// A contiguous range of one tensor: the unit of placement, version and transfer.
struct SliceSpec {
  uint32_t tensor_id = 0;  // 1-based position in Layout::tensors
  uint64_t offset = 0;     // elements
  uint64_t count = 0;      // elements
  uint32_t shard = 0;

  bool operator==(const SliceSpec& o) const {
    return tensor_id == o.tensor_id && offset == o.offset && count == o.count && shard == o.shard;
  }
};

// The codecs of one tensor, by direction; none of them kUnspecified.
struct TensorCodec {
  Codec push = Codec::kF32;
  Codec pull = Codec::kF32;
  bool error_feedback = false;  // with push kInt8 alone

  bool operator==(const TensorCodec& o) const {
    return push == o.push && pull == o.pull && error_feedback == o.error_feedback;
  }
};

// Where one shard answers.
struct ShardAddress {
  std::string address;   // host:port
  std::string uds_path;  // of its Unix socket; empty: none
  std::string host_key;  // names machine, user and file system view; empty: not told

  bool operator==(const ShardAddress& o) const {
    return address == o.address && uds_path == o.uds_path && host_key == o.host_key;
  }
};

// The immutable map from slices to shards of one epoch.
struct Layout {
  uint64_t epoch = 0;
  std::vector<TensorShape> tensors;
  std::vector<SliceSpec> slices;              // in the order of (tensor_id, offset)
  std::vector<ShardAddress> shard_addresses;  // by shard; may be empty where no address is needed
  std::vector<TensorCodec> codecs;            // by tensor; empty: F32 for all

  // REQUIRES: 1 <= tensor_id <= tensors.size().
  TensorCodec codec(uint32_t tensor_id) const {
    return codecs.empty() ? TensorCodec() : codecs[tensor_id - 1];
  }
};

constexpr size_t kMaxTensors = 65536;
constexpr size_t kMaxSlices = 131072;
constexpr size_t kMaxNameBytes = 255;
constexpr size_t kMaxDimensions = 16;
constexpr size_t kMaxAddressBytes = 1024;
constexpr size_t kMaxUdsPathBytes = 107;  // what a socket's address holds
constexpr size_t kMaxHostKeyBytes = 255;

// Checks a declaration: at least one tensor, names unique, non-empty, printable ASCII without
// spaces and within kMaxNameBytes, dimensions positive and within kMaxDimensions. INVALID_ARGUMENT
// names the tensor and what is wrong.
absl::Status ValidateTensors(const std::vector<TensorShape>& tensors);

// Cuts `tensors` into slices of at most `slice_bytes` (a multiple of 4) and places them by size:
// the largest first, each on the shard with the fewest bytes so far, ties to the lowest id. A
// tensor is cut into equal slices whose lengths are multiples of 16 elements but for the last.
// Pure: the same arguments give the same layout in every process.
absl::StatusOr<Layout> MakeLayout(const std::vector<TensorShape>& tensors, uint64_t slice_bytes,
                                  uint32_t shards, uint64_t epoch);

// Checks a layout that came from outside: slices in order, without gap or overlap, of known tensors
// and shards; codecs that this build knows, none or one a tensor, error feedback with pushes in
// int8 alone; addresses within their limits. INVALID_ARGUMENT names what is wrong.
absl::Status ValidateLayout(const Layout& layout, uint32_t shards);

}  // namespace weir

#endif  // WEIR_CORE_LAYOUT_H_
