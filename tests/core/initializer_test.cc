// SPDX-License-Identifier: Apache-2.0
#include "core/initializer.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "core/philox.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace weir {
namespace {

using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Kind = InitializerSpec::Kind;

TensorShape Tensor(const std::string& name, std::vector<int64_t> shape, Kind kind, double a = 0,
                   double b = 0) {
  TensorShape tensor;
  tensor.name = name;
  tensor.shape = std::move(shape);
  tensor.initializer.kind = kind;
  tensor.initializer.a = a;
  tensor.initializer.b = b;
  return tensor;
}

std::vector<float> Values(const TensorShape& tensor, uint64_t seed, uint64_t offset, size_t count) {
  std::vector<float> out(count);
  Initialize(tensor, seed, offset, count, out.data());
  return out;
}

// Known answers of Random123's kat_vectors for philox4x32 with 10 rounds.
TEST(PhiloxTest, GivesTheKnownAnswersOfRandom123) {
  EXPECT_THAT(Philox4x32({0, 0, 0, 0}, {0, 0}),
              ElementsAre(0x6627e8d5u, 0xe169c58du, 0xbc57ac4cu, 0x9b00dbd8u));
  EXPECT_THAT(
      Philox4x32({0xffffffffu, 0xffffffffu, 0xffffffffu, 0xffffffffu}, {0xffffffffu, 0xffffffffu}),
      ElementsAre(0x408f276du, 0x41c83b0eu, 0xa20bc7c6u, 0x6d5451fdu));
  EXPECT_THAT(
      Philox4x32({0x243f6a88u, 0x85a308d3u, 0x13198a2eu, 0x03707344u}, {0xa4093822u, 0x299f31d0u}),
      ElementsAre(0xd16cfe09u, 0x94fdccebu, 0x5001e420u, 0x24126ea1u));
}

constexpr Kind kRandomKinds[] = {Kind::kUniform, Kind::kNormal, Kind::kXavierUniform,
                                 Kind::kHeNormal};

TEST(InitializerTest, EverySliceGivesTheValuesOfTheWhole) {
  for (Kind kind : kRandomKinds) {
    const TensorShape tensor = Tensor("layer1/weights", {9, 7}, kind, -1, 2);
    const std::vector<float> whole = Values(tensor, 42, 0, 63);
    for (uint64_t offset = 0; offset <= 63; ++offset) {
      for (size_t count = 0; count <= 63 - offset; ++count) {
        ASSERT_EQ(Values(tensor, 42, offset, count),
                  std::vector<float>(whole.begin() + offset, whole.begin() + offset + count));
      }
    }
  }
}

TEST(InitializerTest, SeedNameAndIndexAllMatter) {
  const TensorShape tensor = Tensor("a", {1 << 20, 1 << 20}, Kind::kUniform, 0, 1);
  TensorShape other_name = tensor;
  other_name.name = "b";
  const std::vector<float> values = Values(tensor, 1, 0, 8);
  EXPECT_NE(Values(tensor, 2, 0, 8), values);
  EXPECT_NE(Values(tensor, 1 + (uint64_t{1} << 32), 0, 8), values);
  EXPECT_NE(Values(other_name, 1, 0, 8), values);
  EXPECT_NE(Values(tensor, 1, uint64_t{1} << 34, 8), values);
  EXPECT_NE(Values(tensor, 1, uint64_t{1} << 36, 8), Values(tensor, 1, uint64_t{1} << 34, 8));
  EXPECT_EQ(Values(tensor, 1, 0, 8), values);
}

TEST(InitializerTest, ZerosAndConstantAreJustThat) {
  EXPECT_THAT(Values(Tensor("b", {70}, Kind::kZeros), 1, 3, 67), Each(0.0f));
  EXPECT_THAT(Values(Tensor("b", {70}, Kind::kConstant, 0.1), 1, 3, 67), Each(0.1f));
}

struct Moments {
  double mean = 0;
  double variance = 0;
  double kurtosis = 0;
  double lag1 = 0;  // correlation of neighbours
};

Moments MomentsOf(const std::vector<float>& x) {
  Moments m;
  const double n = static_cast<double>(x.size());
  for (float v : x) m.mean += v / n;
  for (float v : x) m.variance += (v - m.mean) * (v - m.mean) / n;
  for (float v : x) m.kurtosis += std::pow((v - m.mean), 4) / n;
  m.kurtosis /= m.variance * m.variance;
  for (size_t i = 0; i + 1 < x.size(); ++i) m.lag1 += (x[i] - m.mean) * (x[i + 1] - m.mean) / n;
  m.lag1 /= m.variance;
  return m;
}

// Largest distance between the values' distribution and `cdf`, times sqrt(n): above 1.95 once in a
// thousand seeds.
template <class Cdf>
double KolmogorovSmirnov(std::vector<float> x, Cdf cdf) {
  std::sort(x.begin(), x.end());
  const double n = static_cast<double>(x.size());
  double distance = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    const double p = cdf(x[i]);
    distance = std::max({distance, std::abs(p - i / n), std::abs(p - (i + 1) / n)});
  }
  return distance * std::sqrt(n);
}

constexpr size_t kMany = 1 << 20;

