// SPDX-License-Identifier: Apache-2.0
#include "worker/part_assignment.h"

#include <gtest/gtest.h>

namespace weir {
namespace {

TEST(PartAssignmentTest, EveryPartHasExactlyOneOwnerAndSharesDifferByAtMostOne) {
  for (uint32_t total : {1u, 2u, 3u, 5u, 8u, 17u, 65536u}) {
    for (uint32_t workers = 1; workers <= 20; ++workers) {
      uint32_t next = 0;
      uint32_t least = total, most = 0;
      for (uint32_t rank = 0; rank < workers; ++rank) {
        const PartBlock own = AssignedParts(rank, workers, total);
        EXPECT_EQ(own.first, next);
        next += own.parts;
        least = std::min(least, own.parts);
        most = std::max(most, own.parts);
      }
      EXPECT_EQ(next, total);
      EXPECT_LE(most - least, 1u);
    }
  }
}

TEST(PartAssignmentTest, AsManyWorkersAsPartsHaveOneEach) {
  for (uint32_t rank = 0; rank < 7; ++rank)
    EXPECT_EQ(AssignedParts(rank, 7, 7), (PartBlock{rank, 1}));
}

}  // namespace
}  // namespace weir
