// SPDX-License-Identifier: Apache-2.0
#include "core/payload_decoder.h"

#include <algorithm>
#include <cstring>

#include "core/stream_copy.h"

namespace weir {
namespace {

// What is decoded stays in the nearest cache until it is copied.
constexpr size_t kTileElements = 2048;

}  // namespace

size_t PayloadDecoder::WholeElements(size_t elements, size_t bytes) {
  return std::min(elements, cursor_.left_in_chunk() / bytes);
}

const void* PayloadDecoder::Next(size_t longest, float* tile, size_t* elements) {
  if (codec_ == Codec::kF32) return NextF32(longest, elements);
  *elements = static_cast<size_t>(std::min<uint64_t>(longest, left_));
  if (codec_ == Codec::kInt8) {
    FillInt8(*elements, tile);
  } else {
    FillHalves(*elements, tile);
  }
  left_ -= *elements;
  return tile;
}

const void* PayloadDecoder::NextF32(size_t longest, size_t* elements) {
  const size_t most = static_cast<size_t>(std::min<uint64_t>(longest, left_));
  *elements = WholeElements(most, sizeof(float));
  const char* run = carry_;
  if (*elements == 0) {
    *elements = 1;
    cursor_.Gather(sizeof(float), carry_);
  } else {
    run = cursor_.Take(*elements * sizeof(float));
  }
  left_ -= *elements;
  return run;
}

void PayloadDecoder::FillHalves(size_t count, float* out) {
  while (count > 0) {
    size_t run = WholeElements(count, sizeof(uint16_t));
    if (run == 0) {
      run = 1;
      cursor_.Gather(sizeof(uint16_t), carry_);
      Decode(codec_, carry_, 1, out);
    } else {
      Decode(codec_, cursor_.Take(run * sizeof(uint16_t)), run, out);
    }
    out += run;
    count -= run;
  }
}

void PayloadDecoder::FillInt8(size_t count, float* out) {
  // left_ still counts the elements of this tile.
  for (size_t done = 0; done < count;) {
    if (block_left_ == 0) {
      constexpr size_t kBlockBytes = EncodedBytes(Codec::kInt8, kInt8BlockElements);
      const size_t blocks = WholeElements((count - done) / kInt8BlockElements, kBlockBytes);
      if (blocks > 0) {
        Decode(Codec::kInt8, cursor_.Take(blocks * kBlockBytes), blocks * kInt8BlockElements,
               out + done);
        done += blocks * kInt8BlockElements;
        continue;
      }
      char scale[sizeof scale_bits_];
      cursor_.Gather(sizeof scale, scale);
      std::memcpy(&scale_bits_, scale, sizeof scale);
      block_left_ = static_cast<size_t>(std::min<uint64_t>(kInt8BlockElements, left_ - done));
    }
    done += FillFromBlock(count - done, out + done);
  }
}

size_t PayloadDecoder::FillFromBlock(size_t count, float* out) {
  const size_t run = WholeElements(std::min(count, block_left_), 1);
  DecodeInt8Elements(scale_bits_, cursor_.Take(run), run, out);
  block_left_ -= run;
  return run;
}

void DecodePayloadToCache(Codec codec, const Payload& payload, uint64_t count, float* out) {
  if (codec == Codec::kF32) return payload.CopyTo(reinterpret_cast<char*>(out));
  PayloadDecoder decoder(codec, payload, count);
  size_t run = 0;
  if (count > 0) decoder.Next(count, out, &run);
}

void DecodePayload(Codec codec, const Payload& payload, uint64_t count, float* out) {
  if (count < kStreamElements) return DecodePayloadToCache(codec, payload, count, out);
  PayloadDecoder decoder(codec, payload, count);
  size_t run = 0;
  alignas(64) float tile[kTileElements];
  while (decoder.left() > 0) {
    const void* values = decoder.Next(codec == Codec::kF32 ? count : kTileElements, tile, &run);
    StreamCopy(values, run, out);
    out += run;
  }
  StreamFence();
}

}  // namespace weir
