// SPDX-License-Identifier: Apache-2.0
#include "core/optimizer.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "tests/core/random_floats.h"

namespace weir {
namespace {

constexpr OptimizerType kAllTypes[] = {OptimizerType::kSgd,      OptimizerType::kMomentum,
                                       OptimizerType::kNesterov, OptimizerType::kAdagrad,
                                       OptimizerType::kRmsProp,  OptimizerType::kAdam,
                                       OptimizerType::kAdamW};

OptimizerSpec SpecOf(OptimizerType type) {
  OptimizerSpec spec;
  spec.type = type;
  return spec;
}

// Weights and states of one tensor, updated in lockstep by the kernels.
struct Tensor {
  std::vector<float> weights;
  std::vector<float> state[2];

  Tensor(OptimizerType type, std::vector<float> initial) : weights(std::move(initial)) {
    for (int s = 0; s < StateTensors(type); ++s) state[s].assign(weights.size(), 0.0f);
  }

  // A call for elements [first, first + count) that writes into `out`.
  ApplyCall Call(const float* gradient, size_t first, size_t count, Tensor* out) const {
    ApplyCall call;
    call.gradient = gradient + first;
    call.weights = weights.data() + first;
    call.weights_out = out->weights.data() + first;
    for (int s = 0; s < 2; ++s) {
      if (state[s].empty()) continue;
      call.state[s] = state[s].data() + first;
      call.state_out[s] = out->state[s].data() + first;
    }
    call.count = count;
    return call;
  }
};

// The published formulas for one element, in double, written without a look at the kernels.
class Reference {
 public:
  Reference(const OptimizerSpec& spec, double w) : spec_(spec), w_(w) {}

  void Step(double gradient, double scale, double rate, int t) {
    double g = gradient * scale;
    if (spec_.clip_value > 0) g = std::fmin(std::fmax(g, -spec_.clip_value), spec_.clip_value);
    if (spec_.type != OptimizerType::kAdamW) g += spec_.weight_decay * w_;
    switch (spec_.type) {
      case OptimizerType::kSgd:
        w_ -= rate * g;
        break;
      case OptimizerType::kMomentum:
        a_ = spec_.momentum * a_ + g;
        w_ -= rate * a_;
        break;
      case OptimizerType::kNesterov:
        a_ = spec_.momentum * a_ + g;
        w_ -= rate * (g + spec_.momentum * a_);
        break;
      case OptimizerType::kAdagrad:
        a_ += std::pow(g, 2);
        w_ -= rate * g / (std::sqrt(a_) + spec_.epsilon);
        break;
      case OptimizerType::kRmsProp:
        a_ += (1 - spec_.decay) * (g * g - a_);
        w_ -= rate * g / (std::sqrt(a_) + spec_.epsilon);
        break;
      case OptimizerType::kAdam:
      case OptimizerType::kAdamW: {
        a_ += (1 - spec_.beta1) * (g - a_);
        b_ += (1 - spec_.beta2) * (g * g - b_);
        const double m = a_ / (1 - std::pow(spec_.beta1, t));
        const double v = b_ / (1 - std::pow(spec_.beta2, t));
        if (spec_.type == OptimizerType::kAdamW) w_ -= rate * spec_.weight_decay * w_;
        w_ -= rate * m / (std::sqrt(v) + spec_.epsilon);
        break;
      }
    }
  }

  double w() const { return w_; }

