// SPDX-License-Identifier: Apache-2.0
#include "models/mlp.h"

#include <string>
#include <utility>

namespace weir {
namespace {

Status Invalid(std::string message) {
  return Status(StatusCode::kInvalidArgument, std::move(message));
}

int64_t ParameterCount(const MlpOptions& options) {
  int64_t count = 0;
  int64_t inputs = options.features;
  for (int64_t width : options.hidden) {
    count += (inputs + 1) * width;
    inputs = width;
  }
  return count + (inputs + 1) * options.classes;
}

}  // namespace

Result<Mlp> Mlp::Create(const MlpOptions& options) {
  if (options.features < 1 || options.features > kMaxParameters) {
    return Invalid("a model needs 1 or more features, not " + std::to_string(options.features));
  }
  if (options.classes < 2 || options.classes > kMaxParameters) {
    return Invalid("a classifier needs 2 or more classes, not " + std::to_string(options.classes));
  }
  if (static_cast<int64_t>(options.hidden.size()) > kMaxHiddenLayers) {
    return Invalid(std::to_string(options.hidden.size()) + " hidden layers are more than " +
                   std::to_string(kMaxHiddenLayers));
  }
  for (int64_t width : options.hidden) {
    if (width < 1 || width > kMaxWidth) {
      return Invalid("the width of a hidden layer must be 1 to " + std::to_string(kMaxWidth) +
                     ", not " + std::to_string(width));
    }
  }
  const int64_t parameters = ParameterCount(options);
  if (parameters > kMaxParameters) {
    return Invalid("the model would have " + std::to_string(parameters) +
                   " parameters, more than " + std::to_string(kMaxParameters));
  }
  return Mlp(options);
}

Mlp::Mlp(const MlpOptions& options) : activation_(options.activation) {
  widths_.push_back(options.features);
  widths_.insert(widths_.end(), options.hidden.begin(), options.hidden.end());
  widths_.push_back(options.classes);
  outputs_.resize(widths_.size() - 1);
}

std::vector<TensorSpec> Mlp::Tensors() const {
  std::vector<TensorSpec> tensors;
  for (int64_t layer = 0; layer < Layers(); ++layer) {
    const std::string prefix = "dense" + std::to_string(layer);
    const bool before_relu = layer + 1 < Layers() && activation_ == Activation::kRelu;
    Initializer weights;
    weights.kind = before_relu ? Initializer::Kind::kHeNormal : Initializer::Kind::kXavierUniform;
    tensors.push_back({prefix + "/weights", {widths_[layer], widths_[layer + 1]}, weights});
    tensors.push_back({prefix + "/bias", {widths_[layer + 1]}, Initializer()});
  }
  return tensors;
}

template <typename View>
Status Mlp::CheckViews(const std::vector<View>& views, const char* what) const {
  const size_t wanted = 2 * static_cast<size_t>(Layers());
  if (views.size() != wanted) {
    return Invalid(std::to_string(views.size()) + " views of " + what + ", but the model has " +
                   std::to_string(wanted) + " tensors");
  }
  for (size_t i = 0; i < views.size(); ++i) {
    const View& view = views[i];
    const size_t layer = i / 2;
    const int64_t count = i % 2 == 0 ? widths_[layer] * widths_[layer + 1] : widths_[layer + 1];
    const char* wrong = nullptr;
    if (view.data == nullptr)
      wrong = "has no memory";
    else if (view.device != Device::kCpu)
      wrong = "is not on the CPU";
    else if (view.type != ElementType::kFloat32)
      wrong = "is not float32";
    else if (view.count != count)
      wrong = "has the wrong number of elements";
    else if (reinterpret_cast<uintptr_t>(view.data) % kMatrixAlignment != 0)
      wrong = "is not aligned to 64 bytes";
    if (wrong != nullptr) {
      return Invalid(std::string(what) + " of dense" + std::to_string(layer) +
                     (i % 2 == 0 ? "/weights " : "/bias ") + wrong);
    }
  }
  return Status();
}

Status Mlp::Check(const std::vector<TensorView>& weights) const {
  return CheckViews(weights, "weights");
}

Status Mlp::Check(const std::vector<MutableTensorView>& gradients) const {
  return CheckViews(gradients, "gradients");
}

ConstMatrix Mlp::Weights(const std::vector<TensorView>& weights, int64_t layer) const {
  return {static_cast<const float*>(weights[2 * layer].data), widths_[layer], widths_[layer + 1]};
}

Matrix Mlp::Forward(ConstMatrix x, const std::vector<TensorView>& weights) {
  ConstMatrix input = x;
  Matrix output;
  for (int64_t layer = 0; layer < Layers(); ++layer) {
    const int64_t width = widths_[layer + 1];
    output = {outputs_[layer].Grow(static_cast<size_t>(x.rows * width)), x.rows, width};
    DenseForward(input, Weights(weights, layer),
                 static_cast<const float*>(weights[2 * layer + 1].data), output);
    if (layer + 1 < Layers()) ActivationForward(activation_, output);
    input = output;
  }
  return output;
}

BatchScore Mlp::Gradient(ConstMatrix x, const int32_t* labels,
                         const std::vector<TensorView>& weights,
                         const std::vector<MutableTensorView>& gradients) {
  Matrix dy = Forward(x, weights);
  const BatchScore score = SoftmaxCrossEntropy(labels, dy);
  for (int64_t layer = Layers() - 1; layer >= 0; --layer) {
    const int64_t inputs = widths_[layer];
    ConstMatrix input = x;
    if (layer > 0) input = {outputs_[layer - 1].Grow(0), x.rows, inputs};
    DenseBackwardParameters(
        input, dy, {static_cast<float*>(gradients[2 * layer].data), inputs, widths_[layer + 1]},
        static_cast<float*>(gradients[2 * layer + 1].data));
    if (layer == 0) break;
    Matrix dx{deltas_[layer % 2].Grow(static_cast<size_t>(x.rows * inputs)), x.rows, inputs};
    DenseBackwardInput(dy, Weights(weights, layer), dx);
    ActivationBackward(activation_, input, dx);
    dy = dx;
  }
  return score;
}

BatchScore Mlp::Evaluate(ConstMatrix x, const int32_t* labels,
                         const std::vector<TensorView>& weights) {
  return SoftmaxCrossEntropy(labels, Forward(x, weights));
}

}  // namespace weir
