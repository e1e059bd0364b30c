// SPDX-License-Identifier: Apache-2.0
#include "core/encoded_sgd.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "core/kernel_target.h"
#include "core/stream_copy.h"
#include "gtest/gtest.h"
#include "hwy/aligned_allocator.h"
#include "hwy/targets.h"
#include "tests/core/random_floats.h"

namespace weir {
namespace {

constexpr Codec kCodecs[] = {Codec::kF32, Codec::kF16, Codec::kBf16, Codec::kInt8};
constexpr char kGuard = 0x5A;
constexpr size_t kGuardBytes = 64;

// What one update makes.
struct Made {
  std::vector<float> weights;
  std::string encoded;  // nothing for f32
  ApplyFlags flags;
};

OptimizerSpec Spec(double weight_decay, double clip_value) {
  OptimizerSpec spec;
  spec.type = OptimizerType::kSgd;
  spec.weight_decay = weight_decay;
  spec.clip_value = clip_value;
  return spec;
}

ApplyCall Scalars(size_t count) {
  ApplyCall call;
  call.scale = 1.0f / 3;
  call.learning_rate = 0.05f;
  call.count = count;
  return call;
}

// Decode, Apply and Encode of whole arrays.
Made Separately(const OptimizerSpec& spec, Codec codec, const std::string& gradient,
                const std::vector<float>& weights, Codec values) {
  const size_t count = weights.size();
  std::vector<float> decoded(count);
  Decode(codec, gradient.data(), count, decoded.data());
  Made made;
  made.weights.resize(count);
  ApplyCall call = Scalars(count);
  call.gradient = decoded.data();
  call.weights = weights.data();
  call.weights_out = made.weights.data();
  made.flags = Apply(spec, call);
  if (values != Codec::kF32) {
    made.encoded.resize(EncodedBytes(values, count));
    Encode(values, made.weights.data(), count, made.encoded.data());
  }
  return made;
}

// In one, with the gradient and the encoding `shift` bytes off, and nothing written beyond either.
Made InOne(const OptimizerSpec& spec, Codec codec, const std::string& gradient,
           const std::vector<float>& weights, Codec values, size_t shift, bool past_caches) {
  const size_t count = weights.size();
  const std::string shifted = std::string(shift, kGuard) + gradient;
  const size_t bytes = values == Codec::kF32 ? 0 : EncodedBytes(values, count);
  std::string encoded(shift + bytes + kGuardBytes, kGuard);
  const auto out = hwy::AllocateAligned<float>(count + 1);
  out[count] = 7;
  EncodedSgd how;
  how.gradient = codec;
  how.values = values;
  how.values_out = values == Codec::kF32 ? nullptr : encoded.data() + shift;
  how.past_caches = past_caches;
  ApplyCall call = Scalars(count);
  call.gradient = shifted.data() + shift;
  call.weights = weights.data();
  call.weights_out = out.get();
  Made made;
  made.flags = ApplyEncodedSgd(spec, call, how);
  StreamFence();
  EXPECT_EQ(out[count], 7);
  EXPECT_EQ(encoded.substr(0, shift), std::string(shift, kGuard));
  EXPECT_EQ(encoded.substr(shift + bytes), std::string(kGuardBytes, kGuard)) << "wrote beyond";
  made.encoded = encoded.substr(shift, bytes);
  made.weights.assign(out.get(), out.get() + count);
  return made;
}

void ExpectSame(const Made& a, const Made& b) {
  ASSERT_EQ(a.weights.size(), b.weights.size());
  EXPECT_TRUE(a.weights.empty() || std::memcmp(a.weights.data(), b.weights.data(),
                                               a.weights.size() * sizeof(float)) == 0);
  EXPECT_EQ(a.encoded, b.encoded);
  EXPECT_EQ(a.flags.nonfinite_gradient, b.flags.nonfinite_gradient);
  EXPECT_EQ(a.flags.nonfinite_result, b.flags.nonfinite_result);
}

std::string Encoded(Codec codec, const std::vector<float>& x) {
  std::string out(EncodedBytes(codec, x.size()), 0);
  Encode(codec, x.data(), x.size(), out.data());
  return out;
}

// Values over many magnitudes, so that some blocks of int8 are all zeros, and some values of f16
// and bf16 saturate.
std::vector<float> Mixed(TestRandom* random, size_t count) {
  std::vector<float> x = random->Floats(count, -3, 3);
  for (size_t i = 0; i < count; ++i) {
    if (i / 128 % 5 == 1) x[i] *= 0x1p-130f;
    if (i % 7 == 2) x[i] *= 0x1p-16f;
    if (i % 301 == 4) x[i] *= 0x1p15f;
    if (i % 907 == 5) x[i] = std::numeric_limits<float>::max();
  }
  return x;
}

// Highway limited to one target, for as long as it lives.
class OnlyTarget {
 public:
  explicit OnlyTarget(int64_t target) {
    hwy::SetSupportedTargetsForTest(target);
    hwy::GetChosenTarget().Update(hwy::SupportedTargets());
  }
  ~OnlyTarget() {
    hwy::SetSupportedTargetsForTest(0);
    hwy::GetChosenTarget().Update(hwy::SupportedTargets());
  }
};

class EncodedSgdTest : public ::testing::TestWithParam<int64_t> {
 protected:
  void SetUp() override {
    if ((hwy::SupportedTargets() & GetParam()) == 0) {
      GTEST_SKIP() << "this host has no " << hwy::TargetName(GetParam());
    }
  }
};

INSTANTIATE_TEST_SUITE_P(Targets, EncodedSgdTest, ::testing::Values(HWY_SSE4, HWY_AVX2, HWY_AVX3),
                         [](const auto& info) { return std::string(hwy::TargetName(info.param)); });

TEST_P(EncodedSgdTest, MakesTheBitsOfDecodeApplyAndEncodeForEveryPairOfCodecsAndLength) {
  const OnlyTarget only(GetParam());
  ASSERT_STREQ(KernelTarget(), hwy::TargetName(GetParam()));
  TestRandom random(5);
  for (const Codec gradient : kCodecs) {
    for (const Codec values : kCodecs) {
      for (size_t count = 0; count <= 300; count += count < 140 ? 1 : 7) {
        const std::string encoded = Encoded(gradient, Mixed(&random, count));
        const std::vector<float> weights = Mixed(&random, count);
        const OptimizerSpec spec = Spec(0.01, count % 2 == 0 ? 0.9 : 0);
        SCOPED_TRACE(std::string(CodecName(gradient)) + " to " + CodecName(values));
        ExpectSame(InOne(spec, gradient, encoded, weights, values, count % 67, count % 3 == 0),
                   Separately(spec, gradient, encoded, weights, values));
      }
    }
  }
}

TEST_P(EncodedSgdTest, MakesTheBitsOfDecodeApplyAndEncodeOfManyBlocksPastTheCachesAndThrough) {
  const OnlyTarget only(GetParam());
  TestRandom random(6);
  for (const Codec gradient : kCodecs) {
    for (const Codec values : kCodecs) {
      const std::string encoded = Encoded(gradient, Mixed(&random, 20'001));
      const std::vector<float> weights = Mixed(&random, 20'001);
      const Made expected = Separately(Spec(0, 0), gradient, encoded, weights, values);
      for (const bool past_caches : {false, true}) {
        SCOPED_TRACE(std::string(CodecName(gradient)) + " to " + CodecName(values));
        ExpectSame(InOne(Spec(0, 0), gradient, encoded, weights, values, 3, past_caches), expected);
      }
    }
  }
}

TEST_P(EncodedSgdTest, NonFiniteGradientsAndResultsAreSeenWhereverTheyAre) {
  const OnlyTarget only(GetParam());
  for (const Codec codec : kCodecs) {
    for (const size_t at : {0, 127, 128, 299}) {
      std::vector<float> gradient(300, 1.0f);
      std::vector<float> weights(300, 1.0f);
      gradient[at] = std::numeric_limits<float>::infinity();
      const Made poisoned =
          InOne(Spec(0, 0), codec, Encoded(codec, gradient), weights, Codec::kInt8, 1, false);
      EXPECT_TRUE(poisoned.flags.nonfinite_gradient) << CodecName(codec) << at;
      gradient[at] = 1;
      weights[at] = std::numeric_limits<float>::infinity();
      const Made overflown =
          InOne(Spec(0, 0), codec, Encoded(codec, gradient), weights, Codec::kInt8, 1, false);
      EXPECT_FALSE(overflown.flags.nonfinite_gradient) << CodecName(codec) << at;
      EXPECT_TRUE(overflown.flags.nonfinite_result) << CodecName(codec) << at;
    }
  }
}

TEST_P(EncodedSgdTest, AScaleThatNoEncoderWritesIsPoison) {
  const OnlyTarget only(GetParam());
  for (const uint32_t bits : {0xBF800000u, 0x80000000u, 0x7FC00000u, 0x7F800000u, 1u}) {
    std::string gradient = Encoded(Codec::kInt8, std::vector<float>(300, 1.0f));
    std::memcpy(&gradient[132], &bits, sizeof bits);
    const Made made = InOne(Spec(0, 0), Codec::kInt8, gradient, std::vector<float>(300, 1.0f),
                            Codec::kInt8, 0, false);
    EXPECT_TRUE(made.flags.nonfinite_gradient) << std::hex << bits;
  }
}

TEST_P(EncodedSgdTest, WeightsAtAnyAddressAreWrittenWithoutStreaming) {
  const OnlyTarget only(GetParam());
  TestRandom random(8);
  const std::string gradient = Encoded(Codec::kInt8, Mixed(&random, 256));
  const std::vector<float> weights = Mixed(&random, 256);
  const Made expected = Separately(Spec(0, 0), Codec::kInt8, gradient, weights, Codec::kF32);
  const auto out = hwy::AllocateAligned<float>(256 + 16);
  for (size_t shift = 0; shift < 16; ++shift) {
    ApplyCall call = Scalars(256);
    call.gradient = gradient.data();
    call.weights = weights.data();
    call.weights_out = out.get() + shift;
    EncodedSgd how;
    how.gradient = Codec::kInt8;
    how.past_caches = true;
    ApplyEncodedSgd(Spec(0, 0), call, how);
    StreamFence();
    EXPECT_EQ(std::memcmp(out.get() + shift, expected.weights.data(), 256 * sizeof(float)), 0);
  }
}

}  // namespace
}  // namespace weir
