// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_CORE_ENCODED_SGD_H_
#define WEIR_CORE_ENCODED_SGD_H_

#include "core/codec.h"
#include "core/optimizer.h"

namespace weir {

// SGD straight from an encoded gradient to new weights and their encoding. What decoding to a tile,
// Apply, Encode from a tile and a copy do one after the other is done here for a block of
// kInt8BlockElements while it is in registers and the nearest cache: to the same bits, with each
// weight read from memory once and written once.
struct EncodedSgd {
  Codec gradient = Codec::kF32;  // how the gradient is encoded
  Codec values = Codec::kF32;    // how the new weights are encoded besides; f32: not at all
  char* values_out = nullptr;    // EncodedBytes(values, count) bytes at any address; null for f32
  // The new weights go past the caches, if they are at a multiple of 64: nobody reads them soon.
  // Before another thread is told that they are there, StreamFence is called.
  bool past_caches = false;
};

// `call` as for Apply, but for the gradient, which is EncodedBytes(how.gradient, call.count) bytes
// at any address, and the weights' two places, which differ. Each byte of the gradient is read
// once: memory that somebody else may be writing is safe to give. A range may be cut into calls at
// multiples of kInt8BlockElements. Same bits as the calls it stands for, on every x86-64 host.
// Thread-safe; no allocation. REQUIRES: spec.type is kSgd; Validate(spec) is OK; both codecs are
// known.
ApplyFlags ApplyEncodedSgd(const OptimizerSpec& spec, const ApplyCall& call, const EncodedSgd& how);

}  // namespace weir

#endif  // WEIR_CORE_ENCODED_SGD_H_
