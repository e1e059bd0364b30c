// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_TESTS_WORKER_COUNTING_MODEL_H_
#define WEIR_TESTS_WORKER_COUNTING_MODEL_H_

#include <cstdint>
#include <functional>
#include <vector>

#include "weir/model.h"

namespace weir {

// A model whose gradient is easily said: each example pulls every weight towards a target of its
// own, drawn from (part, step, example, element). Parts differ in size, and some may be empty. Not
// commutative in its bits, so a sum in another order shows.
class CountingModel : public Model {
 public:
  explicit CountingModel(std::vector<TensorSpec> tensors = DefaultTensors())
      : tensors_(std::move(tensors)) {}

  static std::vector<TensorSpec> DefaultTensors() {
    return {{"dense/weights", {33, 17}, {Initializer::Kind::kXavierUniform, 0, 0}},
            {"dense/bias", {17}, {Initializer::Kind::kZeros, 0, 0}},
            {"out", {5}, {Initializer::Kind::kNormal, 0, 0.5}}};
  }

  // How many examples a part of a step has; none: 1 to 3, by step and part.
  std::function<uint64_t(const PartId&)> examples;
  // Called at the start of each gradient.
  std::function<Status(const PartId&)> before;

  std::vector<TensorSpec> Tensors() const override { return tensors_; }
  uint64_t StepsPerEpoch() const override { return 4; }

  Result<PartResult> Gradient(const PartId& part, const std::vector<TensorView>& weights,
                              const std::vector<MutableTensorView>& gradients) override {
    ++gradients_;
    if (before) {
      const Status status = before(part);
      if (!status.ok()) return status;
    }
    PartResult result;
    result.examples = examples ? examples(part) : 1 + (part.step + part.part) % 3;
    for (size_t t = 0; t < weights.size(); ++t) {
      const float* w = static_cast<const float*>(weights[t].data);
      float* g = static_cast<float*>(gradients[t].data);
      for (int64_t i = 0; i < weights[t].count; ++i) {
        g[i] = 0;
        for (uint64_t e = 0; e < result.examples; ++e) {
          const float error = w[i] - Target(part, e, t, static_cast<uint64_t>(i));
          g[i] += error;
          result.loss_sum += 0.5 * static_cast<double>(error) * static_cast<double>(error);
        }
      }
    }
    return result;
  }

  Result<Evaluation> Evaluate(const std::vector<TensorView>& weights) override {
    Evaluation evaluation;
    evaluation.examples = 10;
    evaluation.correct = 7;
    evaluation.loss_sum = static_cast<const float*>(weights[0].data)[0];
    return evaluation;
  }

  uint64_t gradients() const { return gradients_; }

 private:
  static float Target(const PartId& part, uint64_t example, size_t tensor, uint64_t element) {
    uint64_t z = (part.step * 1315423911u + part.part) * 2654435761u + example * 97 +
                 tensor * 131071 + element * 7919;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return static_cast<float>(static_cast<int64_t>(z >> 11) % 2000001 - 1000000) * 1e-6f;
  }

  const std::vector<TensorSpec> tensors_;
  uint64_t gradients_ = 0;
};

}  // namespace weir

#endif  // WEIR_TESTS_WORKER_COUNTING_MODEL_H_
