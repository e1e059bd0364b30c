// SPDX-License-Identifier: Apache-2.0
#include "models/classifier.h"

#include <cmath>
#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "tests/models/tensors_in_memory.h"

namespace weir {
namespace {

ModelOptions Options(const std::string& type = "mlp", std::vector<int64_t> hidden = {8}) {
  ModelOptions options;
  options.type = type;
  options.hidden = std::move(hidden);
  options.batch = 50;
  options.seed = 3;
  options.dataset.format = "synthetic";
  options.dataset.rows = 300;
  options.dataset.test_fraction = 0.2;
  return options;
}

std::unique_ptr<Model> Make(const ModelOptions& options) {
  Result<std::unique_ptr<Model>> model = MakeModel(options);
  EXPECT_TRUE(model.ok()) << model.status().ToString();
  return std::move(model).value();
}

TEST(ClassifierTest, StepsAreWholeBatchesOfTheTrainingRows) {
  EXPECT_EQ(Make(Options())->StepsPerEpoch(), 4u);  // 240 rows to train on
}

TEST(ClassifierTest, PartsSumToTheGradientOfTheWholeStep) {
  const auto model = Make(Options());
  const auto specs = model->Tensors();
  TensorsInMemory weights(specs), whole(specs), part(specs), sum(specs);
  weights.Initialize(specs, 1);
  const PartResult all = *model->Gradient({5, 0, 1}, weights.views, whole.mutable_views);
  EXPECT_EQ(all.examples, 50u);
  uint64_t examples = 0;
  double loss = 0;
  for (uint32_t p = 0; p < 7; ++p) {
    const PartResult result = *model->Gradient({5, p, 7}, weights.views, part.mutable_views);
    examples += result.examples;
    loss += result.loss_sum;
    for (size_t t = 0; t < specs.size(); ++t) {
      for (int64_t i = 0; i < sum.views[t].count; ++i) sum.data(t)[i] += part.data(t)[i];
    }
  }
  EXPECT_EQ(examples, 50u);
  EXPECT_NEAR(loss, all.loss_sum, 1e-4);
  for (size_t t = 0; t < specs.size(); ++t) {
    for (int64_t i = 0; i < sum.views[t].count; ++i) {
      EXPECT_NEAR(sum.data(t)[i], whole.data(t)[i], 1e-4) << specs[t].name;
    }
  }
}

TEST(ClassifierTest, SameArgumentsGiveTheSameBitsInAnyOrderAndFromAnyInstance) {
  const auto first = Make(Options()), second = Make(Options());
  const auto specs = first->Tensors();
  TensorsInMemory weights(specs), a(specs), b(specs);
  weights.Initialize(specs, 1);
  ASSERT_TRUE(first->Gradient({0, 0, 1}, weights.views, a.mutable_views).ok());
  ASSERT_TRUE(first->Gradient({11, 2, 3}, weights.views, a.mutable_views).ok());
  ASSERT_TRUE(second->Gradient({11, 2, 3}, weights.views, b.mutable_views).ok());
  for (size_t t = 0; t < specs.size(); ++t) {
    EXPECT_EQ(std::memcmp(a.data(t), b.data(t), sizeof(float) * a.views[t].count), 0);
  }
}

TEST(ClassifierTest, APartBeyondTheBatchIsEmptyAndItsGradientZero) {
  ModelOptions options = Options();
  options.batch = 2;
  const auto model = Make(options);
  TensorsInMemory weights(model->Tensors()), gradients(model->Tensors());
  gradients.data(0)[0] = 77;
  Result<PartResult> result = model->Gradient({0, 2, 3}, weights.views, gradients.mutable_views);
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(result->examples, 0u);
  EXPECT_EQ(result->loss_sum, 0);
  EXPECT_EQ(gradients.data(0)[0], 0.0f);
}

TEST(ClassifierTest, EvaluationCountsTheTestSetAlone) {
  const auto model = Make(Options("softmax", {}));
  TensorsInMemory weights(model->Tensors());
  const Evaluation evaluation = *model->Evaluate(weights.views);
  EXPECT_EQ(evaluation.examples, 60u);
  // With all weights 0 every class has probability 1/4, and the first is the answer.
  EXPECT_NEAR(evaluation.loss_sum, 60 * std::log(4.0), 1e-4);
  EXPECT_GT(evaluation.correct, 0u);
  EXPECT_LT(evaluation.correct, 30u);
}

TEST(ClassifierTest, WithoutATestSetNothingIsEvaluated) {
  ModelOptions options = Options();
  options.dataset.test_fraction = 0;
  const auto model = Make(options);
  TensorsInMemory weights(model->Tensors());
  EXPECT_EQ(model->Evaluate(weights.views)->examples, 0u);
}

TEST(ClassifierTest, WrongPartsAndViewsAreRefused) {
  const auto model = Make(Options());
  TensorsInMemory weights(model->Tensors()), gradients(model->Tensors());
  const auto code = [&](const PartId& part, const std::vector<TensorView>& w,
                        const std::vector<MutableTensorView>& g) {
    return model->Gradient(part, w, g).status().code();
  };
  EXPECT_EQ(code({0, 1, 2}, weights.views, gradients.mutable_views), StatusCode::kOk);
  EXPECT_EQ(code({0, 2, 2}, weights.views, gradients.mutable_views), StatusCode::kInvalidArgument);
  EXPECT_EQ(code({0, 0, 0}, weights.views, gradients.mutable_views), StatusCode::kInvalidArgument);
  EXPECT_EQ(code({0, 0, 1}, {}, gradients.mutable_views), StatusCode::kInvalidArgument);
  EXPECT_EQ(code({0, 0, 1}, weights.views, {}), StatusCode::kInvalidArgument);
  EXPECT_EQ(model->Evaluate({}).status().code(), StatusCode::kInvalidArgument);
}

TEST(MakeModelTest, WhatATopologyCannotMeanIsRefused) {
  const auto message = [](const std::function<void(ModelOptions*)>& change) {
    ModelOptions options = Options();
    change(&options);
    const Status status = MakeModel(options).status();
    EXPECT_EQ(status.code(), StatusCode::kInvalidArgument) << status.ToString();
    return status.message();
  };
  EXPECT_EQ(message([](ModelOptions* o) { o->type = "cnn"; }),
            "no model 'cnn'; there are softmax and mlp");
  EXPECT_EQ(message([](ModelOptions* o) { o->type = "softmax"; }),
            "softmax has no hidden layers; the model with some is mlp");
  EXPECT_EQ(message([](ModelOptions* o) { o->hidden.clear(); }),
            "mlp needs the widths of its hidden layers; the model without any is softmax");
  EXPECT_EQ(message([](ModelOptions* o) { o->activation = "gelu"; }),
            "no activation 'gelu'; there are relu, tanh and sigmoid");
  EXPECT_EQ(message([](ModelOptions* o) { o->batch = 241; }),
            "a batch of 241 rows is larger than the training set of 240");
  EXPECT_EQ(message([](ModelOptions* o) { o->batch = 0; }),
            "the batch must hold 1 row or more, not 0");
  EXPECT_EQ(message([](ModelOptions* o) { o->hidden = {0}; }),
            "the width of a hidden layer must be 1 to 65536, not 0");
  EXPECT_EQ(message([](ModelOptions* o) { o->dataset.format = "tsv"; }),
            "no data format 'tsv'; there are csv, idx, libsvm and synthetic");
}

}  // namespace
}  // namespace weir
