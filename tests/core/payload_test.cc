// SPDX-License-Identifier: Apache-2.0
#include "core/payload.h"

#include <gtest/gtest.h>

#include <cstring>
#include <string>

namespace weir {
namespace {

TEST(PayloadTest, CopiesItsChunksInOrderAndLeavesOutEmptyOnes) {
  Payload payload;
  payload.Append("abc", 3, nullptr);
  payload.Append("", 0, nullptr);
  payload.Append("de", 2, nullptr);
  EXPECT_EQ(payload.size(), 5u);
  EXPECT_EQ(payload.chunks().size(), 2u);
  std::string out(5, ' ');
  payload.CopyTo(&out[0]);
  EXPECT_EQ(out, "abcde");
}

TEST(PayloadTest, KeepsABufferAliveAndSharesItsBytes) {
  BufferPool pool;
  Payload payload;
  {
    Buffer buffer = pool.Allocate(1000);
    std::memset(buffer.data(), 7, 1000);
    payload = Payload(buffer, 10, 100);
    EXPECT_EQ(payload.chunks()[0].data, buffer.data() + 10);
  }
  EXPECT_EQ(pool.statistics().bytes_in_use, 1024u);
  EXPECT_EQ(payload.size(), 100u);
  EXPECT_EQ(payload.chunks()[0].data[99], 7);
  const Payload copy = payload;
  payload = Payload();
  EXPECT_TRUE(payload.empty());
  EXPECT_EQ(pool.statistics().bytes_in_use, 1024u);
}

TEST(PayloadTest, AnEmptyBufferMakesAnEmptyPayload) { EXPECT_TRUE(Payload(Buffer()).empty()); }

}  // namespace
}  // namespace weir
