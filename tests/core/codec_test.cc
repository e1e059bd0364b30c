// SPDX-License-Identifier: Apache-2.0
#include "core/codec.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "tests/core/codec_reference.h"
#include "tests/core/random_floats.h"

namespace weir {
namespace {

constexpr Codec kCodecs[] = {Codec::kF32, Codec::kF16, Codec::kBf16, Codec::kInt8};
constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kLargest = std::numeric_limits<float>::max();
constexpr char kGuard = 0x5A;

// Values over all magnitudes that the formats treat differently.
std::vector<float> Mixed(TestRandom* random, size_t count) {
  std::vector<float> x = random->Floats(count, -3, 3);
  for (size_t i = 0; i < count; ++i) {
    if (i % 5 == 1) x[i] *= 0x1p-16f;
    if (i % 7 == 2) x[i] *= 0x1p-130f;
    if (i % 11 == 3) x[i] *= 0x1p14f;
    if (i % 257 == 4) x[i] *= 0x1p120f;
  }
  return x;
}

// Encodes to byte `offset` of a buffer whose other bytes must stay as they were.
std::string EncodedAt(Codec codec, const float* x, size_t count, size_t offset, bool* finite) {
  const size_t bytes = EncodedBytes(codec, count);
  std::string buffer(offset + bytes + 64, kGuard);
  *finite = Encode(codec, x, count, buffer.data() + offset);
  EXPECT_EQ(buffer.substr(0, offset), std::string(offset, kGuard));
  EXPECT_EQ(buffer.substr(offset + bytes), std::string(64, kGuard)) << "wrote beyond " << count;
  return buffer.substr(offset, bytes);
}

std::string Encoded(Codec codec, const std::vector<float>& x) {
  bool finite = false;
  return EncodedAt(codec, x.data(), x.size(), 0, &finite);
}

std::vector<float> Decoded(Codec codec, const std::string& in, size_t count) {
  std::vector<float> out(count);
  Decode(codec, in.data(), count, out.data());
  return out;
}

void ExpectSameBits(const std::vector<float>& a, const std::vector<float>& b) {
  ASSERT_EQ(a.size(), b.size());
  for (size_t i = 0; i < a.size(); ++i) {
    ASSERT_EQ(BitsOf(a[i]), BitsOf(b[i])) << i << ": " << a[i] << " is not " << b[i];
  }
}

std::string Int8Block(uint32_t scale_bits, const std::vector<int>& levels) {
  std::string block(sizeof scale_bits, 0);
  std::memcpy(block.data(), &scale_bits, sizeof scale_bits);
  for (const int level : levels) block.push_back(static_cast<char>(static_cast<int8_t>(level)));
  return block;
}

TEST(CodecTest, EveryLengthAtEveryAlignmentIsEncodedAndDecodedAsTheReferenceSays) {
  TestRandom random(1);
  const std::vector<float> untouched(16, 7.0f);
  for (const Codec codec : kCodecs) {
    for (size_t count = 0; count <= 600; ++count) {
      const std::vector<float> x = Mixed(&random, count);
      const std::string encoded = ReferenceEncode(codec, x);
      const std::vector<float> decoded = ReferenceDecode(codec, encoded, count);
      for (size_t offset = 0; offset < 64; ++offset) {
        std::vector<float> floats(16 + count + 16, 7.0f);
        float* const at = floats.data() + offset % 16;
        std::copy(x.begin(), x.end(), at);
        bool finite = false;
        ASSERT_EQ(EncodedAt(codec, at, count, offset, &finite), encoded)
            << CodecName(codec) << ' ' << count << " at " << offset;
        ASSERT_TRUE(finite);
        const std::string bytes = std::string(offset, kGuard) + encoded;
        std::fill(at, at + count, -7.0f);
        Decode(codec, bytes.data() + offset, count, at);
        ASSERT_TRUE(count == 0 || std::memcmp(at, decoded.data(), count * sizeof(float)) == 0)
            << CodecName(codec) << ' ' << count << " at " << offset;
        ASSERT_EQ(std::memcmp(at + count, untouched.data(), 16 * sizeof(float)), 0)
            << "wrote beyond " << count;
      }
    }
  }
}

TEST(CodecTest, PiecesGiveTheBytesOfTheWhole) {
  TestRandom random(3);
  const std::vector<float> x = Mixed(&random, 1000);
  for (const Codec codec : kCodecs) {
    std::string pieces;
    for (size_t i = 0; i < x.size(); i += 256) {
      pieces += Encoded(codec, {x.begin() + i, x.begin() + std::min<size_t>(i + 256, x.size())});
    }
    EXPECT_EQ(pieces, Encoded(codec, x));
  }
}

TEST(CodecTest, SizesAreThoseOfTheContract) {
  EXPECT_EQ(EncodedBytes(Codec::kF32, 10), 40u);
  EXPECT_EQ(EncodedBytes(Codec::kF16, 10), 20u);
  EXPECT_EQ(EncodedBytes(Codec::kBf16, 10), 20u);
  EXPECT_EQ(EncodedBytes(Codec::kInt8, 0), 0u);
  EXPECT_EQ(EncodedBytes(Codec::kInt8, 1), 5u);
  EXPECT_EQ(EncodedBytes(Codec::kInt8, 128), 132u);
  EXPECT_EQ(EncodedBytes(Codec::kInt8, 129), 137u);
  EXPECT_EQ(EncodedBytes(Codec::kInt8, uint64_t{1} << 40), (uint64_t{1} << 33) * 132);
}

TEST(CodecTest, NamesAndNumbersNameTheSameCodecs) {
  for (const Codec codec : kCodecs) {
    EXPECT_TRUE(IsKnownCodec(codec));
    EXPECT_EQ(ParseCodec(CodecName(codec)), codec);
  }
  EXPECT_FALSE(IsKnownCodec(Codec::kUnspecified));
  EXPECT_FALSE(IsKnownCodec(static_cast<Codec>(5)));
  EXPECT_EQ(ParseCodec("fp16"), std::nullopt);
  EXPECT_STREQ(CodecName(static_cast<Codec>(200)), "codec of unknown number");
  EXPECT_EQ(KnownCodecs(), "F32 (1), F16 (2), BF16 (3), INT8 (4)");
}

TEST(CodecTest, EveryHalfIsDecodedAsTheReferenceSays) {
  std::string all;
  for (uint32_t half = 0; half < 65536; ++half) {
    all.push_back(static_cast<char>(half & 0xFF));
    all.push_back(static_cast<char>(half >> 8));
  }
  ExpectSameBits(Decoded(Codec::kF16, all, 65536), ReferenceDecode(Codec::kF16, all, 65536));
  ExpectSameBits(Decoded(Codec::kBf16, all, 65536), ReferenceDecode(Codec::kBf16, all, 65536));
}

TEST(CodecTest, FloatsOfAllBitPatternsBecomeTheHalvesOfTheReference) {
  // Every exponent, with fractions around the places where rounding changes.
  std::vector<float> x;
  for (uint32_t top = 0; top < 512; ++top) {
    for (uint32_t fraction = 0; fraction < (1u << 23); fraction += 4093) {
      x.push_back(FloatOf(top << 23 | fraction));
    }
    for (uint32_t bit = 0; bit < 23; ++bit) {
      for (const int near : {-1, 0, 1}) x.push_back(FloatOf((top << 23 | 1u << bit) + near));
    }
  }
  EXPECT_EQ(Encoded(Codec::kF16, x), ReferenceEncode(Codec::kF16, x));
  EXPECT_EQ(Encoded(Codec::kBf16, x), ReferenceEncode(Codec::kBf16, x));
}

TEST(CodecTest, HalvesComeBackAsTheyWere) {
  for (const Codec codec : {Codec::kF16, Codec::kBf16}) {
    std::string all;
    for (uint32_t half = 0; half < 65536; ++half) {
      const uint32_t infinity = codec == Codec::kF16 ? 0x7C00 : 0x7F80;
      if ((half & 0x7FFF) > infinity) continue;  // NaNs become quiet
      all.push_back(static_cast<char>(half & 0xFF));
      all.push_back(static_cast<char>(half >> 8));
    }
    EXPECT_EQ(Encoded(codec, Decoded(codec, all, all.size() / 2)), all);
  }
}

TEST(CodecTest, HalvesStayWithinTheStatedErrors) {
  TestRandom random(4);
  for (int exponent = -126; exponent < 127; ++exponent) {
    std::vector<float> x = random.Floats(200, -2, 2);
    for (float& value : x) value = std::ldexp(value, exponent);
    const std::vector<float> f16 = Decoded(Codec::kF16, Encoded(Codec::kF16, x), x.size());
    const std::vector<float> bf16 = Decoded(Codec::kBf16, Encoded(Codec::kBf16, x), x.size());
    for (size_t i = 0; i < x.size(); ++i) {
      const double size = std::fabs(x[i]);
      if (size <= 65504) {
        const double bound = size < 0x1p-14 ? 0x1p-25 : size * 0x1p-11;
        ASSERT_LE(std::fabs(static_cast<double>(f16[i]) - x[i]), bound) << x[i];
      }
      const double bound = size < 0x1p-126 ? 0x1p-134 : size * 0x1p-8;
      ASSERT_LE(std::fabs(static_cast<double>(bf16[i]) - x[i]), bound) << x[i];
    }
  }
}

TEST(CodecTest, Int8StaysWithinHalfAScale) {
  TestRandom random(5);
  for (int exponent = -126; exponent < 127; ++exponent) {
    std::vector<float> x = random.Floats(128, -2, 2);
    for (float& value : x) value = std::ldexp(value, exponent);
    const float scale = ReferenceScale(x.data(), x.size());
    const std::vector<float> out = Decoded(Codec::kInt8, Encoded(Codec::kInt8, x), x.size());
    const double bound = scale == 0 ? 0x1p-119 : scale * (0.5 + 127 * 0x1p-23);
    for (size_t i = 0; i < x.size(); ++i) {
      ASSERT_LE(std::fabs(static_cast<double>(out[i]) - x[i]), bound) << x[i];
    }
  }
}

TEST(CodecTest, Int8RoundsWhatLiesNextToTheMiddleOfTwoLevelsByTheQuotient) {
  TestRandom random(21);
  for (int round = 0; round < 2000; ++round) {
    const float scale = random.Floats(1, 1, 2)[0] * (round % 2 == 0 ? 1.0f : 0x1p-126f);
    std::vector<float> x;
    for (size_t i = 0; x.size() < kInt8BlockElements; ++i) {
      const float level = static_cast<float>(i % 127) + 0.5f;
      float value = level * scale * (i % 2 == 0 ? 1.0f : -1.0f);
      for (uint64_t steps = random.Below(4); steps > 0; --steps) {
        value = std::nextafter(value, round % 3 == 0 ? 0.0f : 2 * value);
      }
      x.push_back(value);
    }
    x[random.Below(kInt8BlockElements)] = 127 * scale;
    ASSERT_EQ(Encoded(Codec::kInt8, x), ReferenceEncode(Codec::kInt8, x)) << round;
  }
}

TEST(CodecTest, FiniteValuesBeyondTheLargestSaturate) {
  const std::vector<float> x = {65504, 65519.996f, 65520, 1e9f, kLargest, -65520, -kLargest};
  const std::vector<float> f16 = {65504, 65504, 65504, 65504, 65504, -65504, -65504};
  EXPECT_EQ(Decoded(Codec::kF16, Encoded(Codec::kF16, x), x.size()), f16);
  const std::vector<float> large = {0x1.FEp127f, 0x1.FF0002p127f, kLargest, -kLargest};
  const std::vector<float> bf16 = {0x1.FEp127f, 0x1.FEp127f, 0x1.FEp127f, -0x1.FEp127f};
  EXPECT_EQ(Decoded(Codec::kBf16, Encoded(Codec::kBf16, large), large.size()), bf16);
}

TEST(CodecTest, Int8OfTheLargestFloatsStaysFinite) {
  const std::vector<float> x = {kLargest, -kLargest, kLargest / 2, 0};
  for (const float value : Decoded(Codec::kInt8, Encoded(Codec::kInt8, x), x.size())) {
    EXPECT_TRUE(std::isfinite(value));
  }
  EXPECT_EQ(Encoded(Codec::kInt8, x).substr(4), std::string({127, -127, 64, 0}));
}

TEST(CodecTest, Int8OfIntegersTimesAPowerOfTwoIsExact) {
  for (int exponent = -119; exponent <= 120; ++exponent) {
    std::vector<float> x(300);
    for (size_t i = 0; i < x.size(); ++i) {
      const int integer = i % 128 == 0 ? 127 : static_cast<int>(i % 255) - 127;
      x[i] = std::ldexp(static_cast<float>(integer), exponent);
    }
    ASSERT_EQ(Decoded(Codec::kInt8, Encoded(Codec::kInt8, x), x.size()), x) << exponent;
  }
}

TEST(CodecTest, Int8OfZerosAndOfTheSmallestValuesIsZero) {
  for (const float smallest : {0.0f, -0.0f, 0x1p-149f, 0x1p-126f, 0x1.FBFFp-120f}) {
    std::vector<float> x(130, smallest);
    const std::string encoded = Encoded(Codec::kInt8, x);
    EXPECT_EQ(encoded, std::string(EncodedBytes(Codec::kInt8, 130), 0)) << smallest;
  }
  const std::vector<float> least = {127 * 0x1p-126f, 0x1p-126f};
  EXPECT_EQ(Decoded(Codec::kInt8, Encoded(Codec::kInt8, least), 2), least);
}

TEST(CodecTest, PoisonIsReportedAndStaysPoison) {
  for (const Codec codec : kCodecs) {
    for (const size_t count : {1, 16, 128, 300}) {
      for (size_t i = 0; i < count; i += 37) {
        for (const float poison : {kInfinity, -kInfinity, kNan, -kNan, FloatOf(0x7F800001)}) {
          std::vector<float> x(count, 1.0f);
          x[i] = poison;
          bool finite = true;
          const std::string encoded = EncodedAt(codec, x.data(), count, 3, &finite);
          EXPECT_FALSE(finite);
          const std::vector<float> out = Decoded(codec, encoded, count);
          EXPECT_FALSE(std::isfinite(out[i])) << CodecName(codec);
          EXPECT_EQ(std::isnan(out[i]), codec == Codec::kInt8 || std::isnan(poison));
        }
      }
    }
  }
}

TEST(CodecTest, Int8PoisonFillsItsBlockAndNoOther) {
  std::vector<float> x(384, 127.0f);
  x[130] = kInfinity;
  const std::vector<float> out = Decoded(Codec::kInt8, Encoded(Codec::kInt8, x), x.size());
  for (size_t i = 0; i < x.size(); ++i) {
    ASSERT_EQ(std::isnan(out[i]), i / 128 == 1) << i;
    ASSERT_TRUE(i / 128 == 1 || out[i] == 127.0f) << i;
  }
}

TEST(CodecTest, ScalesThatNoEncoderWritesDecodeToNan) {
  const std::vector<int> levels = {0, 1, -1, 127, -127, -128};
  for (const uint32_t bits : {0x80000000u, 0xBF800000u, 0x7F800000u, 0xFF800000u, 0x7FC00000u,
                              0x7F800001u, 0xFFC00000u, 0x00000001u, 0x007FFFFFu, 0x80000001u}) {
    for (const float value : Decoded(Codec::kInt8, Int8Block(bits, levels), levels.size())) {
      EXPECT_TRUE(std::isnan(value)) << std::hex << bits;
    }
    for (size_t i = 0; i < levels.size(); ++i) {
      float value = 0;
      const char level = static_cast<char>(levels[i]);
      DecodeInt8Elements(bits, &level, 1, &value);
      EXPECT_TRUE(std::isnan(value)) << std::hex << bits;
    }
  }
}

TEST(CodecTest, ScalesAtTheEndsOfTheRangeAreUsed) {
  const std::vector<int> levels = {0, 1, -128, 127};
  const std::vector<float> smallest = {0, 0x1p-126f, -0x1p-119f, 127 * 0x1p-126f};
  EXPECT_EQ(Decoded(Codec::kInt8, Int8Block(0x00800000u, levels), 4), smallest);
  EXPECT_EQ(Decoded(Codec::kInt8, Int8Block(0, levels), 4), std::vector<float>(4, 0.0f));
  // Legal, and poison where it overflows.
  const std::vector<float> largest = Decoded(Codec::kInt8, Int8Block(0x7F7FFFFFu, levels), 4);
  EXPECT_EQ(largest[1], kLargest);
  EXPECT_EQ(largest[2], -kInfinity);
  EXPECT_EQ(largest[3], kInfinity);
}

TEST(CodecTest, FeedbackKeepsWhatInt8Lost) {
  TestRandom random(6);
  for (size_t count = 0; count <= 600; count += count < 140 ? 1 : 23) {
    const std::vector<float> gradient = random.Floats(count, -1, 1);
    const std::vector<float> before = random.Floats(count, -0.01, 0.01);
    std::vector<float> sum(count);
    for (size_t i = 0; i < count; ++i) sum[i] = gradient[i] + before[i];
    std::vector<float> residual = before;
    std::string encoded(EncodedBytes(Codec::kInt8, count), 0);
    ASSERT_TRUE(EncodeInt8WithFeedback(gradient.data(), residual.data(), count, encoded.data()));
    ASSERT_EQ(encoded, ReferenceEncode(Codec::kInt8, sum));
    const std::vector<float> received = ReferenceDecode(Codec::kInt8, encoded, count);
    for (size_t i = 0; i < count; ++i) ASSERT_EQ(residual[i], sum[i] - received[i]);
  }
}

TEST(CodecTest, WithFeedbackNothingIsLostForLong) {
  // A gradient far below half a scale, beside a large one: without feedback it never arrives.
  std::vector<float> gradient(128, 0.01f);
  gradient[0] = 127;
  std::vector<float> residual(128, 0.0f);
  std::vector<double> received(128, 0.0);
  std::string encoded(132, 0);
  for (int push = 0; push < 1000; ++push) {
    ASSERT_TRUE(EncodeInt8WithFeedback(gradient.data(), residual.data(), 128, encoded.data()));
    const std::vector<float> out = Decoded(Codec::kInt8, encoded, 128);
    for (size_t i = 0; i < 128; ++i) received[i] += out[i];
  }
  EXPECT_EQ(Decoded(Codec::kInt8, Encoded(Codec::kInt8, gradient), 128)[1], 0.0f);
  for (size_t i = 1; i < 128; ++i) EXPECT_NEAR(received[i], 10, 0.51);
}

TEST(CodecTest, PoisonLeavesTheResidualOfItsBlockAtZero) {
  for (const size_t count : {200, 256}) {
    std::vector<float> gradient(count, 0.3f);
    gradient[0] = 127;
    gradient[150] = kNan;
    gradient[128] = 127;
    std::vector<float> residual(count, 0.25f);
    std::string encoded(EncodedBytes(Codec::kInt8, count), 0);
    EXPECT_FALSE(EncodeInt8WithFeedback(gradient.data(), residual.data(), count, encoded.data()));
    for (size_t i = 128; i < count; ++i) EXPECT_EQ(residual[i], 0.0f);
    EXPECT_NE(residual[1], 0.0f);
  }
}

TEST(CodecTest, ASumBeyondTheFloatsIsPoisonToo) {
  const float gradient = kLargest;
  float residual = kLargest;
  char encoded[5];
  EXPECT_FALSE(EncodeInt8WithFeedback(&gradient, &residual, 1, encoded));
  EXPECT_EQ(residual, 0.0f);
}

TEST(CodecTest, ABlockTooSmallForAScaleIsKeptWholeInTheResidual) {
  const float gradient = 0x1p-125f;
  float residual = 0;
  char encoded[5];
  EXPECT_TRUE(EncodeInt8WithFeedback(&gradient, &residual, 1, encoded));
  EXPECT_EQ(residual, gradient);
}

}  // namespace
}  // namespace weir