 private:
  const OptimizerSpec spec_;
  double w_;
  double a_ = 0;
  double b_ = 0;
};

class EveryOptimizerTest : public ::testing::TestWithParam<OptimizerType> {};

INSTANTIATE_TEST_SUITE_P(Types, EveryOptimizerTest, ::testing::ValuesIn(kAllTypes),
                         [](const auto& info) { return std::string(OptimizerName(info.param)); });

// Tolerance, relative: 400 roundings to float add up to 2.4e-5 at the very worst; 1e-6 is seen.
// than 3e-6.
void ExpectFollowsReference(const OptimizerSpec& spec) {
  constexpr size_t kCount = 37;
  constexpr double kTolerance = 3e-6;
  TestRandom random(17);
  Tensor tensor(spec.type, random.Floats(kCount, -1, 1));
  std::vector<Reference> references;
  for (float w : tensor.weights) references.emplace_back(spec, w);
  for (int t = 1; t <= 400; ++t) {
    const std::vector<float> gradient = random.Floats(kCount, -30, 33);
    const float rate = static_cast<float>(0.01 / (1 + 0.01 * t));
    Tensor next = tensor;
    ApplyCall call = tensor.Call(gradient.data(), 0, kCount, &next);
    call.scale = 1.0f / 16;
    call.learning_rate = rate;
    call.update = t;
    const ApplyFlags flags = Apply(spec, call);
    ASSERT_FALSE(flags.nonfinite_gradient || flags.nonfinite_result);
    tensor = next;
    for (size_t i = 0; i < kCount; ++i) {
      references[i].Step(gradient[i], 1.0 / 16, rate, t);
      ASSERT_NEAR(tensor.weights[i], references[i].w(),
                  kTolerance * (1 + std::abs(references[i].w())))
          << "element " << i << " after update " << t;
    }
  }
}

TEST_P(EveryOptimizerTest, FollowsTheDoublePrecisionReferenceOver400Updates) {
  ExpectFollowsReference(SpecOf(GetParam()));
}

TEST_P(EveryOptimizerTest, FollowsTheReferenceWithWeightDecayAndClipping) {
  OptimizerSpec spec = SpecOf(GetParam());
  spec.weight_decay = 0.05;
  spec.clip_value = 0.75;
  ExpectFollowsReference(spec);
}

TEST_P(EveryOptimizerTest, FollowsTheReferenceWithOtherConstants) {
  OptimizerSpec spec = SpecOf(GetParam());
  spec.momentum = 0.5;
  spec.beta1 = 0.7;
  spec.beta2 = 0.95;
  spec.decay = 0.99;
  spec.epsilon = 1e-3;
  ExpectFollowsReference(spec);
}

std::string Bits(const Tensor& tensor) {
  std::string bits;
  for (const std::vector<float>* part : {&tensor.weights, &tensor.state[0], &tensor.state[1]}) {
    bits.append(reinterpret_cast<const char*>(part->data()), part->size() * sizeof(float));
  }
  return bits;
}

TEST_P(EveryOptimizerTest, AnySplitGivesTheBitsOfOneCall) {
  OptimizerSpec spec = SpecOf(GetParam());
  spec.weight_decay = 0.01;
  TestRandom random(5);
  for (size_t count = 0; count <= 70; ++count) {
    Tensor before(spec.type, random.Floats(count, -1, 1));
    for (auto& state : before.state) {
      if (!state.empty()) state = random.Floats(count, 0, 2);
    }
    const std::vector<float> gradient = random.Floats(count, -1, 1);
    const auto apply = [&](size_t first, size_t n, Tensor* out) {
      ApplyCall call = before.Call(gradient.data(), first, n, out);
      call.learning_rate = 0.125f;
      call.update = 3;
      call.scale = 1.0f / 3;
      Apply(spec, call);
    };
    Tensor whole = before;
    apply(0, count, &whole);
    EXPECT_EQ(Bits(whole) == Bits(before), count == 0);
    for (size_t split = 0; split <= count; ++split) {
      Tensor parts = before;
      apply(split, count - split, &parts);
      apply(0, split, &parts);
      ASSERT_EQ(Bits(parts), Bits(whole)) << count << " elements split at " << split;
    }
  }
}

TEST_P(EveryOptimizerTest, GradientMayLieAtAnyByteAndOutputsMayBeTheInputs) {
  const OptimizerSpec spec = SpecOf(GetParam());
  TestRandom random(6);
  for (size_t count : {1, 3, 16, 37, 70}) {
    const Tensor before(spec.type, random.Floats(count, -1, 1));
    const std::vector<float> gradient = random.Floats(count, -1, 1);
    Tensor expected = before;
    ApplyCall call = before.Call(gradient.data(), 0, count, &expected);
    call.learning_rate = 0.5f;
    Apply(spec, call);
    std::vector<char> bytes(count * sizeof(float) + 64);
    for (size_t offset = 0; offset < 64; ++offset) {
      std::memcpy(bytes.data() + offset, gradient.data(), count * sizeof(float));
      Tensor tensor = before;
      call = tensor.Call(gradient.data(), 0, count, &tensor);
      call.gradient = bytes.data() + offset;
      call.learning_rate = 0.5f;
      Apply(spec, call);
      ASSERT_EQ(Bits(tensor), Bits(expected)) << count << " elements at byte " << offset;
    }
  }
}

// Large ranges are stored past the caches where all outputs are aligned alike, from the first whole
// vector on; otherwise through them.
TEST_P(EveryOptimizerTest, LargeRangesGiveTheBitsOfSmallOnesAtEveryAlignment) {
  constexpr size_t kLarge = 16384 + 5;
  const OptimizerSpec spec = SpecOf(GetParam());
  const int states = StateTensors(spec.type);
  TestRandom random(8);
  Tensor before(spec.type, random.Floats(kLarge, -1, 1));
  for (int s = 0; s < states; ++s) before.state[s] = random.Floats(kLarge, 0, 2);
  const std::vector<float> gradient = random.Floats(kLarge, -1, 1);
  Tensor expected = before;
  for (size_t first = 0; first < kLarge; first += 1000) {
    ApplyCall call =
        before.Call(gradient.data(), first, std::min<size_t>(1000, kLarge - first), &expected);
    call.learning_rate = 0.1f;
    Apply(spec, call);
  }
  std::vector<float> memory[3];
  const auto aligned = [&memory](int i, size_t shift) {
    memory[i].assign(kLarge + 64, 7.0f);
    const uintptr_t address = reinterpret_cast<uintptr_t>(memory[i].data());
    return memory[i].data() + (64 - address % 64) % 64 / sizeof(float) + 16 + shift;
  };
  for (size_t shift = 0; shift <= 16; ++shift) {
    for (const size_t skew : {0, 1}) {  // of the states
      Tensor out = before;
      ApplyCall call = before.Call(gradient.data(), 0, kLarge, &out);
      call.learning_rate = 0.1f;
      call.weights_out = aligned(2, shift);
      for (int s = 0; s < states; ++s) call.state_out[s] = aligned(s, shift + skew);
      Apply(spec, call);
      out.weights.assign(call.weights_out, call.weights_out + kLarge);
      EXPECT_EQ(call.weights_out[-1], 7.0f);
      EXPECT_EQ(call.weights_out[kLarge], 7.0f);
      for (int s = 0; s < states; ++s)
        out.state[s].assign(call.state_out[s], call.state_out[s] + kLarge);
      ASSERT_EQ(Bits(out) == Bits(expected), true) << "shift " << shift << ", skew " << skew;
    }
  }
}

TEST_P(EveryOptimizerTest, WritesNothingBeyondItsRange) {
  const OptimizerSpec spec = SpecOf(GetParam());
  for (size_t count = 0; count <= 40; ++count) {
    Tensor tensor(spec.type, std::vector<float>(count + 32, 7.0f));
    const std::vector<float> gradient(count + 32, 1.0f);
    ApplyCall call = tensor.Call(gradient.data(), 16, count, &tensor);
    call.learning_rate = 1;
    Apply(spec, call);
    for (size_t i = 0; i < count + 32; ++i) {
      const bool inside = i >= 16 && i < 16 + count;
      ASSERT_EQ(tensor.weights[i] != 7.0f, inside) << count << " elements, at " << i;
      for (const auto& state : tensor.state) {
        if (state.empty()) continue;
        ASSERT_EQ(state[i] != 0.0f, inside) << count << " elements, at " << i;
      }
    }
  }
}

TEST_P(EveryOptimizerTest, OneNonfiniteGradientIsSeenWhereverItIs) {
  const OptimizerSpec spec = SpecOf(GetParam());
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
  for (size_t count : {1, 7, 16, 45}) {
    for (size_t i = 0; i < count; ++i) {
      for (float poison : {kInfinity, -kInfinity, kNan, -kNan}) {
        Tensor tensor(spec.type, std::vector<float>(count, 1.0f));
        std::vector<float> gradient(count, 0.5f);
        gradient[i] = poison;
        EXPECT_TRUE(Apply(spec, tensor.Call(gradient.data(), 0, count, &tensor)).nonfinite_gradient)
            << poison << " at " << i << " of " << count;
      }
    }
  }
}

TEST_P(EveryOptimizerTest, ClippingDoesNotHideAnInfiniteGradient) {
  OptimizerSpec spec = SpecOf(GetParam());
  spec.clip_value = 1;
  Tensor tensor(spec.type, {1, 1, 1});
  const float gradient[] = {0, std::numeric_limits<float>::infinity(), 0};
  EXPECT_TRUE(Apply(spec, tensor.Call(gradient, 0, 3, &tensor)).nonfinite_gradient);
}

TEST_P(EveryOptimizerTest, OverflowByScalingCountsAsNonfiniteGradient) {
  const OptimizerSpec spec = SpecOf(GetParam());
  Tensor tensor(spec.type, {1, 1, 1});
  const float gradient[] = {0, 0, 1e38f};
  ApplyCall call = tensor.Call(gradient, 0, 3, &tensor);
  call.scale = 16;
  EXPECT_TRUE(Apply(spec, call).nonfinite_gradient);
}

TEST_P(EveryOptimizerTest, OverflowOfTheWeightsIsSeenWithoutBlamingTheGradient) {
  const OptimizerSpec spec = SpecOf(GetParam());
  Tensor tensor(spec.type, {0, 0, -3e38f});
  const float gradient[] = {1, 1, 1};
  ApplyCall call = tensor.Call(gradient, 0, 3, &tensor);
  call.learning_rate = 3e38f;
  const ApplyFlags flags = Apply(spec, call);
  EXPECT_TRUE(flags.nonfinite_result);
  EXPECT_FALSE(flags.nonfinite_gradient);
}

TEST_P(EveryOptimizerTest, ZeroGradientWithFreshStateLeavesWeightsAlone) {
  const OptimizerSpec spec = SpecOf(GetParam());
  for (size_t count = 1; count <= 20; ++count) {
    const Tensor before(spec.type, std::vector<float>(count, 0.3f));
    Tensor after(spec.type, std::vector<float>(count, 9.0f));
    const std::vector<float> gradient(count, 0.0f);
    ApplyCall call = before.Call(gradient.data(), 0, count, &after);
    call.learning_rate = 1;
    const ApplyFlags flags = Apply(spec, call);
    EXPECT_FALSE(flags.nonfinite_gradient || flags.nonfinite_result);
    EXPECT_EQ(after.weights, before.weights);
  }
}

// First steps from w = 1, g = 0.5 at rate 0.1, worked out by hand.
float FirstStep(const OptimizerSpec& spec) {
  Tensor tensor(spec.type, {1});
  const float gradient[] = {0.5f};
  ApplyCall call = tensor.Call(gradient, 0, 1, &tensor);
  call.learning_rate = 0.1f;
  Apply(spec, call);
  return tensor.weights[0];
}

TEST(OptimizerTest, FirstStepsAreThoseWorkedOutByHand) {
  EXPECT_FLOAT_EQ(FirstStep(SpecOf(OptimizerType::kSgd)), 0.95f);
  EXPECT_FLOAT_EQ(FirstStep(SpecOf(OptimizerType::kMomentum)), 0.95f);
  EXPECT_FLOAT_EQ(FirstStep(SpecOf(OptimizerType::kNesterov)), 0.905f);
  EXPECT_FLOAT_EQ(FirstStep(SpecOf(OptimizerType::kAdagrad)), 0.9f);
  EXPECT_FLOAT_EQ(FirstStep(SpecOf(OptimizerType::kRmsProp)), 1 - 0.1f / std::sqrt(0.1f));
  EXPECT_FLOAT_EQ(FirstStep(SpecOf(OptimizerType::kAdam)), 0.9f);
  OptimizerSpec adamw = SpecOf(OptimizerType::kAdamW);
  adamw.weight_decay = 0.5;
  EXPECT_FLOAT_EQ(FirstStep(adamw), 0.85f);
}

TEST(OptimizerTest, BiasCorrectionHoldsAfterABillionUpdates) {
  const OptimizerSpec spec = SpecOf(OptimizerType::kAdam);
  Tensor tensor(spec.type, {1});
  tensor.state[0] = {0.5f};
  tensor.state[1] = {0.25f};
  const float gradient[] = {0.5f};
  ApplyCall call = tensor.Call(gradient, 0, 1, &tensor);
  call.learning_rate = 0.1f;
  call.update = 1000000000;
  Apply(spec, call);
  EXPECT_FLOAT_EQ(tensor.weights[0], 0.9f);
}

}  // namespace
}  // namespace weir
