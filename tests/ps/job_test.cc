// SPDX-License-Identifier: Apache-2.0
#include "ps/job.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <memory>
#include <random>
#include <string>

#include "core/codec.h"
#include "core/initializer.h"
#include "core/tensor_sum.h"

namespace weir {
namespace {

constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

class JobTest : public testing::Test {
 protected:
  Buffer Filled(const std::vector<float>& values) {
    Buffer buffer = pool.Allocate(values.size() * sizeof(float));
    std::memcpy(buffer.data(), values.data(), values.size() * sizeof(float));
    return buffer;
  }
  Buffer Empty(size_t count) { return pool.Allocate(count * sizeof(float)); }

  static std::vector<float> Random(size_t count, unsigned seed) {
    std::mt19937 random(seed);
    std::normal_distribution<float> normal;
    std::vector<float> values(count);
    for (float& value : values) value = normal(random);
    return values;
  }

  static std::vector<float> Read(const Buffer& buffer) {
    return {buffer.floats(), buffer.floats() + buffer.size() / sizeof(float)};
  }

  static std::string Bytes(const Buffer& buffer) { return {buffer.data(), buffer.size()}; }

  // The bytes of `values` in chunks of 1 to `longest` bytes, each in a block of its own.
  static Payload Cut(const std::vector<float>& values, size_t longest, unsigned seed) {
    const char* bytes = reinterpret_cast<const char*>(values.data());
    return CutBytes(std::string(bytes, values.size() * sizeof(float)), longest, seed);
  }
  static Payload CutBytes(const std::string& bytes, size_t longest, unsigned seed) {
    std::mt19937 random(seed);
    const size_t size = bytes.size();
    Payload payload;
    for (size_t at = 0; at < size;) {
      const size_t length = std::min<size_t>(size - at, 1 + random() % longest);
      auto chunk = std::make_shared<std::string>(bytes, at, length);
      payload.Append(chunk->data(), length, chunk);
      at += length;
    }
    return payload;
  }

  static Payload Whole(const std::vector<float>& values) {
    const auto owner = std::make_shared<std::vector<float>>(values);
    Payload payload;
    payload.Append(reinterpret_cast<const char*>(owner->data()), owner->size() * sizeof(float),
                   owner);
    return payload;
  }

  Job FoldOf(const Payload& gradient, size_t count) {
    Job job;
    job.count = count;
    FoldJob fold;
    fold.gradient = gradient;
    fold.sum_out = Empty(count);
    job.work = fold;
    return job;
  }

  Job ApplyOf(const Payload& gradient, size_t count) {
    Job job;
    job.count = count;
    FoldJob fold;
    fold.gradient = gradient;
    fold.apply = true;
    fold.optimizer.type = OptimizerType::kAdam;
    fold.scale = 0.25f;
    fold.learning_rate = 0.1f;
    fold.update = 3;
    fold.weights = Filled(Random(count, 90));
    fold.state = {Filled(Random(count, 91)), Filled(std::vector<float>(count, 0.5f))};
    fold.weights_out = Empty(count);
    fold.state_out = {Empty(count), Empty(count)};
    job.work = fold;
    return job;
  }

  static FoldJob& Fold(Job& job) { return std::get<FoldJob>(job.work); }

