// SPDX-License-Identifier: Apache-2.0
#include "worker/gradient_set.h"

#include <cmath>
#include <utility>

#include "core/tensor_sum.h"

namespace weir {

namespace {

// Of one tensor, up to where the next may begin.
size_t PaddedBytes(const TensorSpec& tensor) {
  constexpr size_t kAlignment = 64;
  const size_t bytes = static_cast<size_t>(ElementCount(tensor.shape)) * sizeof(float);
  return (bytes + kAlignment - 1) / kAlignment * kAlignment;
}

}  // namespace

size_t GradientSet::Bytes(const std::vector<TensorSpec>& tensors) {
  size_t bytes = 0;
  for (const TensorSpec& tensor : tensors) bytes += PaddedBytes(tensor);
  return bytes;
}

Result<std::unique_ptr<GradientSet>> GradientSet::Make(const std::vector<TensorSpec>& tensors,
                                                       Worker& worker) {
  Result<TensorMemory> memory = worker.Allocate(Bytes(tensors));
  if (!memory.ok()) return memory.status();
  return std::make_unique<GradientSet>(tensors, std::move(*memory));
}

GradientSet::GradientSet(const std::vector<TensorSpec>& tensors, TensorMemory memory)
    : memory_(std::move(memory)) {
  char* at = static_cast<char*>(memory_.data());
  for (const TensorSpec& tensor : tensors) {
    views_.push_back(MutableTensorView{at, ElementType::kFloat32, ElementCount(tensor.shape)});
    at += PaddedBytes(tensor);
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
