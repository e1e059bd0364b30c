// SPDX-License-Identifier: Apache-2.0
#include "net/byte_buffer.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

namespace weir {
namespace {

TEST(ByteBufferTest, LargeChunksAreBorrowedAndSmallOnesCopied) {
  auto large = std::make_shared<std::string>(100'000, 'l');
  auto small = std::make_shared<std::string>(30, 's');
  Payload payload;
  payload.Append(small->data(), small->size(), small);
  payload.Append(large->data(), large->size(), large);
  grpc::ByteBuffer buffer = ToByteBuffer(payload);
  payload = Payload();
  EXPECT_EQ(small.use_count(), 1);
  EXPECT_EQ(large.use_count(), 2);
  std::vector<grpc::Slice> slices;
  ASSERT_TRUE(buffer.Dump(&slices).ok());
  ASSERT_EQ(slices.size(), 2);
  EXPECT_EQ(reinterpret_cast<const char*>(slices[1].begin()), large->data());

  Payload back = FromByteBuffer(buffer);
  ASSERT_EQ(back.chunks().size(), 2);
  EXPECT_EQ(back.chunks()[1].data, large->data());
  slices.clear();
  buffer.Clear();
  EXPECT_EQ(large.use_count(), 2);  // held by `back` alone
  std::string read(back.size(), '\0');
  back.CopyTo(&read[0]);
  EXPECT_EQ(read, *small + *large);
  back = Payload();
  EXPECT_EQ(large.use_count(), 1);
}

}  // namespace
}  // namespace weir