  BufferPool pool;
};

TEST_F(JobTest, InitFillsTheSliceFromTheTensorsInitializerAndTheStateWithZeros) {
  auto tensor = std::make_shared<TensorShape>(
      TensorShape{"w", {100}, {InitializerSpec::Kind::kNormal, 0, 1}});
  std::vector<float> expected(100);
  Initialize(*tensor, 7, 0, 100, expected.data());
  Job job;
  job.count = 30;
  job.work =
      InitJob{tensor, 7, 50, {}, Empty(30), Codec::kF32, {}, {Filled(Random(30, 1)), Buffer()}};
  EXPECT_EQ(RunJob(job).fault, JobFault::kNone);
  const InitJob& init = std::get<InitJob>(job.work);
  EXPECT_EQ(Read(init.weights_out),
            std::vector<float>(expected.begin() + 50, expected.begin() + 80));
  EXPECT_EQ(Read(init.state_out[0]), std::vector<float>(30, 0.0f));
}

TEST_F(JobTest, InitTakesGivenWeightsWhereverTheyAreCutAndRefusesNaN) {
  std::vector<float> given = Random(1000, 4);
  Job job;
  job.count = 1000;
  job.work = InitJob{nullptr, 7, 0, Cut(given, 7, 1), Empty(1000), Codec::kF32, {}, {}};
  EXPECT_EQ(RunJob(job).fault, JobFault::kNone);
  EXPECT_EQ(Read(std::get<InitJob>(job.work).weights_out), given);
  given[999] = kNaN;
  std::get<InitJob>(job.work).source = Cut(given, 7, 1);
  EXPECT_EQ(RunJob(job).fault, JobFault::kNonFiniteGradient);
}

TEST_F(JobTest, HoldCopiesAGradientWhereverItIsCut) {
  const std::vector<float> gradient = Random(5000, 2);
  for (const size_t longest : {1, 3, 4, 5, 63, 4096, 70000}) {
    Job job = FoldOf(Cut(gradient, longest, 5), 5000);
    EXPECT_EQ(RunJob(job).fault, JobFault::kNone);
    EXPECT_EQ(Read(Fold(job).sum_out), gradient);
  }
}

TEST_F(JobTest, AddendsAreLeftOrRightOperandsInOrder) {
  // In floats (1e8 + 1) - 1e8 is 0 and 1 + (1e8 - 1e8) is 1: the order shows.
  Job job = FoldOf(Whole({1.0f, 1.0f}), 2);
  Fold(job).addends = {{Filled({1e8f, 1e8f}), true}, {Filled({-1e8f, 3.0f}), false}};
  EXPECT_EQ(RunJob(job).fault, JobFault::kNone);
  EXPECT_EQ(Read(Fold(job).sum_out),
            (std::vector<float>{(1e8f + 1.0f) - 1e8f, (1e8f + 1.0f) + 3.0f}));
}

TEST_F(JobTest, AFoldEqualsTheSameSumsOfWholeArraysWhereverTheGradientIsCut) {
  const size_t count = 10001;
  const std::vector<float> gradient = Random(count, 3);
  const Buffer left = Filled(Random(count, 4));
  const Buffer right = Filled(Random(count, 5));
  std::vector<float> sum(count);
  Sum(left.floats(), gradient.data(), sum.data(), count);
  Sum(sum.data(), right.floats(), sum.data(), count);
  Job plain = ApplyOf(Whole(sum), count);
  EXPECT_EQ(RunJob(plain).fault, JobFault::kNone);
  for (const size_t longest : {3, 1000, 65536, 1 << 20}) {
    Job hold = FoldOf(Cut(gradient, longest, 9), count);
    Fold(hold).addends = {{left, true}, {right, false}};
    EXPECT_EQ(RunJob(hold).fault, JobFault::kNone);
    EXPECT_EQ(Read(Fold(hold).sum_out), sum);
    Job apply = ApplyOf(Cut(gradient, longest, 9), count);
    Fold(apply).addends = {{left, true}, {right, false}};
    EXPECT_EQ(RunJob(apply).fault, JobFault::kNone);
    EXPECT_EQ(Read(Fold(apply).weights_out), Read(Fold(plain).weights_out));
    EXPECT_EQ(Read(Fold(apply).state_out[0]), Read(Fold(plain).state_out[0]));
    EXPECT_EQ(Read(Fold(apply).state_out[1]), Read(Fold(plain).state_out[1]));
  }
}

TEST_F(JobTest, ApplyLeavesWhatItReadsAlone) {
  Job job = ApplyOf(Whole(Random(100, 1)), 100);
  const std::vector<float> weights = Read(Fold(job).weights);
  const std::vector<float> state = Read(Fold(job).state[0]);
  const Buffer held = Filled(Random(100, 2));
  const std::vector<float> held_before = Read(held);
  Fold(job).addends = {{held, true}};
  RunJob(job);
  EXPECT_EQ(Read(Fold(job).weights), weights);
  EXPECT_EQ(Read(Fold(job).state[0]), state);
  EXPECT_EQ(Read(held), held_before);
}

TEST_F(JobTest, WithoutAGradientTheStartIsFolded) {
  Job job = FoldOf(Payload(), 2);
  Fold(job).start = Filled({1, 2});
  Fold(job).addends = {{Filled({10, 20}), true}};
  EXPECT_EQ(RunJob(job).fault, JobFault::kNone);
  EXPECT_EQ(Read(Fold(job).sum_out), (std::vector<float>{11, 22}));
}

TEST_F(JobTest, NonFiniteGradientsAreSeenOnEveryPath) {
  for (const float poison :
       {kNaN, std::numeric_limits<float>::infinity(), -std::numeric_limits<float>::infinity()}) {
    for (const size_t at : {0, 500, 4999}) {
      std::vector<float> gradient = Random(5000, 8);
      gradient[at] = poison;
      Job hold = FoldOf(Cut(gradient, 1001, 1), 5000);
      EXPECT_EQ(RunJob(hold).fault, JobFault::kNonFiniteGradient);
      Job apply = ApplyOf(Cut(gradient, 1001, 1), 5000);
      EXPECT_EQ(RunJob(apply).fault, JobFault::kNonFiniteGradient);
      for (const bool is_left : {false, true}) {
        Job merge = FoldOf(Cut(gradient, 1001, 1), 5000);
        Fold(merge).addends = {{Filled(Random(5000, 1)), is_left}};
        EXPECT_EQ(RunJob(merge).fault, JobFault::kNonFiniteGradient);
      }
    }
  }
}

TEST_F(JobTest, ASumThatOverflowsIsToldFromAPoisonedGradient) {
  Job job = FoldOf(Whole({3e38f}), 1);
  Fold(job).addends = {{Filled({3e38f}), true}};
  EXPECT_EQ(RunJob(job).fault, JobFault::kSumOverflow);
}

TEST_F(JobTest, AnUpdateThatOverflowsTheWeightsIsRefused) {
  Job job = ApplyOf(Whole({3e38f}), 1);
  Fold(job).optimizer.type = OptimizerType::kSgd;
  Fold(job).scale = 1;
  Fold(job).learning_rate = 1e10f;
  EXPECT_EQ(RunJob(job).fault, JobFault::kNonFiniteResult);
}

TEST_F(JobTest, EveryFaultHasASentence) {
  for (const JobFault fault : {JobFault::kNone, JobFault::kNonFiniteGradient,
                               JobFault::kSumOverflow, JobFault::kNonFiniteResult}) {
    EXPECT_STRNE(JobFaultSentence(fault), "unknown fault");
  }
}

constexpr Codec kEncodings[] = {Codec::kF16, Codec::kBf16, Codec::kInt8};

std::string Encoded(Codec codec, const std::vector<float>& x) {
  std::string out(EncodedBytes(codec, x.size()), 0);
  Encode(codec, x.data(), x.size(), out.data());
  return out;
}

std::vector<float> Decoded(Codec codec, const std::string& bytes, size_t count) {
  std::vector<float> out(count);
  Decode(codec, bytes.data(), count, out.data());
  return out;
}

TEST_F(JobTest, AnEncodedGradientFoldsLikeWhatItDecodesToWhereverItIsCut) {
  const size_t count = 10001;
  for (const Codec codec : kEncodings) {
    const std::string bytes = Encoded(codec, Random(count, 3));
    const std::vector<float> decoded = Decoded(codec, bytes, count);
    const Buffer held = Filled(Random(count, 4));
    for (const size_t longest : {5, 1000, 70000}) {
      for (const bool adds : {false, true}) {
        std::vector<Addend> addends;
        if (adds) addends.push_back({held, true});
        Job plain = FoldOf(Whole(decoded), count);
        Job encoded = FoldOf(CutBytes(bytes, longest, 7), count);
        Job plain_apply = ApplyOf(Whole(decoded), count);
        Job encoded_apply = ApplyOf(CutBytes(bytes, longest, 8), count);
        Fold(encoded).codec = Fold(encoded_apply).codec = codec;
        for (Job* job : {&plain, &encoded, &plain_apply, &encoded_apply}) {
          Fold(*job).addends = addends;
          EXPECT_EQ(RunJob(*job).fault, JobFault::kNone);
        }
        EXPECT_EQ(Read(Fold(encoded).sum_out), Read(Fold(plain).sum_out)) << CodecName(codec);
        EXPECT_EQ(Read(Fold(encoded_apply).weights_out), Read(Fold(plain_apply).weights_out));
        EXPECT_EQ(Read(Fold(encoded_apply).state_out[1]), Read(Fold(plain_apply).state_out[1]));
      }
    }
  }
}

TEST_F(JobTest, ACommitEncodesItsWeightsAsAWholeWhereverTheGradientIsCut) {
  for (const size_t count : {1, 127, 129, 5000, 10001}) {
    for (const Codec codec : kEncodings) {
      for (const size_t longest : {5, 1000, 70000}) {
        Job plain = ApplyOf(Whole(Random(count, 3)), count);
        RunJob(plain);
        Job job = ApplyOf(Cut(Random(count, 3), longest, 9), count);
        Fold(job).pull_codec = codec;
        Fold(job).encoded_out = pool.Allocate(EncodedBytes(codec, count));
        EXPECT_EQ(RunJob(job).fault, JobFault::kNone);
        EXPECT_EQ(Read(Fold(job).weights_out), Read(Fold(plain).weights_out));
        EXPECT_EQ(Bytes(Fold(job).encoded_out), Encoded(codec, Read(Fold(job).weights_out)))
            << CodecName(codec) << ' ' << count;
      }
    }
  }
}

TEST_F(JobTest, SgdMakesTheSameWeightsWhateverTheGradientAndTheValuesAreEncodedIn) {
  for (const size_t count : {1, 129, 5000, 20001}) {
    for (const Codec pushed : {Codec::kF32, Codec::kF16, Codec::kBf16, Codec::kInt8}) {
      const std::string bytes = Encoded(pushed, Random(count, 3));
      Job plain = ApplyOf(Whole(Decoded(pushed, bytes, count)), count);
      Fold(plain).optimizer.type = OptimizerType::kSgd;
      EXPECT_EQ(RunJob(plain).fault, JobFault::kNone);
      for (const Codec pulled : {Codec::kF32, Codec::kF16, Codec::kBf16, Codec::kInt8}) {
        for (const size_t longest : {5, 1000, 70000}) {
          Job job = ApplyOf(CutBytes(bytes, longest, 9), count);
          Fold(job).optimizer.type = OptimizerType::kSgd;
          Fold(job).codec = pushed;
          Fold(job).pull_codec = pulled;
          const bool encodes = pulled != Codec::kF32;
          if (encodes) Fold(job).encoded_out = pool.Allocate(EncodedBytes(pulled, count));
          EXPECT_EQ(RunJob(job).fault, JobFault::kNone);
          EXPECT_EQ(Read(Fold(job).weights_out), Read(Fold(plain).weights_out))
              << CodecName(pushed) << ' ' << count << ' ' << longest;
          if (!encodes) continue;
          EXPECT_EQ(Bytes(Fold(job).encoded_out), Encoded(pulled, Read(Fold(job).weights_out)))
              << CodecName(pushed) << ' ' << CodecName(pulled) << ' ' << count;
        }
      }
    }
  }
}

TEST_F(JobTest, SgdNamesPoisonAndOverflowOfAnEncodedGradient) {
  for (const Codec codec : kEncodings) {
    std::vector<float> gradient = Random(5000, 2);
    const auto fault = [&] {
      Job job = ApplyOf(CutBytes(Encoded(codec, gradient), 99, 3), 5000);
      Fold(job).optimizer.type = OptimizerType::kSgd;
      Fold(job).codec = codec;
      Fold(job).pull_codec = codec;
      Fold(job).encoded_out = pool.Allocate(EncodedBytes(codec, 5000));
      Fold(job).learning_rate = 3e38f;
      return RunJob(job).fault;
    };
    gradient[4999] = 60000;
    EXPECT_EQ(fault(), JobFault::kNonFiniteResult) << CodecName(codec);
    gradient[4999] = kNaN;
    EXPECT_EQ(fault(), JobFault::kNonFiniteGradient) << CodecName(codec);
  }
}

TEST_F(JobTest, InitEncodesTheFirstWeights) {
  const std::vector<float> given = Random(1000, 4);
  for (const Codec codec : kEncodings) {
    Job job;
    job.count = 1000;
    const Buffer encoded = pool.Allocate(EncodedBytes(codec, 1000));
    job.work = InitJob{nullptr, 7, 0, Cut(given, 7, 1), Empty(1000), codec, encoded, {}};
    EXPECT_EQ(RunJob(job).fault, JobFault::kNone);
    EXPECT_EQ(Bytes(encoded), Encoded(codec, given));
  }
}

TEST_F(JobTest, PoisonInAnEncodedGradientIsNamedWhereverItIs) {
  for (const Codec codec : kEncodings) {
    for (const size_t at : {0, 130, 4999}) {
      std::vector<float> gradient = Random(5000, 2);
      gradient[at] = kNaN;
      for (Job job : {FoldOf(CutBytes(Encoded(codec, gradient), 99, 3), 5000),
                      ApplyOf(CutBytes(Encoded(codec, gradient), 99, 3), 5000)}) {
        Fold(job).codec = codec;
        EXPECT_EQ(RunJob(job).fault, JobFault::kNonFiniteGradient) << CodecName(codec) << at;
      }
    }
  }
}

TEST_F(JobTest, AnInt8GradientWithAScaleThatNoEncoderWritesIsPoison) {
  for (const uint32_t bits : {0xBF800000u, 0x7FC00000u, 0x7F800000u, 1u, 0x7F7FFFFFu}) {
    std::string bytes = Encoded(Codec::kInt8, std::vector<float>(300, 1.0f));
    std::memcpy(&bytes[132], &bits, sizeof bits);
    Job job = FoldOf(CutBytes(bytes, 50, 3), 300);
    Fold(job).codec = Codec::kInt8;
    EXPECT_EQ(RunJob(job).fault, JobFault::kNonFiniteGradient) << std::hex << bits;
  }
}

}  // namespace
}  // namespace weir
