// SPDX-License-Identifier: Apache-2.0
#include "bench/arrays.h"

#include <algorithm>
#include <cstdint>

#include "core/pages.h"

namespace weir::bench {
namespace {

constexpr size_t kBytes = Arrays::kElements * sizeof(float);

void Fill(uint32_t seed, float* out) {
  uint32_t bits = seed;
  for (size_t i = 0; i < Arrays::kElements; ++i) {
    bits = bits * 1664525u + 1013904223u;
    out[i] = static_cast<float>(static_cast<int32_t>(bits)) * 0x1p-31f;
  }
}

}  // namespace

absl::StatusOr<std::shared_ptr<Arrays>> Arrays::Make() {
  auto arrays = std::make_shared<Arrays>();
  for (int i = 0; i < kReads + kWrites; ++i) {
    absl::StatusOr<std::shared_ptr<void>> pages = MapPages(kBytes);
    if (!pages.ok()) return pages.status();
    std::shared_ptr<float> array(*pages, static_cast<float*>(pages->get()));
    if (i < kReads) {
      Fill(static_cast<uint32_t>(i) + 1, array.get());
      arrays->in_.push_back(array);
      arrays->in_pointers_[i] = array.get();
    } else {
      std::fill_n(array.get(), kElements, 0.0f);
      arrays->out_.push_back(array);
      arrays->out_pointers_[i - kReads] = array.get();
    }
  }
  // Optimizer state may not be negative: the squares that Adagrad and Adam sum up.
  for (const int state : {2, 3}) {
    float* const values = arrays->in_[state].get();
    std::for_each(values, values + kElements, [](float& x) { x = x < 0 ? -x : x; });
  }
  return arrays;
}

}  // namespace weir::bench
