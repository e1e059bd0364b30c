// SPDX-License-Identifier: Apache-2.0
#include "core/payload_decoder.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "tests/core/codec_reference.h"
#include "tests/core/random_floats.h"

namespace weir {
namespace {

constexpr Codec kCodecs[] = {Codec::kF32, Codec::kF16, Codec::kBf16, Codec::kInt8};

// `bytes` in chunks that end at `cuts` (rising), each a block of memory of its own, so that a
// sanitizer sees who reads beyond one.
Payload Chunked(const std::string& bytes, const std::vector<size_t>& cuts) {
  Payload payload;
  size_t begin = 0;
  const auto append = [&](size_t end) {
    auto chunk = std::shared_ptr<char[]>(new char[end - begin]);
    std::memcpy(chunk.get(), bytes.data() + begin, end - begin);
    payload.Append(chunk.get(), end - begin, chunk);
    begin = end;
  };
  for (const size_t cut : cuts) append(cut);
  append(bytes.size());
  return payload;
}

// All that the decoder gives, in runs of at most `longest`.
std::vector<float> ReadAll(Codec codec, const Payload& payload, size_t count, size_t longest) {
  PayloadDecoder decoder(codec, payload, count);
  std::vector<float> tile(longest);
  std::vector<float> out;
  while (decoder.left() > 0) {
    const size_t expected = std::min<size_t>(longest, decoder.left());
    size_t elements = 0;
    const void* run = decoder.Next(longest, tile.data(), &elements);
    EXPECT_GE(elements, 1u);
    EXPECT_LE(elements, expected);
    EXPECT_TRUE(codec == Codec::kF32 || elements == expected) << "a tile that is not full";
    const size_t at = out.size();
    out.resize(at + elements);
    std::memcpy(out.data() + at, run, elements * sizeof(float));
  }
  return out;
}

struct Sample {
  std::vector<float> floats;  // as decoded
  std::string bytes;
};

Sample MakeSample(Codec codec, size_t count) {
  TestRandom random(count);
  Sample sample;
  sample.bytes = ReferenceEncode(codec, random.Floats(count, -1, 1));
  sample.floats = ReferenceDecode(codec, sample.bytes, count);
  return sample;
}

TEST(PayloadDecoderTest, OneCutAnywhereChangesNothing) {
  for (const Codec codec : kCodecs) {
    const Sample sample = MakeSample(codec, 300);
    for (size_t cut = 1; cut < sample.bytes.size(); ++cut) {
      const Payload payload = Chunked(sample.bytes, {cut});
      for (const size_t longest : {1000, 100}) {
        ASSERT_EQ(ReadAll(codec, payload, 300, longest), sample.floats)
            << CodecName(codec) << " cut at " << cut;
      }
    }
  }
}

TEST(PayloadDecoderTest, ChunksOfOneByteChangeNothing) {
  for (const Codec codec : kCodecs) {
    const Sample sample = MakeSample(codec, 270);
    std::vector<size_t> cuts;
    for (size_t cut = 1; cut < sample.bytes.size(); ++cut) cuts.push_back(cut);
    EXPECT_EQ(ReadAll(codec, Chunked(sample.bytes, cuts), 270, 64), sample.floats);
  }
}

TEST(PayloadDecoderTest, RandomCutsAndTilesChangeNothing) {
  TestRandom random(8);
  for (int round = 0; round < 300; ++round) {
    for (const Codec codec : kCodecs) {
      const size_t count = 1 + random.Below(1500);
      const Sample sample = MakeSample(codec, count);
      std::vector<size_t> cuts;
      for (size_t cut = 0; cut < sample.bytes.size();) {
        if (cut > 0) cuts.push_back(cut);
        cut += 1 + random.Below(round % 2 == 0 ? 9 : 400);
      }
      const size_t longest = 1 + random.Below(500);
      ASSERT_EQ(ReadAll(codec, Chunked(sample.bytes, cuts), count, longest), sample.floats);
    }
  }
}

TEST(PayloadDecoderTest, FloatsAreReadWhereTheyLie) {
  const Sample sample = MakeSample(Codec::kF32, 100);
  const Payload payload = Chunked(sample.bytes, {202});
  PayloadDecoder decoder(Codec::kF32, payload, 100);
  size_t elements = 0;
  EXPECT_EQ(decoder.Next(1000, nullptr, &elements), payload.chunks()[0].data);
  EXPECT_EQ(elements, 50u);
  const void* shared = decoder.Next(1000, nullptr, &elements);
  EXPECT_EQ(elements, 1u);
  EXPECT_EQ(std::memcmp(shared, &sample.floats[50], sizeof(float)), 0);
  EXPECT_EQ(decoder.Next(1000, nullptr, &elements), payload.chunks()[1].data + 2);
  EXPECT_EQ(elements, 49u);
  EXPECT_EQ(decoder.left(), 0u);
}

TEST(PayloadDecoderTest, AWholePayloadIsDecodedToAnyAddressWhetherItIsLargeOrNot) {
  for (const Codec codec : kCodecs) {
    for (const size_t count : {1000, 8191, 8192, 20001}) {
      const Sample sample = MakeSample(codec, count);
      for (const size_t cut : {size_t{1}, sample.bytes.size() / 2 + 1}) {
        const Payload payload = Chunked(sample.bytes, {cut});
        for (const size_t at : {0, 1, 15}) {
          std::vector<float> out(at + count + 16, 7.0f);
          DecodePayload(codec, payload, count, out.data() + at);
          ASSERT_TRUE(std::equal(sample.floats.begin(), sample.floats.end(), out.begin() + at))
              << CodecName(codec) << ' ' << count << " cut at " << cut << " to " << at;
          ASSERT_EQ(std::count(out.begin(), out.begin() + at, 7.0f), static_cast<int>(at));
          ASSERT_EQ(std::count(out.end() - 16, out.end(), 7.0f), 16);
        }
      }
    }
  }
}

TEST(PayloadDecoderTest, AHostileScaleCutInTwoDecodesToNan) {
  for (size_t cut = 1; cut < 140; ++cut) {
    std::string bytes = ReferenceEncode(Codec::kInt8, std::vector<float>(200, 1.0f));
    bytes[3] = static_cast<char>(0xFF);
    const std::vector<float> out = ReadAll(Codec::kInt8, Chunked(bytes, {cut}), 200, 64);
    for (size_t i = 0; i < 200; ++i) ASSERT_EQ(std::isnan(out[i]), i < 128) << cut;
  }
}

}  // namespace
}  // namespace weir
