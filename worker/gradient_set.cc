// SPDX-License-Identifier: Apache-2.0
#include "worker/gradient_set.h"

#include <cmath>
#include <cstring>

#include "core/tensor_sum.h"

namespace weir {

GradientSet::GradientSet(const std::vector<TensorSpec>& tensors, BufferPool* pool) {
  for (const TensorSpec& tensor : tensors) {
    const int64_t count = ElementCount(tensor.shape);
    buffers_.push_back(pool->Allocate(static_cast<size_t>(count) * sizeof(float)));
    std::memset(buffers_.back().data(), 0, static_cast<size_t>(count) * sizeof(float));
    views_.push_back(MutableTensorView{buffers_.back().data(), ElementType::kFloat32, count});
  }
}

std::vector<TensorView> GradientSet::const_views() const {
  std::vector<TensorView> views;
  for (const MutableTensorView& view : views_)
    views.push_back(TensorView{view.data, view.type, view.count});
  return views;
}

void GradientSet::ClipMeanNorm(uint64_t examples, double clip_norm) {
  double sum = 0;
  for (const MutableTensorView& view : views_)
    sum += SumOfSquares(view.data, static_cast<size_t>(view.count));
  const double norm = std::sqrt(sum) / static_cast<double>(examples);
  if (!std::isfinite(norm) || norm <= clip_norm) return;
  const float scale = static_cast<float>(clip_norm / norm);
  for (const MutableTensorView& view : views_) {
    Scale(view.data, scale, static_cast<float*>(view.data), static_cast<size_t>(view.count));
  }
}

void GradientSet::AddRight(const GradientSet& right) {
  for (size_t i = 0; i < views_.size(); ++i) {
    float* out = static_cast<float*>(views_[i].data);
    Sum(out, right.views_[i].data, out, static_cast<size_t>(views_[i].count));
  }
}

}  // namespace weir
