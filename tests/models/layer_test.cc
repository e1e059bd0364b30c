// SPDX-License-Identifier: Apache-2.0
//
// Each layer is written here a second time, in double precision and as plainly as can be. The
// layer's forward is compared with that; its backward with central differences of it.
#include "models/layer.h"

#include <cmath>
#include <functional>
#include <vector>

#include "gtest/gtest.h"
#include "models/elementary.h"
#include "models/random.h"

namespace weir {
namespace {

using Doubles = std::vector<double>;

// Values that floats hold exactly, away from 0 (where a ReLU has no derivative).
Doubles RandomValues(int64_t count, uint64_t seed) {
  SeededRandom random(seed, 0);
  Doubles values;
  while (static_cast<int64_t>(values.size()) < count) {
    const float value = 2.0f * random.Uniform() - 1.0f;
    if (std::fabs(value) > 0.01f) values.push_back(value);
  }
  return values;
}

// A float matrix with the given values, in aligned memory.
struct Floats {
  Floats(const Doubles& values, int64_t rows, int64_t columns) {
    matrix = {memory.Grow(values.size()), rows, columns};
    for (size_t i = 0; i < values.size(); ++i) matrix.data[i] = static_cast<float>(values[i]);
  }
  AlignedFloats memory;
  Matrix matrix;
};

// The derivative of `loss` by each of `at`, by central differences.
Doubles Differences(Doubles at, const std::function<double(const Doubles&)>& loss) {
  constexpr double kStep = 1e-6;
  Doubles result;
  for (size_t i = 0; i < at.size(); ++i) {
    const double value = at[i];
    at[i] = value + kStep;
    const double above = loss(at);
    at[i] = value - kStep;
    const double below = loss(at);
    at[i] = value;
    result.push_back((above - below) / (2 * kStep));
  }
  return result;
}

void ExpectNear(const float* got, const Doubles& want, const char* what) {
  for (size_t i = 0; i < want.size(); ++i) {
    EXPECT_NEAR(got[i], want[i], 2e-5 * (1 + std::fabs(want[i]))) << what << " " << i;
  }
}

double Dot(const Doubles& a, const Doubles& b) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}

constexpr int64_t kRows = 5, kInputs = 7, kOutputs = 4;

Doubles Dense(const Doubles& x, const Doubles& w, const Doubles& b) {
  Doubles y;
  for (int64_t r = 0; r < kRows; ++r) {
    for (int64_t o = 0; o < kOutputs; ++o) {
      double sum = b[o];
      for (int64_t i = 0; i < kInputs; ++i) sum += x[r * kInputs + i] * w[i * kOutputs + o];
      y.push_back(sum);
    }
  }
  return y;
}

TEST(DenseTest, ForwardAndBackwardMatchTheReferenceAndItsFiniteDifferences) {
  const Doubles x = RandomValues(kRows * kInputs, 1), w = RandomValues(kInputs * kOutputs, 2);
  const Doubles b = RandomValues(kOutputs, 3), dy = RandomValues(kRows * kOutputs, 4);
  Floats fx(x, kRows, kInputs), fw(w, kInputs, kOutputs), fb(b, 1, kOutputs);
  Floats fdy(dy, kRows, kOutputs), fy(dy, kRows, kOutputs);
  DenseForward(fx.matrix, fw.matrix, fb.matrix.data, fy.matrix);
  ExpectNear(fy.matrix.data, Dense(x, w, b), "y");

  // The loss is dy · y, whose derivative by y is dy. Outputs hold other values before, and must be
  // overwritten.
  Floats fdw(w, kInputs, kOutputs), fdb(b, 1, kOutputs), fdx(x, kRows, kInputs);
  DenseBackwardParameters(fx.matrix, fdy.matrix, fdw.matrix, fdb.matrix.data);
  DenseBackwardInput(fdy.matrix, fw.matrix, fdx.matrix);
  ExpectNear(fdw.matrix.data,
             Differences(w, [&](const Doubles& v) { return Dot(dy, Dense(x, v, b)); }), "dw");
  ExpectNear(fdb.matrix.data,
             Differences(b, [&](const Doubles& v) { return Dot(dy, Dense(x, w, v)); }), "db");
  ExpectNear(fdx.matrix.data,
             Differences(x, [&](const Doubles& v) { return Dot(dy, Dense(v, w, b)); }), "dx");
}

struct ActivationCase {
  const char* name;
  Activation activation;
  double (*reference)(double);
};

class ActivationTest : public testing::TestWithParam<ActivationCase> {};

TEST_P(ActivationTest, ForwardAndBackwardMatchTheReferenceAndItsFiniteDifferences) {
  const auto reference = [](const Doubles& x) {
    Doubles y;
    for (double value : x) y.push_back(GetParam().reference(value));
    return y;
  };
  Doubles x = RandomValues(kRows * kInputs, 5);
  for (double& value : x) value *= 4;
  const Doubles dy = RandomValues(kRows * kInputs, 6);
  Floats y(x, kRows, kInputs), dx(dy, kRows, kInputs);
  ActivationForward(GetParam().activation, y.matrix);
  ExpectNear(y.matrix.data, reference(x), "y");
  ActivationBackward(GetParam().activation, y.matrix, dx.matrix);
  ExpectNear(dx.matrix.data,
             Differences(x, [&](const Doubles& v) { return Dot(dy, reference(v)); }), "dx");
}

INSTANTIATE_TEST_SUITE_P(All, ActivationTest,
                         testing::Values(ActivationCase{"Relu", Activation::kRelu,
                                                        [](double x) { return x > 0 ? x : 0; }},
                                         ActivationCase{"Tanh", Activation::kTanh,
                                                        [](double x) { return std::tanh(x); }},
                                         ActivationCase{
                                             "Sigmoid", Activation::kSigmoid,
                                             [](double x) { return 1 / (1 + std::exp(-x)); }}),
                         [](const auto& info) { return info.param.name; });

// The layer's loops are vectorised, this one need not be; and the tail of a vector is another code
// than its body.
TEST(ActivationBitsTest, VectorsAndTheirTailsGiveTheBitsOfTheScalarFunctions) {
  for (int64_t count : {1, 7, 8, 15, 1003}) {
    Doubles values = RandomValues(count, 8);
    for (double& value : values) value *= 30;
    Floats x(values, 1, count), tanh(values, 1, count), sigmoid(values, 1, count);
    ActivationForward(Activation::kTanh, tanh.matrix);
    ActivationForward(Activation::kSigmoid, sigmoid.matrix);
    for (int64_t i = 0; i < count; ++i) {
      EXPECT_EQ(tanh.matrix.data[i], Tanh(x.matrix.data[i]));
      EXPECT_EQ(sigmoid.matrix.data[i], Sigmoid(x.matrix.data[i]));
    }
  }
}

const std::vector<int32_t> kLabels = {0, 3, 1, 1, 2};

double CrossEntropy(const Doubles& logits) {
  double loss = 0;
  for (int64_t r = 0; r < kRows; ++r) {
    double sum = 0;
    for (int64_t c = 0; c < kOutputs; ++c) sum += std::exp(logits[r * kOutputs + c]);
    loss += std::log(sum) - logits[r * kOutputs + kLabels[r]];
  }
  return loss;
}

TEST(SoftmaxCrossEntropyTest, LossAndGradientMatchTheReferenceAndItsFiniteDifferences) {
  Doubles logits = RandomValues(kRows * kOutputs, 7);
  for (double& value : logits) value *= 5;
  Floats z(logits, kRows, kOutputs);
  const BatchScore score = SoftmaxCrossEntropy(kLabels.data(), z.matrix);
  EXPECT_NEAR(score.loss_sum, CrossEntropy(logits), 1e-5);
  ExpectNear(z.matrix.data, Differences(logits, CrossEntropy), "dlogits");
}

TEST(SoftmaxCrossEntropyTest, ARowIsCorrectWhenItsFirstLargestLogitIsTheLabelled) {
  Floats z({1, 3, 2, /**/ 2, 2, 1, /**/ 2, 2, 1, /**/ 0, 0, 9}, 4, 3);
  const std::vector<int32_t> labels = {1, 0, 0, 0};
  EXPECT_EQ(SoftmaxCrossEntropy(labels.data(), z.matrix).correct, 3u);
}

TEST(SoftmaxCrossEntropyTest, LargeLogitsNeitherOverflowNorLoseTheLoss) {
  Floats z({1000, -1000, /**/ 1000, -1000}, 2, 2);
  const std::vector<int32_t> labels = {0, 1};
  const BatchScore score = SoftmaxCrossEntropy(labels.data(), z.matrix);
  EXPECT_EQ(score.loss_sum, 2000);
  EXPECT_EQ(z.matrix.data[0], 0.0f);
  EXPECT_EQ(z.matrix.data[2], 1.0f);
  EXPECT_EQ(z.matrix.data[3], -1.0f);
}

}  // namespace
}  // namespace weir
