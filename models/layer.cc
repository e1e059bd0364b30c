// SPDX-License-Identifier: Apache-2.0
#include "models/layer.h"

#include <algorithm>

#include "models/elementary.h"

namespace weir {

void DenseForward(ConstMatrix x, ConstMatrix w, const float* b, Matrix y) {
  Multiply(x, w, y);
  for (int64_t row = 0; row < y.rows; ++row) {
    float* out = y.Row(row);
    for (int64_t column = 0; column < y.columns; ++column) out[column] += b[column];
  }
}

void DenseBackwardParameters(ConstMatrix x, ConstMatrix dy, Matrix dw, float* db) {
  MultiplyLeftTransposed(x, dy, dw);
  std::fill_n(db, dy.columns, 0.0f);
  for (int64_t row = 0; row < dy.rows; ++row) {
    const float* in = dy.Row(row);
    for (int64_t column = 0; column < dy.columns; ++column) db[column] += in[column];
  }
}

void DenseBackwardInput(ConstMatrix dy, ConstMatrix w, Matrix dx) {
  MultiplyRightTransposed(dy, w, dx);
}

void ActivationForward(Activation activation, Matrix x) {
  const int64_t count = x.rows * x.columns;
  switch (activation) {
    case Activation::kRelu:
      for (int64_t i = 0; i < count; ++i) x.data[i] = x.data[i] < 0.0f ? 0.0f : x.data[i];
      return;
    case Activation::kTanh:
      for (int64_t i = 0; i < count; ++i) x.data[i] = Tanh(x.data[i]);
      return;
    case Activation::kSigmoid:
      for (int64_t i = 0; i < count; ++i) x.data[i] = Sigmoid(x.data[i]);
      return;
  }
}

void ActivationBackward(Activation activation, ConstMatrix y, Matrix dy) {
  const int64_t count = y.rows * y.columns;
  switch (activation) {
    case Activation::kRelu:
      for (int64_t i = 0; i < count; ++i) dy.data[i] = y.data[i] > 0.0f ? dy.data[i] : 0.0f;
      return;
    case Activation::kTanh:
      for (int64_t i = 0; i < count; ++i) dy.data[i] *= 1.0f - y.data[i] * y.data[i];
      return;
    case Activation::kSigmoid:
      for (int64_t i = 0; i < count; ++i) dy.data[i] *= y.data[i] * (1.0f - y.data[i]);
      return;
  }
}

BatchScore SoftmaxCrossEntropy(const int32_t* labels, Matrix logits) {
  BatchScore score;
  for (int64_t row = 0; row < logits.rows; ++row) {
    float* z = logits.Row(row);
    const int32_t label = labels[row];
    int64_t best = 0;
    for (int64_t c = 1; c < logits.columns; ++c) best = z[c] > z[best] ? c : best;
    const float largest = z[best];
    const float of_label = z[label] - largest;
    for (int64_t c = 0; c < logits.columns; ++c) z[c] = Exp(z[c] - largest);
    float sum = 0.0f;
    for (int64_t c = 0; c < logits.columns; ++c) sum += z[c];
    for (int64_t c = 0; c < logits.columns; ++c) z[c] /= sum;
    z[label] -= 1.0f;
    score.loss_sum += static_cast<double>(Log(sum)) - static_cast<double>(of_label);
    score.correct += best == label ? 1 : 0;
  }
  return score;
}

}  // namespace weir
