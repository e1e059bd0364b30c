// SPDX-License-Identifier: Apache-2.0
#include "tools/load_memory.h"

#include <unistd.h>

#include <algorithm>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "tools/load_pattern.h"

namespace weir {
namespace {

constexpr size_t kAlignFloats = 16;  // 64 bytes

}  // namespace

uint64_t LastCacheBytes() {
  for (int level : {_SC_LEVEL4_CACHE_SIZE, _SC_LEVEL3_CACHE_SIZE, _SC_LEVEL2_CACHE_SIZE}) {
    const long bytes = sysconf(level);
    if (bytes > 0) return static_cast<uint64_t>(bytes);
  }
  return 0;
}

size_t GradientSets(uint64_t model_bytes, uint64_t cache_bytes, uint64_t most_bytes) {
  const uint64_t sets = std::max<uint64_t>(2, cache_bytes / model_bytes + 1);
  return sets <= most_bytes / model_bytes ? static_cast<size_t>(sets) : 2;
}

LoadMemory::LoadMemory(const std::vector<TensorSpec>& tensors) {
  for (const TensorSpec& tensor : tensors) {
    offsets_.push_back(floats_);
    counts_.push_back(static_cast<uint64_t>(ElementCount(tensor.shape)));
    floats_ += (counts_.back() + kAlignFloats - 1) / kAlignFloats * kAlignFloats;
  }
}

absl::StatusOr<std::unique_ptr<LoadMemory>> LoadMemory::Make(Worker& worker,
                                                             const std::vector<TensorSpec>& tensors,
                                                             size_t gradient_sets,
                                                             size_t weight_sets) {
  auto memory = std::unique_ptr<LoadMemory>(new LoadMemory(tensors));
  for (size_t set = 0; set < gradient_sets; ++set) {
    Result<TensorMemory> gradients = worker.Allocate(memory->floats_ * sizeof(float));
    if (!gradients.ok()) {
      return absl::ResourceExhaustedError(
          absl::StrCat("load worker: memory for gradients: ", gradients.status().ToString()));
    }
    for (size_t t = 0; t < tensors.size(); ++t)
      FillGradient(0, memory->counts_[t], gradients->floats() + memory->offsets_[t]);
    memory->gradients_.push_back(*std::move(gradients));
  }
  memory->weights_.assign(weight_sets, std::vector<float>(memory->floats_));
  return memory;
}

TensorView LoadMemory::gradient(size_t set, size_t tensor) const {
  TensorView view;
  view.data = gradients_[set % gradients_.size()].floats() + offsets_[tensor];
  view.count = static_cast<int64_t>(counts_[tensor]);
  return view;
}

MutableTensorView LoadMemory::weights_view(size_t set, size_t tensor) {
  MutableTensorView view;
  view.data = weights(set, tensor);
  view.count = static_cast<int64_t>(counts_[tensor]);
  return view;
}

}  // namespace weir
