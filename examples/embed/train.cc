// SPDX-License-Identifier: Apache-2.0
// A trainer with a model of its own: fits y = 3 a - 2 b + 1 from noisy points that it draws itself.
#include "weir/train.h"

#include <cstdio>
#include <random>

class Line : public weir::Model {
 public:
  std::vector<weir::TensorSpec> Tensors() const override {
    return {{"slopes", {2}, {}}, {"offset", {1}, {}}};
  }
  uint64_t StepsPerEpoch() const override { return 100; }

  weir::Result<weir::PartResult> Gradient(
      const weir::PartId& part, const std::vector<weir::TensorView>& weights,
      const std::vector<weir::MutableTensorView>& gradients) override {
    const float* slopes = static_cast<const float*>(weights[0].data);
    const float offset = *static_cast<const float*>(weights[1].data);
    float* d_slopes = static_cast<float*>(gradients[0].data);
    float* d_offset = static_cast<float*>(gradients[1].data);
    d_slopes[0] = d_slopes[1] = *d_offset = 0;
    weir::PartResult result;
    std::mt19937 random(
        static_cast<uint32_t>(part.step * part.parts + part.part));  // the part names its examples
    std::uniform_real_distribution<float> uniform(-1, 1);
    for (; result.examples < 32; ++result.examples) {
      const float a = uniform(random), b = uniform(random);
      const float error =
          slopes[0] * a + slopes[1] * b + offset - (3 * a - 2 * b + 1 + 0.01f * uniform(random));
      d_slopes[0] += error * a;
      d_slopes[1] += error * b;
      *d_offset += error;
      result.loss_sum += 0.5 * error * error;
    }
    return result;
  }
  weir::Result<weir::Evaluation> Evaluate(const std::vector<weir::TensorView>&) override {
    return weir::Evaluation{};
  }
};

int main() {
  auto options = weir::Options::FromEnvironment();
  if (!options.ok()) return std::fprintf(stderr, "%s\n", options.status().ToString().c_str()), 2;
  auto worker = weir::Worker::Connect(*options);
  if (!worker.ok()) return std::fprintf(stderr, "%s\n", worker.status().ToString().c_str()), 1;
  Line line;
  weir::TrainOptions train;
  train.epochs = 3;
  const auto report = weir::Train(**worker, line, train);
  if (!report.ok()) return std::fprintf(stderr, "%s\n", report.status().ToString().c_str()), 1;
  std::printf("%llu steps, loss %.6f\n", static_cast<unsigned long long>(report.value().steps),
              report.value().final_loss);
  return (*worker)->Leave().ok() ? 0 : 1;
}
