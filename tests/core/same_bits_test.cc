// SPDX-License-Identifier: Apache-2.0

// The servers' arithmetic gives the same bits with every vector width, and in every build: each
// digest below covers one kernel's outputs, is computed with Highway limited to SSE4, AVX2 and
// AVX-512, and is compared with a constant, so that the g++, clang, debug and sanitizer builds are
// compared with one another too.
//
// A constant changes only when the arithmetic changes on purpose; runs of older builds are then no
// longer reproduced, so say it in the release notes. The failure message prints the new value.
#include <xxhash.h>

#include <cstdint>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "core/codec.h"
#include "core/initializer.h"
#include "core/kernel_target.h"
#include "core/optimizer.h"
#include "core/portable_math.h"
#include "core/schedule.h"
#include "core/tensor_sum.h"
#include "gtest/gtest.h"
#include "hwy/targets.h"
#include "tests/core/random_floats.h"

namespace weir {
namespace {

constexpr size_t kCount = 1003;  // not a multiple of any vector's length

class Digest {
 public:
  void Add(const std::vector<float>& x) {
    hash_ = XXH64(x.data(), x.size() * sizeof(float), hash_);
  }
  void Add(const std::string& x) { hash_ = XXH64(x.data(), x.size(), hash_); }
  void Add(double x) { hash_ = XXH64(&x, sizeof x, hash_); }
  uint64_t value() const { return hash_; }

