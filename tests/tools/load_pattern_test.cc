// SPDX-License-Identifier: Apache-2.0
#include "tools/load_pattern.h"

#include <vector>

#include "gtest/gtest.h"

namespace weir {
namespace {

constexpr double kRate = 1.0 / 1024;

// The weights of elements [first, first + count) after `version` pushes, each added on its own.
std::vector<float> Trained(uint64_t first, size_t count, uint64_t version) {
  std::vector<float> weights(count, 0.0f);
  for (uint64_t v = 0; v < version; ++v) {
    for (size_t i = 0; i < count; ++i)
      weights[i] -= static_cast<float>(kRate) * LoadGradient(first + i);
  }
  return weights;
}

TEST(LoadPatternTest, AFilledRangeIsTheFormulaElementByElement) {
  std::vector<float> filled(3000);
  FillGradient(77, filled.size(), filled.data());
  for (size_t i = 0; i < filled.size(); ++i) ASSERT_EQ(filled[i], LoadGradient(77 + i)) << i;
  EXPECT_EQ(LoadGradient(0), 127);
  EXPECT_EQ(LoadGradient(256), 127);
  EXPECT_EQ(LoadGradient(6), 7);
  EXPECT_EQ(LoadGradient(kPatternElements + 5), LoadGradient(5));
}

TEST(LoadPatternTest, WhatPlainSgdMakesIsRightAtEveryOffsetAndLength) {
  PatternCheck check(kRate, Codec::kF32);
  for (const uint64_t first : {0, 128, 895, 896, 100000}) {
    for (const size_t count : {1, 127, 896, 897, 3000}) {
      const std::vector<float> weights = Trained(first, count, 5);
      EXPECT_EQ(check.CountWrong(weights.data(), first, count, 5), 0u);
      EXPECT_EQ(check.CountWrong(weights.data(), first, count, 6), count);
    }
  }
}

TEST(LoadPatternTest, EveryWrongValueIsCountedOnce) {
  PatternCheck check(kRate, Codec::kF32);
  std::vector<float> weights = Trained(384, 4000, 3);
  for (const size_t wrong : {0, 895, 896, 2500, 3999}) weights[wrong] += 1;
  EXPECT_EQ(check.CountWrong(weights.data(), 384, weights.size(), 3), 5u);
}

TEST(LoadPatternTest, TheFirstVersionIsZeros) {
  PatternCheck check(kRate, Codec::kF32);
  const std::vector<float> zeros(1000, 0.0f);
  EXPECT_EQ(check.CountWrong(zeros.data(), 0, zeros.size(), 0), 0u);
  const std::vector<float> negative_zeros(1000, -0.0f);
  EXPECT_EQ(check.CountWrong(negative_zeros.data(), 0, zeros.size(), 0), 0u);
}

TEST(LoadPatternTest, WhatACodecCarriesIsRightAndWhatAnotherCarriesIsNot) {
  constexpr uint64_t kVersion = 777;
  const std::vector<float> exact = Trained(128, 1000, kVersion);
  for (const Codec codec : {Codec::kF16, Codec::kBf16, Codec::kInt8}) {
    std::vector<char> wire(EncodedBytes(codec, exact.size()));
    std::vector<float> came(exact.size());
    Encode(codec, exact.data(), exact.size(), wire.data());
    Decode(codec, wire.data(), came.size(), came.data());
    EXPECT_EQ(PatternCheck(kRate, codec).CountWrong(came.data(), 128, came.size(), kVersion), 0u)
        << CodecName(codec);
  }
  EXPECT_GT(PatternCheck(kRate, Codec::kBf16).CountWrong(exact.data(), 128, 1000, kVersion), 0u);
  // Blocks that hold 127 are exact in int8.
  EXPECT_EQ(PatternCheck(kRate, Codec::kInt8).CountWrong(exact.data(), 128, 1000, kVersion), 0u);
}

TEST(LoadPatternTest, BeyondTheLastExactVersionNothingIsRight) {
  PatternCheck check(kRate, Codec::kF32);
  const auto last = static_cast<float>(-static_cast<double>(kLastExactVersion) * kRate * 127);
  EXPECT_EQ(check.CountWrong(&last, 0, 1, kLastExactVersion), 0u);
  EXPECT_EQ(check.CountWrong(&last, 0, 1, kLastExactVersion + 1), 1u);
}

}  // namespace
}  // namespace weir
