// SPDX-License-Identifier: Apache-2.0
#include <cstdint>
#include <string>

#include "bench/benches.h"
#include "bench/memory_limit.h"
#include "core/codec.h"
#include "core/payload.h"
#include "core/payload_decoder.h"

namespace weir::bench {
namespace {

// As bytes: how many arrays of a quarter of the floats' bytes the encoded ones fill, about.
int Quarters(Codec codec) { return codec == Codec::kF32 ? 4 : codec == Codec::kInt8 ? 1 : 2; }

// The mix with the fewest arrays that has the same bytes on each side.
std::vector<std::string> LimitsOf(int reads, int writes, size_t bytes,
                                  const std::shared_ptr<Arrays>& arrays,
                                  std::vector<Measured>* all) {
  while (reads % 2 == 0 && writes % 2 == 0) {
    reads /= 2;
    writes /= 2;
  }
  return MemoryLimits(reads, writes, bytes, arrays, all);
}

Measured Encoding(Codec codec, const std::shared_ptr<Arrays>& arrays, std::vector<Measured>* all) {
  constexpr size_t kCount = Arrays::kElements;
  Measured measured;
  measured.what = std::string("encode ") + CodecName(codec);
  measured.bytes = kCount * sizeof(float) + EncodedBytes(codec, kCount);
  measured.run = [arrays, codec] {
    Encode(codec, arrays->in(0), kCount, reinterpret_cast<char*>(arrays->out(0)));
  };
  measured.limits = LimitsOf(4, Quarters(codec), measured.bytes, arrays, all);
  return measured;
}

Measured Decoding(Codec codec, const std::shared_ptr<Arrays>& arrays, std::vector<Measured>* all) {
  constexpr size_t kCount = Arrays::kElements;
  Measured measured = Encoding(codec, arrays, all);
  measured.what = std::string("decode ") + CodecName(codec);
  // The floats of the arrays, taken for encoded ones: any bytes are.
  measured.run = [arrays, codec] {
    Decode(codec, reinterpret_cast<const char*>(arrays->in(0)), kCount, arrays->out(0));
  };
  measured.limits = LimitsOf(Quarters(codec), 4, measured.bytes, arrays, all);
  return measured;
}

// A whole array, as a worker delivers values.
Measured Delivering(Codec codec, const std::shared_ptr<Arrays>& arrays,
                    std::vector<Measured>* all) {
  constexpr size_t kCount = Arrays::kElements;
  Measured measured = Decoding(codec, arrays, all);
  measured.what = std::string("deliver ") + CodecName(codec);
  Payload payload;
  payload.Append(reinterpret_cast<const char*>(arrays->in(0)), EncodedBytes(codec, kCount), arrays);
  measured.run = [arrays, codec, payload] {
    DecodePayload(codec, payload, kCount, arrays->out(0));
  };
  return measured;
}

}  // namespace

void AddCodecs(const std::shared_ptr<Arrays>& arrays, std::vector<Measured>* all) {
  for (const Codec codec : {Codec::kF16, Codec::kBf16, Codec::kInt8}) {
    Measured encoding = Encoding(codec, arrays, all);
    all->push_back(std::move(encoding));
    Measured decoding = Decoding(codec, arrays, all);
    all->push_back(std::move(decoding));
    Measured delivering = Delivering(codec, arrays, all);
    all->push_back(std::move(delivering));
  }
  // The residual is read and written besides.
  constexpr size_t kCount = Arrays::kElements;
  Measured feedback;
  feedback.what = "encode int8 with feedback";
  feedback.bytes = kCount * 3 * sizeof(float) + EncodedBytes(Codec::kInt8, kCount);
  feedback.run = [arrays] {
    EncodeInt8WithFeedback(arrays->in(0), arrays->out(1), kCount,
                           reinterpret_cast<char*>(arrays->out(0)));
  };
  feedback.limits = MemoryLimits(2, 1, feedback.bytes, arrays, all);
  all->push_back(std::move(feedback));
}

}  // namespace weir::bench