TEST(InitializerTest, UniformHasItsMomentsItsDistributionAndItsBounds) {
  const auto x = Values(Tensor("u", {kMany}, Kind::kUniform, -1, 3), 7, 0, kMany);
  const Moments m = MomentsOf(x);
  EXPECT_NEAR(m.mean, 1, 4 * std::sqrt(16.0 / 12 / kMany));
  EXPECT_NEAR(m.variance, 16.0 / 12, 0.01);
  EXPECT_NEAR(m.kurtosis, 1.8, 0.01);
  EXPECT_NEAR(m.lag1, 0, 4 / std::sqrt(kMany));
  EXPECT_LT(KolmogorovSmirnov(x, [](double v) { return (v + 1) / 4; }), 1.95);
  EXPECT_GE(*std::min_element(x.begin(), x.end()), -1.0f);
  EXPECT_LT(*std::max_element(x.begin(), x.end()), 3.0f);
}

TEST(InitializerTest, NormalHasItsMomentsAndItsDistribution) {
  const auto x = Values(Tensor("n", {kMany}, Kind::kNormal, 2, 0.5), 7, 0, kMany);
  const Moments m = MomentsOf(x);
  EXPECT_NEAR(m.mean, 2, 4 * 0.5 / std::sqrt(kMany));
  EXPECT_NEAR(m.variance, 0.25, 0.25 * 4 * std::sqrt(2.0 / kMany));
  EXPECT_NEAR(m.kurtosis, 3, 4 * std::sqrt(24.0 / kMany));
  EXPECT_NEAR(m.lag1, 0, 4 / std::sqrt(kMany));
  EXPECT_LT(KolmogorovSmirnov(x, [](double v) { return std::erfc((2 - v) / 0.5 / M_SQRT2) / 2; }),
            1.95);
}

TEST(InitializerTest, XavierIsUniformWithinItsLimit) {
  const auto x = Values(Tensor("w", {512, 2048}, Kind::kXavierUniform), 3, 0, kMany);
  const double limit = std::sqrt(6.0 / (512 + 2048));
  EXPECT_LT(*std::max_element(x.begin(), x.end()), limit);
  EXPECT_GE(*std::min_element(x.begin(), x.end()), static_cast<float>(-limit));
  EXPECT_NEAR(MomentsOf(x).variance, limit * limit / 3, limit * limit * 0.002);
  EXPECT_LT(KolmogorovSmirnov(x, [&](double v) { return (v + limit) / (2 * limit); }), 1.95);
}

TEST(InitializerTest, HeHasTheVarianceTwoOverFanIn) {
  const auto x = Values(Tensor("w", {2048, 512}, Kind::kHeNormal), 3, 0, kMany);
  const Moments m = MomentsOf(x);
  EXPECT_NEAR(m.mean, 0, 4 * std::sqrt(2.0 / 2048 / kMany));
  EXPECT_NEAR(m.variance, 2.0 / 2048, 2.0 / 2048 * 4 * std::sqrt(2.0 / kMany));
}

TEST(InitializerTest, UniformOfANarrowRangeStaysBelowItsEnd) {
  const float end = std::nextafter(std::nextafter(1.0f, 2.0f), 2.0f);
  const auto x = Values(Tensor("u", {10000}, Kind::kUniform, 1, end), 1, 0, 10000);
  EXPECT_EQ(*std::min_element(x.begin(), x.end()), 1.0f);
  EXPECT_EQ(*std::max_element(x.begin(), x.end()), std::nextafter(1.0f, 2.0f));
  EXPECT_THAT(Values(Tensor("u", {9}, Kind::kUniform, 1, 1), 1, 0, 9), Each(1.0f));
}

TEST(InitializerTest, FansAreInputsByOutputs) {
  const auto fans = [](std::vector<int64_t> shape) {
    const Fans f = FansOf(shape);
    return std::vector<double>{f.in, f.out};
  };
  EXPECT_THAT(fans({}), ElementsAre(1, 1));
  EXPECT_THAT(fans({10}), ElementsAre(10, 10));
  EXPECT_THAT(fans({64, 10}), ElementsAre(64, 10));
  EXPECT_THAT(fans({3, 3, 16, 32}), ElementsAre(144, 32));
}

void ExpectInvalid(Kind kind, double a, double b, const std::string& why) {
  const absl::Status status = ValidateInitializer({kind, a, b});
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << why;
  EXPECT_THAT(std::string(status.message()), HasSubstr(why));
}

TEST(InitializerTest, NumbersOutOfRangeAreRefused) {
  constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
  ExpectInvalid(Kind::kConstant, kNan, 0, "a is nan");
  ExpectInvalid(Kind::kConstant, 1e39, 0, "a is 1e+39");
  ExpectInvalid(Kind::kUniform, 0, kNan, "b is nan");
  ExpectInvalid(Kind::kUniform, 2, 1, "a is 2, above b, which is 1");
  ExpectInvalid(Kind::kNormal, 0, -1, "deviation, is -1");
  ExpectInvalid(static_cast<Kind>(99), 0, 0, "kind 99");
  ExpectInvalid(static_cast<Kind>(-1), 0, 0, "kind -1");
  EXPECT_TRUE(ValidateInitializer({Kind::kHeNormal, kNan, kNan}).ok());
  EXPECT_TRUE(ValidateInitializer({Kind::kUniform, -1, 1}).ok());
}

}  // namespace
}  // namespace weir
