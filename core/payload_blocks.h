// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_CORE_PAYLOAD_BLOCKS_H_
#define WEIR_CORE_PAYLOAD_BLOCKS_H_

#include <cstddef>
#include <cstdint>

#include "core/codec.h"
#include "core/payload.h"
#include "core/payload_cursor.h"

namespace weir {

// Reads an encoded payload from its start to its end as runs of whole blocks of kInt8BlockElements
// (the payload's last one may be shorter), still encoded, from where they lie. A block that a chunk
// cuts, and nothing else, is put together in a carry.
//
// Each byte is read at most once here. The payload outlives it. Not thread-safe; no allocation.
class PayloadBlocks {
 public:
  // REQUIRES: IsKnownCodec(codec); payload.size() == EncodedBytes(codec, count).
  PayloadBlocks(Codec codec, const Payload& payload, uint64_t count)
      : codec_(codec), cursor_(payload), left_(count) {}

  uint64_t left() const { return left_; }  // elements

  // The next run, at any address, valid until the next call: `*elements` of them, a multiple of
  // kInt8BlockElements, or all that are left. REQUIRES: left() > 0.
  const char* Next(size_t* elements);

 private:
  const Codec codec_;
  PayloadCursor cursor_;
  uint64_t left_;
  alignas(64) char carry_[EncodedBytes(Codec::kF32, kInt8BlockElements)];
};

}  // namespace weir

#endif  // WEIR_CORE_PAYLOAD_BLOCKS_H_
