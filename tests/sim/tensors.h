// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_TESTS_SIM_TENSORS_H_
#define WEIR_TESTS_SIM_TENSORS_H_

#include <cstdint>
#include <vector>

#include "core/layout.h"
#include "weir/calls.h"

namespace weir::sim {

// Memory for all tensors of a layout: weights or gradients of a simulated trainer.
class Tensors {
 public:
  explicit Tensors(const Layout& layout) {
    for (const TensorShape& tensor : layout.tensors) values_.emplace_back(tensor.count());
  }

  size_t size() const { return values_.size(); }
  std::vector<float>& operator[](size_t tensor) { return values_[tensor]; }
  TensorView View(size_t tensor) const {
    return {values_[tensor].data(), ElementType::kFloat32,
            static_cast<int64_t>(values_[tensor].size())};
  }
  MutableTensorView Into(size_t tensor) {
    return {values_[tensor].data(), ElementType::kFloat32,
            static_cast<int64_t>(values_[tensor].size())};
  }
  // A pull of all of them.
  std::vector<TensorPull> Pulls() {
    std::vector<TensorPull> pulls(values_.size());
    for (size_t i = 0; i < values_.size(); ++i) {
      pulls[i].tensor = static_cast<uint32_t>(i);
      pulls[i].into = Into(i);
    }
    return pulls;
  }

 private:
  std::vector<std::vector<float>> values_;
};

}  // namespace weir::sim

#endif  // WEIR_TESTS_SIM_TENSORS_H_
