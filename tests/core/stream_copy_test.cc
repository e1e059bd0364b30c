// SPDX-License-Identifier: Apache-2.0
#include "core/stream_copy.h"

#include <cstring>
#include <vector>

#include "gtest/gtest.h"
#include "tests/core/random_floats.h"

namespace weir {
namespace {

TEST(StreamCopyTest, EveryLengthIsCopiedFromAndToEveryAlignmentAndNothingElseIsWritten) {
  TestRandom random(5);
  const std::vector<float> x = random.Floats(200, -1, 1);
  for (size_t count = 0; count <= 100; ++count) {
    for (size_t to = 0; to < 16; ++to) {
      for (size_t from = 0; from < 9; ++from) {  // bytes
        std::vector<float> out(16 + 100 + 16, 7.0f);
        std::vector<float> expected = out;
        const char* source = reinterpret_cast<const char*>(x.data()) + from;
        std::memcpy(expected.data() + to, source, count * sizeof(float));
        StreamCopy(source, count, out.data() + to);
        StreamFence();
        ASSERT_EQ(std::memcmp(out.data(), expected.data(), out.size() * sizeof(float)), 0)
            << count << " elements from byte " << from << " to element " << to;
      }
    }
  }
}

}  // namespace
}  // namespace weir
