// SPDX-License-Identifier: Apache-2.0
#include "models/mlp.h"

#include <cmath>
#include <vector>

#include "gtest/gtest.h"
#include "models/random.h"
#include "tests/models/tensors_in_memory.h"

namespace weir {
namespace {

constexpr int64_t kRows = 6, kFeatures = 5, kClasses = 3;

MlpOptions Network(std::vector<int64_t> hidden, Activation activation = Activation::kRelu) {
  MlpOptions options;
  options.features = kFeatures;
  options.hidden = std::move(hidden);
  options.classes = kClasses;
  options.activation = activation;
  return options;
}

Mlp Make(const MlpOptions& options) {
  Result<Mlp> mlp = Mlp::Create(options);
  EXPECT_TRUE(mlp.ok()) << mlp.status().ToString();
  return std::move(mlp).value();
}

// The summed loss of the network with the given weights, written plainly in double precision.
double ReferenceLoss(const MlpOptions& options, const std::vector<std::vector<double>>& weights,
                     ConstMatrix x, const std::vector<int32_t>& labels) {
  double loss = 0;
  for (int64_t row = 0; row < x.rows; ++row) {
    std::vector<double> values(x.Row(row), x.Row(row) + x.columns);
    for (size_t layer = 0; 2 * layer < weights.size(); ++layer) {
      std::vector<double> next = weights[2 * layer + 1];
      for (size_t o = 0; o < next.size(); ++o) {
        for (size_t i = 0; i < values.size(); ++i) {
          next[o] += values[i] * weights[2 * layer][i * next.size() + o];
        }
        if (2 * layer + 2 == weights.size()) continue;
        if (options.activation == Activation::kRelu) next[o] = std::max(next[o], 0.0);
        if (options.activation == Activation::kTanh) next[o] = std::tanh(next[o]);
        if (options.activation == Activation::kSigmoid) next[o] = 1 / (1 + std::exp(-next[o]));
      }
      values = next;
    }
    double sum = 0;
    for (double value : values) sum += std::exp(value);
    loss += std::log(sum) - values[static_cast<size_t>(labels[static_cast<size_t>(row)])];
  }
  return loss;
}

class GradientTest : public testing::TestWithParam<MlpOptions> {};

TEST_P(GradientTest, IsTheSumOverTheExamplesAsFiniteDifferencesOfAReferenceGiveIt) {
  Mlp mlp = Make(GetParam());
  const auto specs = mlp.Tensors();
  TensorsInMemory weights(specs), gradients(specs);
  AlignedFloats memory;
  const Matrix x{memory.Grow(kRows * kFeatures), kRows, kFeatures};
  SeededRandom random(3, 3);
  for (int64_t i = 0; i < kRows * kFeatures; ++i) x.data[i] = random.Normal();
  const std::vector<int32_t> labels = {0, 1, 2, 2, 1, 0};
  std::vector<std::vector<double>> exact;
  for (size_t t = 0; t < specs.size(); ++t) {
    for (int64_t i = 0; i < weights.views[t].count; ++i) {
      weights.data(t)[i] = 0.5f * random.Normal();
      gradients.data(t)[i] = 77;  // must be overwritten
    }
    exact.emplace_back(weights.data(t), weights.data(t) + weights.views[t].count);
  }

  const BatchScore score = mlp.Gradient(x, labels.data(), weights.views, gradients.mutable_views);
  EXPECT_NEAR(score.loss_sum, ReferenceLoss(GetParam(), exact, x, labels), 1e-4);
  EXPECT_EQ(mlp.Evaluate(x, labels.data(), weights.views).loss_sum, score.loss_sum);
  for (size_t t = 0; t < specs.size(); ++t) {
    for (size_t i = 0; i < exact[t].size(); ++i) {
      const double value = exact[t][i];
      constexpr double kStep = 1e-6;
      exact[t][i] = value + kStep;
      const double above = ReferenceLoss(GetParam(), exact, x, labels);
      exact[t][i] = value - kStep;
      const double below = ReferenceLoss(GetParam(), exact, x, labels);
      exact[t][i] = value;
      EXPECT_NEAR(gradients.data(t)[i], (above - below) / (2 * kStep), 1e-4)
          << specs[t].name << " " << i;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Shapes, GradientTest,
                         testing::Values(Network({}), Network({4}), Network({7, 4, 3}),
                                         Network({6, 5}, Activation::kTanh),
                                         Network({6, 5}, Activation::kSigmoid)));

TEST(MlpTest, TensorsAreNamedByLayerAndStartAsTheirActivationNeeds) {
  const auto relu = Make(Network({8, 4})).Tensors();
  ASSERT_EQ(relu.size(), 6u);
  EXPECT_EQ(relu[0].name, "dense0/weights");
  EXPECT_EQ(relu[0].shape, (Shape{kFeatures, 8}));
  EXPECT_EQ(relu[0].initializer.kind, Initializer::Kind::kHeNormal);
  EXPECT_EQ(relu[1].name, "dense0/bias");
  EXPECT_EQ(relu[1].shape, (Shape{8}));
  EXPECT_EQ(relu[1].initializer.kind, Initializer::Kind::kZeros);
  EXPECT_EQ(relu[2].shape, (Shape{8, 4}));
  EXPECT_EQ(relu[4].name, "dense2/weights");
  EXPECT_EQ(relu[4].shape, (Shape{4, kClasses}));
  EXPECT_EQ(relu[4].initializer.kind, Initializer::Kind::kXavierUniform);
  EXPECT_EQ(Make(Network({8}, Activation::kTanh)).Tensors()[0].initializer.kind,
            Initializer::Kind::kXavierUniform);
  EXPECT_EQ(Make(Network({})).Tensors().size(), 2u);
}

TEST(MlpTest, ABatchOfNoRowsHasGradientZero) {
  Mlp mlp = Make(Network({4}));
  TensorsInMemory weights(mlp.Tensors()), gradients(mlp.Tensors());
  gradients.data(0)[0] = 77;
  EXPECT_EQ(mlp.Gradient({nullptr, 0, kFeatures}, nullptr, weights.views, gradients.mutable_views)
                .loss_sum,
            0);
  for (size_t t = 0; t < gradients.size(); ++t) {
    for (int64_t i = 0; i < gradients.views[t].count; ++i) EXPECT_EQ(gradients.data(t)[i], 0.0f);
  }
}

TEST(MlpTest, ShapesOutOfRangeAreRefused) {
  const auto code = [](int64_t features, std::vector<int64_t> hidden, int64_t classes) {
    MlpOptions options;
    options.features = features;
    options.hidden = std::move(hidden);
    options.classes = classes;
    return Mlp::Create(options).status().code();
  };
  EXPECT_EQ(code(4, {8}, 2), StatusCode::kOk);
  EXPECT_EQ(code(0, {8}, 2), StatusCode::kInvalidArgument);
  EXPECT_EQ(code(4, {8}, 1), StatusCode::kInvalidArgument);
  EXPECT_EQ(code(4, {0}, 2), StatusCode::kInvalidArgument);
  EXPECT_EQ(code(4, {-3}, 2), StatusCode::kInvalidArgument);
  EXPECT_EQ(code(4, {Mlp::kMaxWidth + 1}, 2), StatusCode::kInvalidArgument);
  EXPECT_EQ(code(4, {Mlp::kMaxWidth, Mlp::kMaxWidth}, 2), StatusCode::kInvalidArgument);
  EXPECT_EQ(code(4, std::vector<int64_t>(Mlp::kMaxHiddenLayers + 1, 2), 2),
            StatusCode::kInvalidArgument);
  EXPECT_EQ(code(int64_t{1} << 62, {8}, 2), StatusCode::kInvalidArgument);
}

TEST(MlpTest, ViewsThatDoNotFitAreRefusedByName) {
  const Mlp mlp = Make(Network({4}));
  const TensorsInMemory good(mlp.Tensors());
  EXPECT_TRUE(mlp.Check(good.views).ok());
  EXPECT_TRUE(mlp.Check(good.mutable_views).ok());

  const auto message = [&](size_t tensor, auto change) {
    auto views = good.views;
    change(&views[tensor]);
    const Status status = mlp.Check(views);
    EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
    return status.message();
  };
  EXPECT_EQ(message(0, [](TensorView* v) { v->data = nullptr; }),
            "weights of dense0/weights has no memory");
  EXPECT_EQ(message(1, [](TensorView* v) { v->count = 5; }),
            "weights of dense0/bias has the wrong number of elements");
  EXPECT_EQ(message(2, [](TensorView* v) { v->type = ElementType::kFloat16; }),
            "weights of dense1/weights is not float32");
  EXPECT_EQ(message(3, [](TensorView* v) { v->device = Device::kCuda; }),
            "weights of dense1/bias is not on the CPU");
  EXPECT_EQ(message(3, [](TensorView* v) { v->data = static_cast<const char*>(v->data) + 4; }),
            "weights of dense1/bias is not aligned to 64 bytes");
  auto views = good.mutable_views;
  views.pop_back();
  EXPECT_EQ(mlp.Check(views).message(), "3 views of gradients, but the model has 4 tensors");
}

}  // namespace
}  // namespace weir
