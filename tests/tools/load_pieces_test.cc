// SPDX-License-Identifier: Apache-2.0
#include "tools/load_pieces.h"

#include "gtest/gtest.h"
#include "tools/load_memory.h"

namespace weir {
namespace {

SliceRange Slice(uint32_t tensor, uint64_t offset, uint64_t count) {
  return SliceRange{tensor, offset, count, 0};
}

TEST(LoadPiecesTest, SmallNeighboursShareACallAndALargeTensorHasSeveral) {
  const auto pieces = CutIntoPieces({Slice(0, 0, 10), Slice(1, 0, 20), Slice(2, 0, 100),
                                     Slice(2, 100, 100), Slice(2, 200, 7), Slice(3, 0, 1)},
                                    400);
  ASSERT_EQ(pieces.size(), 3u);
  EXPECT_EQ(pieces[0], (LoadPiece{{0, 0, 10, 1}, {1, 0, 20, 1}, {2, 0, 100, 1}}));
  EXPECT_EQ(pieces[1], (LoadPiece{{2, 100, 100, 1}}));
  EXPECT_EQ(pieces[2], (LoadPiece{{2, 200, 7, 1}, {3, 0, 1, 1}}));
}

TEST(LoadPiecesTest, SlicesOfATensorThatShareACallAreOneRange) {
  const auto pieces = CutIntoPieces({Slice(0, 0, 10), Slice(0, 10, 10), Slice(1, 0, 10)}, 1 << 20);
  ASSERT_EQ(pieces.size(), 1u);
  EXPECT_EQ(pieces[0], (LoadPiece{{0, 0, 20, 2}, {1, 0, 10, 1}}));
}

TEST(LoadPiecesTest, NoCallHasMoreRangesThanItMay) {
  std::vector<SliceRange> slices;
  for (uint32_t t = 0; t < 1000; ++t) slices.push_back(Slice(t, 0, 1));
  const auto pieces = CutIntoPieces(slices, 1 << 20);
  ASSERT_EQ(pieces.size(), 4u);
  EXPECT_EQ(pieces[0].size(), kMaxPieceRanges);
}

TEST(LoadPiecesTest, AllStepsInFlightStayWithinTheCallsOfAWorker) {
  const uint64_t large = uint64_t{500} << 20;
  EXPECT_EQ(PieceBytes(100 << 20, 1), kPieceBytes);
  EXPECT_LE(64 * (large / PieceBytes(large, 64)), kMaxCallsInFlight);
}

TEST(LoadMemoryTest, GradientsAreLargerTogetherThanTheLastCacheWhereThatIsAllowed) {
  EXPECT_EQ(GradientSets(100, 0, 1000), 2u);
  EXPECT_EQ(GradientSets(100, 50, 1000), 2u);
  EXPECT_EQ(GradientSets(100, 450, 1000), 5u);
  EXPECT_EQ(GradientSets(100, 5000, 1000), 2u);
}

}  // namespace
}  // namespace weir
