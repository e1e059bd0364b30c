// SPDX-License-Identifier: Apache-2.0
#include "tools/load_pieces.h"

#include <algorithm>
#include <utility>

namespace weir {
namespace {

constexpr uint64_t kSliceElements = (uint64_t{1} << 20) / sizeof(float);

}  // namespace

std::vector<SliceRange> SlicesOf(const std::vector<TensorSpec>& tensors) {
  std::vector<SliceRange> slices;
  for (size_t t = 0; t < tensors.size(); ++t) {
    const auto count = static_cast<uint64_t>(ElementCount(tensors[t].shape));
    for (uint64_t offset = 0; offset < count; offset += kSliceElements) {
      slices.push_back(
          {static_cast<uint32_t>(t), offset, std::min(kSliceElements, count - offset), 0});
    }
  }
  return slices;
}

std::vector<LoadPiece> CutIntoPieces(const std::vector<SliceRange>& slices, uint64_t piece_bytes) {
  std::vector<LoadPiece> pieces;
  LoadPiece piece;
  uint64_t bytes = 0;
  for (const SliceRange& slice : slices) {
    const bool continues = !piece.empty() && piece.back().tensor == slice.tensor &&
                           piece.back().offset + piece.back().count == slice.offset;
    if (!continues) piece.push_back({slice.tensor, slice.offset, 0, 0});
    piece.back().count += slice.count;
    ++piece.back().slices;
    bytes += slice.count * sizeof(float);
    if (bytes < piece_bytes && piece.size() < kMaxPieceRanges) continue;
    pieces.push_back(std::exchange(piece, {}));
    bytes = 0;
  }
  if (!piece.empty()) pieces.push_back(std::move(piece));
  return pieces;
}

uint64_t PieceBytes(uint64_t model_bytes, uint64_t outstanding) {
  return std::max(kPieceBytes, model_bytes * outstanding / kMaxCallsInFlight);
}

}  // namespace weir