 private:
  uint64_t hash_ = 0;
};

// Gradients over many magnitudes, subnormal results among them.
std::vector<float> Gradient(TestRandom* random) {
  std::vector<float> g = random->Floats(kCount, -3, 3);
  for (size_t i = 0; i < g.size(); i += 3) g[i] *= 0x1p-70f;
  for (size_t i = 1; i < g.size(); i += 7) g[i] *= 0x1p-130f;
  return g;
}

uint64_t OptimizerDigest(OptimizerType type) {
  TestRandom random(2026);
  OptimizerSpec spec;
  spec.type = type;
  spec.weight_decay = 0.01;
  spec.clip_value = 0.9;
  std::vector<float> weights = random.Floats(kCount, -1, 1);
  std::vector<float> state[2];
  for (auto& s : state) s.assign(kCount, 0.0f);
  Digest digest;
  for (uint64_t update = 1; update <= 50; ++update) {
    const std::vector<float> gradient = Gradient(&random);
    ApplyCall call;
    call.gradient = gradient.data();
    call.scale = 1.0f / 3;
    call.learning_rate = 0.05f;
    call.update = update;
    call.weights = weights.data();
    call.weights_out = weights.data();
    for (int s = 0; s < 2; ++s) {
      call.state[s] = state[s].data();
      call.state_out[s] = state[s].data();
    }
    call.count = kCount;
    Apply(spec, call);
    digest.Add(weights);
  }
  digest.Add(state[0]);
  digest.Add(state[1]);
  return digest.value();
}

uint64_t SumDigest() {
  TestRandom random(7);
  const std::vector<float> a = Gradient(&random);
  const std::vector<float> b = Gradient(&random);
  std::vector<float> out(kCount);
  Digest digest;
  Sum(a.data(), b.data(), out.data(), kCount);
  digest.Add(out);
  Scale(a.data(), 1.0f / 7, out.data(), kCount);
  digest.Add(out);
  CopyChecked(b.data(), out.data(), kCount);
  digest.Add(out);
  digest.Add(SumOfSquares(a.data(), kCount));
  return digest.value();
}

// What a codec writes and reads, NaN and infinity, the largest and the smallest values among them.
uint64_t CodecDigest(Codec codec) {
  TestRandom random(13);
  std::vector<float> x = Gradient(&random);
  for (size_t i = 0; i < 24; ++i) {
    const uint32_t bits = static_cast<uint32_t>(random.Next());
    std::memcpy(&x[500 + i], &bits, sizeof bits);
  }
  x[700] = std::numeric_limits<float>::max();
  x[900] = -std::numeric_limits<float>::infinity();
  x[901] = -std::numeric_limits<float>::quiet_NaN();
  std::string encoded(EncodedBytes(codec, kCount), 0);
  std::vector<float> decoded(kCount);
  Digest digest;
  Encode(codec, x.data(), kCount, encoded.data());
  digest.Add(encoded);
  Decode(codec, encoded.data(), kCount, decoded.data());
  digest.Add(decoded);
  return digest.value();
}

uint64_t FeedbackDigest() {
  TestRandom random(17);
  std::vector<float> residual(kCount, 0.0f);
  std::string encoded(EncodedBytes(Codec::kInt8, kCount), 0);
  Digest digest;
  for (int push = 0; push < 20; ++push) {
    EncodeInt8WithFeedback(Gradient(&random).data(), residual.data(), kCount, encoded.data());
    digest.Add(encoded);
    digest.Add(residual);
  }
  return digest.value();
}

uint64_t InitializerDigest() {
  using Kind = InitializerSpec::Kind;
  Digest digest;
  for (Kind kind : {Kind::kZeros, Kind::kConstant, Kind::kUniform, Kind::kNormal,
                    Kind::kXavierUniform, Kind::kHeNormal}) {
    TensorShape tensor;
    tensor.name = "layer/weights";
    tensor.shape = {4096, 64};
    tensor.initializer = {kind, -0.3, 0.7};
    std::vector<float> out(200000);
    Initialize(tensor, 0x123456789ABCDEFu, 17, out.size(), out.data());
    digest.Add(out);
  }
  return digest.value();
}

uint64_t ScheduleDigest() {
  Digest digest;
  for (ScheduleType type : {ScheduleType::kConstant, ScheduleType::kStep, ScheduleType::kCosine}) {
    ScheduleSpec spec;
    spec.type = type;
    spec.base_rate = 0.3;
    spec.warmup_steps = 13;
    spec.every = 31;
    spec.gamma = 0.7;
    spec.total_steps = 1000;
    spec.min_rate = 0.001;
    for (uint64_t step = 0; step < 1100; ++step) digest.Add(LearningRate(spec, step));
  }
  return digest.value();
}

uint64_t MathDigest() {
  TestRandom random(11);
  Digest digest;
  for (int i = 0; i < 100000; ++i) {
    digest.Add(PortableLog(random.Uniform(0x1p-40, 4)));
    const CosSin at = PortableCosSin(random.Uniform(-2, 2));
    digest.Add(at.cos);
    digest.Add(at.sin);
  }
  return digest.value();
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

class SameBitsTest : public ::testing::TestWithParam<int64_t> {
 protected:
  void SetUp() override {
    if ((hwy::SupportedTargets() & GetParam()) == 0) {
      GTEST_SKIP() << "this host has no " << hwy::TargetName(GetParam());
    }
  }
};

INSTANTIATE_TEST_SUITE_P(Targets, SameBitsTest, ::testing::Values(HWY_SSE4, HWY_AVX2, HWY_AVX3),
                         [](const auto& info) { return std::string(hwy::TargetName(info.param)); });

TEST_P(SameBitsTest, OptimizersGiveTheRecordedBits) {
  const OnlyTarget only(GetParam());
  ASSERT_STREQ(KernelTarget(), hwy::TargetName(GetParam()));
  EXPECT_EQ(OptimizerDigest(OptimizerType::kSgd), 12827576546109144821u);
  EXPECT_EQ(OptimizerDigest(OptimizerType::kMomentum), 7475573533714734041u);
  EXPECT_EQ(OptimizerDigest(OptimizerType::kNesterov), 5403154251878214156u);
  EXPECT_EQ(OptimizerDigest(OptimizerType::kAdagrad), 731158728413315242u);
  EXPECT_EQ(OptimizerDigest(OptimizerType::kRmsProp), 2568218488405367078u);
  EXPECT_EQ(OptimizerDigest(OptimizerType::kAdam), 18099812720278395899u);
  EXPECT_EQ(OptimizerDigest(OptimizerType::kAdamW), 4930134531342407822u);
}

TEST_P(SameBitsTest, SumsGiveTheRecordedBits) {
  const OnlyTarget only(GetParam());
  ASSERT_STREQ(KernelTarget(), hwy::TargetName(GetParam()));
  EXPECT_EQ(SumDigest(), 15443578566276262216u);
}

TEST_P(SameBitsTest, CodecsGiveTheRecordedBits) {
  const OnlyTarget only(GetParam());
  ASSERT_STREQ(KernelTarget(), hwy::TargetName(GetParam()));
  EXPECT_EQ(CodecDigest(Codec::kF16), 5002724200441597273u);
  EXPECT_EQ(CodecDigest(Codec::kBf16), 14435855220182880283u);
  EXPECT_EQ(CodecDigest(Codec::kInt8), 16169778185292316971u);
  EXPECT_EQ(FeedbackDigest(), 4017814327011693035u);
}

TEST_P(SameBitsTest, InitialisersSchedulesAndFunctionsGiveTheRecordedBits) {
  const OnlyTarget only(GetParam());
  EXPECT_EQ(InitializerDigest(), 7356659317071814498u);
  EXPECT_EQ(ScheduleDigest(), 4751757358560314157u);
  EXPECT_EQ(MathDigest(), 13439508901943434979u);
}

}  // namespace
}  // namespace weir
