// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_MODELS_MLP_H_
#define WEIR_MODELS_MLP_H_

#include <cstdint>
#include <vector>

#include "models/layer.h"
#include "models/matrix.h"
#include "weir/model.h"

namespace weir {

// The shape of a network.
struct MlpOptions {
  int64_t features = 0;
  std::vector<int64_t>
      hidden;  // widths of the hidden layers, first to last; empty: softmax regression
  int64_t classes = 0;
  Activation activation = Activation::kRelu;  // after each hidden layer
};

// A multilayer perceptron that classifies: dense layers, an activation after each but the last,
// softmax with cross-entropy at the end. Without hidden layers it is softmax regression.
//
// Tensors, first layer first: "dense0/weights" [inputs, outputs], "dense0/bias" [outputs],
// "dense1/weights", ... Weights start He normal before a ReLU and Xavier elsewhere, biases at 0.
// The weights themselves are the caller's.
//
// Owns the buffers of activations; they grow to the largest batch seen, then nothing is allocated.
// One thread at a time.
class Mlp {
 public:
  static constexpr int64_t kMaxHiddenLayers = 64;
  static constexpr int64_t kMaxWidth = 65536;         // of a hidden layer
  static constexpr int64_t kMaxParameters = 1 << 30;  // elements of all tensors

  // INVALID_ARGUMENT: fewer than 1 feature or 2 classes, a hidden width outside [1, kMaxWidth],
  // more than kMaxHiddenLayers of them, or more than kMaxParameters parameters.
  static Result<Mlp> Create(const MlpOptions& options);

  std::vector<TensorSpec> Tensors() const;

  // OK when the views fit Tensors(): their number, element counts, float32 on the CPU, aligned to
  // kMatrixAlignment. INVALID_ARGUMENT otherwise, naming the first tensor that does not.
  Status Check(const std::vector<TensorView>& weights) const;
  Status Check(const std::vector<MutableTensorView>& gradients) const;

  // Overwrites `gradients` with the gradient of the loss summed over the rows of `x` [rows,
  // features]. REQUIRES: Check() is ok for both; labels in [0, classes).
  BatchScore Gradient(ConstMatrix x, const int32_t* labels, const std::vector<TensorView>& weights,
                      const std::vector<MutableTensorView>& gradients);

  // The same without gradients.
  BatchScore Evaluate(ConstMatrix x, const int32_t* labels, const std::vector<TensorView>& weights);

 private:
  explicit Mlp(const MlpOptions& options);

  int64_t Layers() const { return static_cast<int64_t>(widths_.size()) - 1; }
  ConstMatrix Weights(const std::vector<TensorView>& weights, int64_t layer) const;
  // Fills outputs_; the last one holds the logits and is returned.
  Matrix Forward(ConstMatrix x, const std::vector<TensorView>& weights);
  template <typename View>
  Status CheckViews(const std::vector<View>& views, const char* what) const;

  std::vector<int64_t> widths_;  // features, hidden ..., classes
  Activation activation_;
  std::vector<AlignedFloats> outputs_;  // one a layer, after its activation
  AlignedFloats deltas_[2];             // dy of the layer at hand and of the one before it
};

}  // namespace weir

#endif  // WEIR_MODELS_MLP_H_
