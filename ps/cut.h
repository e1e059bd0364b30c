// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_PS_CUT_H_
#define WEIR_PS_CUT_H_

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

#include "core/buffer.h"
#include "core/layout.h"
#include "core/payload.h"

namespace weir {

// One slice in a cut, by reference: the shard goes on committing beside it.
struct CutSlice {
  SliceSpec spec;
  uint64_t version = 0;
  Buffer weights;               // f32
  std::array<Buffer, 2> state;  // the optimizer's, f32; those that it uses are set
};

// What a shard keeps of a worker beyond that worker's process.
struct CutWorker {
  uint64_t worker = 0;
  uint64_t incarnation = 0;     // the newest seen
  uint64_t next_batch = 0;      // see PushLedger::next_batch
  uint64_t clock = 0;           // ssp: its finished steps
  uint64_t state_sequence = 0;  // of `state`; 0: it has put none
  Buffer state;                 // opaque
};

// A shard's part of one cut: everything committed before it, nothing after. In bsp every slice is
// at the version `number`, the step; in the other modes the cut is one moment of this shard.
// Immutable; holds the values alive, so that a shard that goes on needs the memory of its weights
// and state once more until the cut is written.
struct ShardCut {
  uint64_t number = 0;
  uint64_t epoch = 0;
  uint32_t shard = 0;
  std::shared_ptr<const Layout> layout;
  std::vector<CutSlice> slices;    // in the layout's order
  std::vector<CutWorker> workers;  // by worker
};

// What a shard begins with instead of first weights: its part of a cut, read again.
struct ShardRestore {
  struct Slice {
    uint64_t version = 0;
    Payload weights;               // little-endian f32
    std::array<Payload, 2> state;  // those that the optimizer uses are set
  };
  uint64_t number = 0;
  std::vector<Slice> slices;  // of this shard, in the layout's order
  std::vector<CutWorker> workers;
};

}  // namespace weir

#endif  // WEIR_PS_CUT_H_
