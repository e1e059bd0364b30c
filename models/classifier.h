// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_MODELS_CLASSIFIER_H_
#define WEIR_MODELS_CLASSIFIER_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "models/batch_sampler.h"
#include "models/dataset.h"
#include "models/matrix.h"
#include "models/mlp.h"
#include "weir/model.h"

namespace weir {

// A network with its data, as the training loop sees it (see Model).
//
// Owns the data set and the buffers; after the first call for the largest part nothing is
// allocated. One thread at a time.
class Classifier : public Model {
 public:
  // INVALID_ARGUMENT: a batch below 1 or larger than the training set, or what Mlp::Create refuses.
  // `hidden` and `activation` are as in MlpOptions; `seed` orders the batches.
  static Result<std::unique_ptr<Classifier>> Create(TrainTest data,
                                                    const std::vector<int64_t>& hidden,
                                                    Activation activation, int64_t batch,
                                                    uint64_t seed);

  std::vector<TensorSpec> Tensors() const override;
  uint64_t StepsPerEpoch() const override;

  // INVALID_ARGUMENT: part.part is not below part.parts, or views that do not fit Tensors().
  Result<PartResult> Gradient(const PartId& part, const std::vector<TensorView>& weights,
                              const std::vector<MutableTensorView>& gradients) override;
  // INVALID_ARGUMENT: views that do not fit Tensors().
  Result<Evaluation> Evaluate(const std::vector<TensorView>& weights) override;

  const TrainTest& data() const { return data_; }

 private:
  Classifier(TrainTest data, Mlp mlp, BatchSampler sampler);

  // Copies `count` rows of `set` to the batch buffers; row i is rows[i], or first + i where `rows`
  // is null.
  ConstMatrix Gather(const Dataset& set, const uint32_t* rows, int64_t first, int64_t count);

  const TrainTest data_;
  Mlp mlp_;
  BatchSampler sampler_;
  AlignedFloats batch_features_;
  std::vector<int32_t> batch_labels_;
};

// What a topology says of a model.
struct ModelOptions {
  std::string type = "softmax";     // "softmax", or "mlp"
  std::vector<int64_t> hidden;      // mlp: widths of its hidden layers, one or more; softmax: none
  std::string activation = "relu";  // mlp: "relu", "tanh" or "sigmoid"
  int64_t batch = 0;                // global, in rows
  uint64_t seed =
      0;  // the job's: orders the batches, and splits and draws data (dataset.seed is not used)
  DatasetOptions dataset;
};

// Loads the data and builds the model. INVALID_ARGUMENT: an unknown type or activation, hidden
// layers where there must be none or none where there must be some; and all failures of LoadDataset
// and Classifier::Create.
Result<std::unique_ptr<Model>> MakeModel(const ModelOptions& options);

}  // namespace weir

#endif  // WEIR_MODELS_CLASSIFIER_H_
