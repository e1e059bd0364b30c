// SPDX-License-Identifier: Apache-2.0
//
// Trains the models of the examples with their settings, by an optimizer of the test's own in this
// process: what a run on servers and workers must reach.
#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "models/classifier.h"
#include "tests/models/tensors_in_memory.h"

namespace weir {
namespace {

std::string DataFile(const std::string& name) {
  const char* source = std::getenv("WEIR_SOURCE_DIR");
  return std::string(source == nullptr ? "." : source) + "/examples/data/" + name;
}

struct AdamW {
  double rate = 0;
  double weight_decay = 0;
  uint64_t warmup_steps = 0;
  bool cosine = false;

  double RateAt(uint64_t step, uint64_t steps) const {
    if (step < warmup_steps) return rate * static_cast<double>(step + 1) / warmup_steps;
    if (!cosine) return rate;
    const double done = static_cast<double>(step - warmup_steps) / (steps - warmup_steps);
    return rate * 0.5 * (1 + std::cos(3.14159265358979 * done));
  }
};

// Loshchilov and Hutter 2019, written plainly.
class Trainer {
 public:
  Trainer(Model* model, const AdamW& settings, uint64_t seed)
      : model_(model),
        settings_(settings),
        specs_(model->Tensors()),
        weights_(specs_),
        gradients_(specs_),
        first_(specs_),
        second_(specs_) {
    weights_.Initialize(specs_, seed);
  }

  // Returns the accuracy on the test set.
  double Train(uint64_t epochs) {
    const uint64_t steps = epochs * model_->StepsPerEpoch();
    for (uint64_t step = 0; step < steps; ++step) {
      Result<PartResult> result =
          model_->Gradient({step, 0, 1}, weights_.views, gradients_.mutable_views);
      if (!result.ok()) return -1;
      Update(step, settings_.RateAt(step, steps), static_cast<double>(result->examples));
    }
    Result<Evaluation> evaluation = model_->Evaluate(weights_.views);
    if (!evaluation.ok() || evaluation->examples == 0) return -1;
    return static_cast<double>(evaluation->correct) / static_cast<double>(evaluation->examples);
  }

 private:
  void Update(uint64_t step, double rate, double examples) {
    const double count = static_cast<double>(step + 1);
    const double correct1 = 1 - std::pow(0.9, count), correct2 = 1 - std::pow(0.999, count);
    for (size_t t = 0; t < specs_.size(); ++t) {
      for (int64_t i = 0; i < weights_.views[t].count; ++i) {
        const double g = gradients_.data(t)[i] / examples;
        float& m = first_.data(t)[i];
        float& v = second_.data(t)[i];
        float& w = weights_.data(t)[i];
        m = static_cast<float>(0.9 * m + 0.1 * g);
        v = static_cast<float>(0.999 * v + 0.001 * g * g);
        w -= static_cast<float>(
            rate * (m / correct1 / (std::sqrt(v / correct2) + 1e-8) + settings_.weight_decay * w));
      }
    }
  }

  Model* model_;
  const AdamW settings_;
  const std::vector<TensorSpec> specs_;
  TensorsInMemory weights_, gradients_, first_, second_;
};

double Accuracy(const ModelOptions& options, const AdamW& settings, uint64_t epochs) {
  FixEigenArithmetic();
  Result<std::unique_ptr<Model>> model = MakeModel(options);
  EXPECT_TRUE(model.ok()) << model.status().ToString();
  return model.ok() ? Trainer(model->get(), settings, options.seed).Train(epochs) : -1;
}

// The settings of examples/digits.yaml.
TEST(TrainingTest, AnMlpReadsHandwrittenDigits) {
  ModelOptions options;
  options.type = "mlp";
  options.hidden = {256, 128};
  options.batch = 120;
  options.seed = 1;
  options.dataset.format = "csv";
  options.dataset.path = DataFile("digits_train.csv");
  options.dataset.test_path = DataFile("digits_test.csv");
  AdamW settings;
  settings.rate = 0.003;
  settings.weight_decay = 0.01;
  settings.warmup_steps = 50;
  settings.cosine = true;
  EXPECT_GE(Accuracy(options, settings, 20), 0.96);
}

// The settings of examples/iris.yaml.
TEST(TrainingTest, SoftmaxRegressionTellsIrisesApart) {
  ModelOptions options;
  options.type = "softmax";
  options.batch = 30;
  options.seed = 7;
  options.dataset.format = "csv";
  options.dataset.path = DataFile("iris.csv");
  options.dataset.label_column = "species";
  options.dataset.test_fraction = 0.2;
  AdamW settings;
  settings.rate = 0.1;
  settings.weight_decay = 0.001;
  EXPECT_GE(Accuracy(options, settings, 100), 0.95);
}

}  // namespace
}  // namespace weir
