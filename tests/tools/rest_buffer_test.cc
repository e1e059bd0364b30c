// SPDX-License-Identifier: Apache-2.0
#include "tools/rest_buffer.h"

#include <cstring>

namespace weir {
namespace {

TEST(RestBufferTest, EverySizeHasItsBytesAndThePaddingBeyond) {
  RestMemory memory;
  RestBuffer buffer(&memory);
  for (size_t size : {0, 1, 4000, 4032, 4033, 4096, 5000, 1 << 20, 100}) {
    buffer.Resize(size);
    EXPECT_EQ(buffer.size(), size);
    std::memset(buffer.data(), 7, size + RestBuffer::kPaddingBytes);
    EXPECT_EQ(buffer.text().size(), size);
  }
}

TEST(RestBufferTest, SizeOfTheSameClassKeepsItsMemory) {
  RestMemory memory;
  RestBuffer buffer(&memory);
  buffer.Resize(9000);
  const char* const block = buffer.data();
  buffer.Resize(12000);
  EXPECT_EQ(buffer.data(), block);
}

TEST(RestBufferTest, BlockThatWasGivenBackServesTheNextOfItsClass) {
  RestMemory memory;
  const char* block = nullptr;
  {
    RestBuffer first(&memory);
    first.Resize(100000);
    block = first.data();
  }
  RestBuffer small(&memory);
  small.Resize(10);
  EXPECT_NE(small.data(), block);
  RestBuffer second(&memory);
  second.Resize(70000);
  EXPECT_EQ(second.data(), block);
}

TEST(RestBufferTest, ReleasedBufferIsEmptyAndItsBlockServesOthers) {
  RestMemory memory;
  RestBuffer first(&memory);
  first.Resize(100000);
  const char* const block = first.data();
  first.Release();
  EXPECT_EQ(first.size(), 0u);
  EXPECT_EQ(first.data(), nullptr);
  RestBuffer second(&memory);
  second.Resize(100000);
  EXPECT_EQ(second.data(), block);
}

TEST(RestBufferTest, ClearLeavesWhatIsInUse) {
  RestMemory memory;
  RestBuffer used(&memory);
  used.Resize(10);
  used.data()[9] = 'x';
  { RestBuffer(&memory).Resize(10); }
  memory.Clear();
  EXPECT_EQ(used.text()[9], 'x');
  used.Resize(100000);
}

TEST(RestBufferTest, CapacityIsAPowerOfTwoOfAtLeastAPage) {
  EXPECT_EQ(RestMemory::CapacityFor(0), 4096u);
  EXPECT_EQ(RestMemory::CapacityFor(4096), 4096u);
  EXPECT_EQ(RestMemory::CapacityFor(4097), 8192u);
  EXPECT_EQ(RestMemory::CapacityFor((size_t{1} << 20) + 1), size_t{2} << 20);
}

}  // namespace
}  // namespace weir
