// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_TESTS_MODELS_TENSORS_IN_MEMORY_H_
#define WEIR_TESTS_MODELS_TENSORS_IN_MEMORY_H_

#include <algorithm>
#include <cmath>
#include <vector>

#include "models/matrix.h"
#include "models/random.h"
#include "weir/tensor.h"

namespace weir {

// Aligned memory for the tensors of a model, with views of both kinds: what the training loop would
// own.
class TensorsInMemory {
 public:
  explicit TensorsInMemory(const std::vector<TensorSpec>& specs) : memory_(specs.size()) {
    for (size_t i = 0; i < specs.size(); ++i) {
      const int64_t count = ElementCount(specs[i].shape);
      float* data = memory_[i].Grow(static_cast<size_t>(count));
      std::fill_n(data, count, 0.0f);
      TensorView view;
      view.data = data;
      view.count = count;
      views.push_back(view);
      MutableTensorView mutable_view;
      mutable_view.data = data;
      mutable_view.count = count;
      mutable_views.push_back(mutable_view);
    }
  }

  // Fills each tensor as its initializer says, from `seed` (not with the servers' bits, but their
  // distribution).
  void Initialize(const std::vector<TensorSpec>& specs, uint64_t seed) {
    for (size_t i = 0; i < specs.size(); ++i) {
      if (specs[i].initializer.kind == Initializer::Kind::kZeros) continue;
      const bool he = specs[i].initializer.kind == Initializer::Kind::kHeNormal;
      const double fan_in = static_cast<double>(specs[i].shape[0]);
      const double fan_out = static_cast<double>(specs[i].shape[1]);
      SeededRandom random(seed, i);
      for (int64_t j = 0; j < views[i].count; ++j) {
        data(i)[j] =
            he ? static_cast<float>(std::sqrt(2 / fan_in)) * random.Normal()
               : static_cast<float>(std::sqrt(6 / (fan_in + fan_out))) * (2 * random.Uniform() - 1);
      }
    }
  }

  float* data(size_t tensor) { return static_cast<float*>(mutable_views[tensor].data); }
  size_t size() const { return views.size(); }

  std::vector<TensorView> views;
  std::vector<MutableTensorView> mutable_views;

 private:
  std::vector<AlignedFloats> memory_;
};

}  // namespace weir

#endif  // WEIR_TESTS_MODELS_TENSORS_IN_MEMORY_H_
