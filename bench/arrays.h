// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_BENCH_ARRAYS_H_
#define WEIR_BENCH_ARRAYS_H_

#include <cstddef>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"

namespace weir::bench {

// The memory that the large benchmarks share: arrays of one model's size each, in huge pages where
// the system has them, so that kernels and limits pay the same for translation. Lives as long as
// whatever runs on it.
class Arrays {
 public:
  static constexpr size_t kElements = 25'557'032;            // ResNet-50: 102 MB
  static constexpr size_t kSliceElements = size_t{1} << 18;  // 1 MiB, as the shard cuts them
  static constexpr int kReads = 4;                           // at most: Adam
  static constexpr int kWrites = 4;                          // at most: decoding int8

  // RESOURCE_EXHAUSTED: there is no memory for them.
  static absl::StatusOr<std::shared_ptr<Arrays>> Make();

  // Small floats of either sign.
  const float* in(int i) const { return in_[i].get(); }
  float* out(int i) const { return out_[i].get(); }
  const float* const* ins() const { return in_pointers_; }
  float* const* outs() const { return out_pointers_; }

 private:
  std::vector<std::shared_ptr<float>> in_;
  std::vector<std::shared_ptr<float>> out_;
  const float* in_pointers_[kReads] = {};
  float* out_pointers_[kWrites] = {};
};

}  // namespace weir::bench

#endif  // WEIR_BENCH_ARRAYS_H_
