// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <random>
#include <vector>

#include "core/codec.h"
#include "core/payload_decoder.h"
#include "tests/fuzz/expect.h"

namespace weir {
namespace {

constexpr Codec kCodecs[] = {Codec::kF32, Codec::kF16, Codec::kBf16, Codec::kInt8};

// The largest number of elements that `bytes` bytes encode exactly, and that many bytes.
uint64_t ElementsIn(Codec codec, uint64_t bytes) {
  uint64_t low = 0;
  uint64_t high = bytes;
  while (low < high) {
    const uint64_t middle = (low + high + 1) / 2;
    if (EncodedBytes(codec, middle) <= bytes)
      low = middle;
    else
      high = middle - 1;
  }
  return low;
}

// Chunks of their own, so that a byte too many is seen by the sanitizer.
Payload Cut(std::mt19937_64& random, const char* data, size_t size) {
  Payload payload;
  const size_t longest = size_t{1} << random() % 12;
  while (size > 0) {
    const size_t part = std::min<size_t>(size, 1 + random() % longest);
    std::shared_ptr<char[]> chunk(new char[part]);
    std::memcpy(chunk.get(), data, part);
    payload.Append(chunk.get(), part, chunk);
    data += part;
    size -= part;
  }
  return payload;
}

std::vector<float> DecodeInRuns(std::mt19937_64& random, Codec codec, const Payload& payload,
                                uint64_t count) {
  PayloadDecoder decoder(codec, payload, count);
  std::vector<float> out(count);
  std::vector<float> tile(1 + random() % 700);
  uint64_t at = 0;
  while (decoder.left() > 0) {
    size_t elements = 0;
    const void* run = decoder.Next(tile.size(), tile.data(), &elements);
    WEIR_EXPECT(elements > 0 && elements <= tile.size() && elements <= count - at, "a run");
    std::memcpy(out.data() + at, run, elements * sizeof(float));
    at += elements;
    WEIR_EXPECT(decoder.left() == count - at, "left");
  }
  return out;
}

bool SameBits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() &&
         (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0);
}

// What a receiver does with any bytes.
void CheckDecoding(std::mt19937_64& random, Codec codec, const char* data, size_t size) {
  const uint64_t count = ElementsIn(codec, size);
  const size_t bytes = EncodedBytes(codec, count);
  WEIR_EXPECT(bytes <= size, "bytes");
  const std::vector<char> joined(data, data + bytes);
  std::vector<float> whole(count);
  Decode(codec, joined.data(), count, whole.data());
  const std::vector<float> runs = DecodeInRuns(random, codec, Cut(random, data, bytes), count);
  WEIR_EXPECT(SameBits(whole, runs), "cut payloads decode like whole ones");
  if (codec == Codec::kInt8) return;
  // Every value of these codecs is encoded as itself.
  std::vector<char> again(bytes);
  const bool finite = Encode(codec, whole.data(), count, again.data());
  std::vector<float> twice(count);
  Decode(codec, again.data(), count, twice.data());
  bool all_finite = true;
  for (uint64_t i = 0; i < count; ++i) {
    all_finite = all_finite && std::isfinite(whole[i]);
    WEIR_EXPECT(whole[i] == twice[i] || (std::isnan(whole[i]) && std::isnan(twice[i])), "again");
  }
  WEIR_EXPECT(finite == all_finite, "finite");
}

double ErrorBound(Codec codec, double x, double scale) {
  const double size = std::fabs(x);
  switch (codec) {
    case Codec::kF16:
      if (size > 65504) return size - 65504 + 0x1p-11 * 65504;
      return size >= 0x1p-14 ? 0x1p-11 * size : 0x1p-25;
    case Codec::kBf16:
      return size >= 0x1p-126 ? 0x1p-8 * size : 0x1p-134;
    case Codec::kInt8:  // a scale of 0 stands for a block of less than 2^-119
      return scale == 0 ? 0x1p-119 : scale / 2 + 0x1p-23 * 127 * scale;
    default:
      return 0;
  }
}

// What a sender does with any floats.
void CheckEncoding(Codec codec, const std::vector<float>& x) {
  const uint64_t count = x.size();
  std::vector<char> bytes(EncodedBytes(codec, count));
  const bool finite = Encode(codec, x.data(), count, bytes.data());
  WEIR_EXPECT(finite == std::all_of(x.begin(), x.end(), [](float v) { return std::isfinite(v); }),
              "finite");
  std::vector<float> back(count);
  Decode(codec, bytes.data(), count, back.data());
  for (uint64_t i = 0; i < count; ++i) {
    float scale = 0;
    if (codec == Codec::kInt8) {
      std::memcpy(&scale, bytes.data() + i / kInt8BlockElements * (4 + kInt8BlockElements), 4);
      if (std::isnan(scale)) {
        WEIR_EXPECT(std::isnan(back[i]), "a poisoned block");
        continue;
      }
    }
    if (!std::isfinite(x[i])) {
      WEIR_EXPECT(std::isnan(x[i]) ? std::isnan(back[i]) : back[i] == x[i], "poison stays");
      continue;
    }
    const double error = std::fabs(static_cast<double>(back[i]) - x[i]);
    WEIR_EXPECT(error <= ErrorBound(codec, x[i], scale),
                std::to_string(x[i]) + " came back as " + std::to_string(back[i]));
  }
}

void CheckFeedback(const std::vector<float>& x) {
  const uint64_t count = x.size();
  std::vector<float> residual(count, 0.0f);
  std::vector<char> fed(EncodedBytes(Codec::kInt8, count));
  std::vector<char> plain(fed.size());
  const bool finite = EncodeInt8WithFeedback(x.data(), residual.data(), count, fed.data());
  WEIR_EXPECT(Encode(Codec::kInt8, x.data(), count, plain.data()) == finite, "finite");
  WEIR_EXPECT(fed == plain, "without a residual feedback changes nothing");
  std::vector<float> back(count);
  Decode(Codec::kInt8, fed.data(), count, back.data());
  for (uint64_t i = 0; i < count; ++i) {
    const float lost = std::isfinite(back[i]) ? x[i] - back[i] : 0.0f;
    WEIR_EXPECT(residual[i] == lost, "the residual is what was lost");
  }
}

}  // namespace
}  // namespace weir

// The input's first byte chooses where payloads are cut; the rest is an encoded payload of each
// codec, and floats to encode.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  std::mt19937_64 random(data[0]);
  const char* bytes = reinterpret_cast<const char*>(data) + 1;
  std::vector<float> floats((size - 1) / sizeof(float));
  if (!floats.empty()) std::memcpy(floats.data(), bytes, floats.size() * sizeof(float));
  for (const weir::Codec codec : weir::kCodecs) {
    weir::CheckDecoding(random, codec, bytes, size - 1);
    weir::CheckEncoding(codec, floats);
  }
  weir::CheckFeedback(floats);
  return 0;
}
