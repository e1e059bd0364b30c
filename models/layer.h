// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_MODELS_LAYER_H_
#define WEIR_MODELS_LAYER_H_

#include <cstdint>

#include "models/matrix.h"

namespace weir {

// The layers of a classifier, forward and backward, each as a function of its arguments alone: no
// state, no allocation, sums in a fixed order. A batch is [rows, columns], one example a row. "d"
// before a name is the derivative of the loss, summed over the batch, by that value. Matrices are
// aligned to kMatrixAlignment and do not overlap unless said.

// y = x w + b for x [rows, inputs], w [inputs, outputs], b [outputs], y [rows, outputs].
void DenseForward(ConstMatrix x, ConstMatrix w, const float* b, Matrix y);

// dw = xᵀ dy and db = the sum of dy's rows; both are overwritten.
void DenseBackwardParameters(ConstMatrix x, ConstMatrix dy, Matrix dw, float* db);

// dx = dy wᵀ; overwritten.
void DenseBackwardInput(ConstMatrix dy, ConstMatrix w, Matrix dx);

// What follows a dense layer inside the network.
enum class Activation {
  kRelu,     // max(x, 0); its derivative at 0 is taken as 0
  kTanh,     // tanh x
  kSigmoid,  // 1 / (1 + e^-x)
};

// x becomes f(x), in place.
void ActivationForward(Activation activation, Matrix x);

// dy becomes dx, in place; `y` is what ActivationForward made (each derivative is a function of the
// output).
void ActivationBackward(Activation activation, ConstMatrix y, Matrix dy);

// How a batch did.
struct BatchScore {
  double loss_sum = 0;   // of -ln(probability of the labelled class)
  uint64_t correct = 0;  // rows whose largest logit (the first of equals) is the labelled class
};

// Softmax with cross-entropy. `logits` [rows, classes] becomes the derivative of the summed loss by
// the logits, that is softmax(row) minus 1 at the label, in place. labels[i] must lie in [0,
// classes).
BatchScore SoftmaxCrossEntropy(const int32_t* labels, Matrix logits);

}  // namespace weir

#endif  // WEIR_MODELS_LAYER_H_
