// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_CORE_PAYLOAD_DECODER_H_
#define WEIR_CORE_PAYLOAD_DECODER_H_

#include <cstddef>
#include <cstdint>

#include "core/codec.h"
#include "core/payload.h"
#include "core/payload_cursor.h"

namespace weir {

// Reads an encoded payload as floats from its start to its end, a run at a time, from where its
// bytes lie: chunks may start at any address and cut through elements and through an int8 block's
// scale. What two chunks share is put together (at most 4 bytes at a time); nothing else is copied.
//
// Each byte is read once, so the memory may be shared with a process that changes it. The payload
// outlives the decoder. Not thread-safe; no allocation.
class PayloadDecoder {
 public:
  // REQUIRES: IsKnownCodec(codec); payload.size() == EncodedBytes(codec, count).
  PayloadDecoder(Codec codec, const Payload& payload, uint64_t count)
      : codec_(codec), cursor_(payload), left_(count) {}

  uint64_t left() const { return left_; }  // elements

  // The next run: at least 1 and at most `longest` elements, as floats at any byte alignment, valid
  // until the next call. f32 is left where it lies; of the other codecs a run is decoded to `tile`,
  // which holds `longest` floats and is filled up as long as elements are left.
  // REQUIRES: left() > 0; longest > 0.
  const void* Next(size_t longest, float* tile, size_t* elements);

 private:
  // At most `elements` of `bytes` each, whole ones, from one chunk; 0: the next is cut.
  size_t WholeElements(size_t elements, size_t bytes);

  const void* NextF32(size_t longest, size_t* elements);
  void FillHalves(size_t count, float* out);
  void FillInt8(size_t count, float* out);
  // Part of the block whose scale has been read; returns how many elements.
  size_t FillFromBlock(size_t count, float* out);

  const Codec codec_;
  PayloadCursor cursor_;
  uint64_t left_;
  size_t block_left_ = 0;  // int8: elements of the block whose scale has been read
  uint32_t scale_bits_ = 0;
  alignas(float) char carry_[sizeof(float)];
};

// Decodes a whole payload, for another thread or a device to read later: a large one goes past the
// caches. `out` is a multiple of 4. Reads each byte once.
// REQUIRES: as of PayloadDecoder.
void DecodePayload(Codec codec, const Payload& payload, uint64_t count, float* out);
// The same for a reader that follows at once: whatever its size, it stays in the caches.
void DecodePayloadToCache(Codec codec, const Payload& payload, uint64_t count, float* out);

}  // namespace weir

#endif  // WEIR_CORE_PAYLOAD_DECODER_H_
