// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_TOOLS_LOAD_PIECES_H_
#define WEIR_TOOLS_LOAD_PIECES_H_

#include <cstdint>
#include <vector>

#include "weir/calls.h"
#include "weir/tensor.h"

namespace weir {

// The slices of a model as a layout of slices of 1 MiB cuts it, all on shard 0: for the modes that
// have no layout of a job.
std::vector<SliceRange> SlicesOf(const std::vector<TensorSpec>& tensors);

// A range of a tensor: whole slices of it.
struct LoadRange {
  uint32_t tensor = 0;
  uint64_t offset = 0;  // elements
  uint64_t count = 0;
  size_t slices = 0;

  bool operator==(const LoadRange& o) const {
    return tensor == o.tensor && offset == o.offset && count == o.count && slices == o.slices;
  }
};

// What one call of a step moves.
using LoadPiece = std::vector<LoadRange>;

inline constexpr uint64_t kPieceBytes = 1 << 20;
inline constexpr size_t kMaxPieceRanges = 256;
inline constexpr uint64_t kMaxCallsInFlight = 512;  // of all steps in flight; a Worker takes 1024

// Cuts a model into the calls of a step, in the order of its slices: as soon as a call has come
// back its values can be checked, while the others are still on their way. Small neighbours share
// a call; a tensor larger than a call has several. A call has at least `piece_bytes`, unless it is
// the last, and at most one slice more than that, or kMaxPieceRanges ranges.
std::vector<LoadPiece> CutIntoPieces(const std::vector<SliceRange>& slices, uint64_t piece_bytes);

// The size of the calls that keeps `outstanding` steps of a model within kMaxCallsInFlight.
uint64_t PieceBytes(uint64_t model_bytes, uint64_t outstanding);

}  // namespace weir

#endif  // WEIR_TOOLS_LOAD_PIECES_H_
