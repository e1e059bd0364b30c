// SPDX-License-Identifier: Apache-2.0
#include "core/payload_blocks.h"

#include <algorithm>

namespace weir {

const char* PayloadBlocks::Next(size_t* elements) {
  const uint64_t block_bytes = EncodedBytes(codec_, kInt8BlockElements);
  const uint64_t left_bytes = EncodedBytes(codec_, left_);
  const uint64_t here = std::min<uint64_t>(cursor_.left_in_chunk(), left_bytes);
  const uint64_t blocks = here / block_bytes;
  if (here == left_bytes || blocks > 0) {
    *elements = here == left_bytes ? left_ : blocks * kInt8BlockElements;
    left_ -= *elements;
    return cursor_.Take(EncodedBytes(codec_, *elements));
  }
  *elements = std::min<uint64_t>(left_, kInt8BlockElements);
  cursor_.Gather(EncodedBytes(codec_, *elements), carry_);
  left_ -= *elements;
  return carry_;
}

}  // namespace weir
