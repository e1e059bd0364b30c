// SPDX-License-Identifier: Apache-2.0
#include "models/classifier.h"

#include <algorithm>
#include <optional>
#include <utility>

namespace weir {
namespace {

// Rows of the test set that are evaluated at once.
constexpr int64_t kEvaluationRows = 256;

Status Invalid(std::string message) {
  return Status(StatusCode::kInvalidArgument, std::move(message));
}

std::optional<Activation> FindActivation(const std::string& name) {
  if (name == "relu") return Activation::kRelu;
  if (name == "tanh") return Activation::kTanh;
  if (name == "sigmoid") return Activation::kSigmoid;
  return std::nullopt;
}

}  // namespace

Result<std::unique_ptr<Classifier>> Classifier::Create(TrainTest data,
                                                       const std::vector<int64_t>& hidden,
                                                       Activation activation, int64_t batch,
                                                       uint64_t seed) {
  MlpOptions shape;
  shape.features = data.train.columns;
  shape.hidden = hidden;
  shape.classes = data.classes();
  shape.activation = activation;
  Result<Mlp> mlp = Mlp::Create(shape);
  if (!mlp.ok()) return mlp.status();
  Result<BatchSampler> sampler = BatchSampler::Create(seed, data.train.rows, batch);
  if (!sampler.ok()) return sampler.status();
  return std::unique_ptr<Classifier>(
      new Classifier(std::move(data), std::move(mlp).value(), std::move(sampler).value()));
}

Classifier::Classifier(TrainTest data, Mlp mlp, BatchSampler sampler)
    : data_(std::move(data)), mlp_(std::move(mlp)), sampler_(std::move(sampler)) {}

std::vector<TensorSpec> Classifier::Tensors() const { return mlp_.Tensors(); }

uint64_t Classifier::StepsPerEpoch() const { return sampler_.StepsPerEpoch(); }

ConstMatrix Classifier::Gather(const Dataset& set, const uint32_t* rows, int64_t first,
                               int64_t count) {
  const int64_t columns = set.columns;
  float* features = batch_features_.Grow(static_cast<size_t>(count * columns));
  if (batch_labels_.size() < static_cast<size_t>(count)) {
    batch_labels_.resize(static_cast<size_t>(count));
  }
  for (int64_t i = 0; i < count; ++i) {
    const int64_t row = rows == nullptr ? first + i : int64_t{rows[i]};
    std::copy_n(set.features.data() + row * columns, columns, features + i * columns);
    batch_labels_[static_cast<size_t>(i)] = set.labels[static_cast<size_t>(row)];
  }
  return {features, count, columns};
}

Result<PartResult> Classifier::Gradient(const PartId& part, const std::vector<TensorView>& weights,
                                        const std::vector<MutableTensorView>& gradients) {
  if (part.part >= part.parts) {
    return Invalid("no part " + std::to_string(part.part) + " of " + std::to_string(part.parts));
  }
  Status fits = mlp_.Check(weights);
  if (fits.ok()) fits = mlp_.Check(gradients);
  if (!fits.ok()) return fits;
  const RowRange range = sampler_.Rows(part);
  const ConstMatrix x = Gather(data_.train, range.rows, 0, range.count);
  const BatchScore score = mlp_.Gradient(x, batch_labels_.data(), weights, gradients);
  PartResult result;
  result.examples = static_cast<uint64_t>(range.count);
  result.loss_sum = score.loss_sum;
  return result;
}

Result<Evaluation> Classifier::Evaluate(const std::vector<TensorView>& weights) {
  const Status fits = mlp_.Check(weights);
  if (!fits.ok()) return fits;
  Evaluation evaluation;
  evaluation.examples = static_cast<uint64_t>(data_.test.rows);
  for (int64_t first = 0; first < data_.test.rows; first += kEvaluationRows) {
    const int64_t count = std::min(kEvaluationRows, data_.test.rows - first);
    const ConstMatrix x = Gather(data_.test, nullptr, first, count);
    const BatchScore score = mlp_.Evaluate(x, batch_labels_.data(), weights);
    evaluation.loss_sum += score.loss_sum;
    evaluation.correct += score.correct;
  }
  return evaluation;
}

Result<std::unique_ptr<Model>> MakeModel(const ModelOptions& options) {
  if (options.type != "softmax" && options.type != "mlp") {
    return Invalid("no model '" + options.type + "'; there are softmax and mlp");
  }
  if (options.type == "softmax" && !options.hidden.empty()) {
    return Invalid("softmax has no hidden layers; the model with some is mlp");
  }
  if (options.type == "mlp" && options.hidden.empty()) {
    return Invalid("mlp needs the widths of its hidden layers; the model without any is softmax");
  }
  const std::optional<Activation> activation = FindActivation(options.activation);
  if (!activation) {
    return Invalid("no activation '" + options.activation + "'; there are relu, tanh and sigmoid");
  }
  DatasetOptions dataset = options.dataset;
  dataset.seed = options.seed;
  Result<TrainTest> data = LoadDataset(dataset);
  if (!data.ok()) return data.status();
  Result<std::unique_ptr<Classifier>> classifier = Classifier::Create(
      std::move(data).value(), options.hidden, *activation, options.batch, options.seed);
  if (!classifier.ok()) return classifier.status();
  return std::unique_ptr<Model>(std::move(classifier).value());
}

}  // namespace weir
