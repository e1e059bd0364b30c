// SPDX-License-Identifier: Apache-2.0
#include "core/payload_blocks.h"

#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "gtest/gtest.h"

namespace weir {
namespace {

constexpr Codec kCodecs[] = {Codec::kF32, Codec::kF16, Codec::kBf16, Codec::kInt8};

std::string Numbered(size_t size) {
  std::string bytes(size, 0);
  for (size_t i = 0; i < size; ++i) bytes[i] = static_cast<char>(i * 31 + i / 251);
  return bytes;
}

// `bytes` in chunks that end at `cuts` (rising), each a block of memory of its own, so that a
// sanitizer sees who reads beyond one.
Payload Chunked(const std::string& bytes, const std::vector<size_t>& cuts) {
  Payload payload;
  size_t begin = 0;
  const auto append = [&](size_t end) {
    auto chunk = std::shared_ptr<char[]>(new char[end - begin]);
    std::memcpy(chunk.get(), bytes.data() + begin, end - begin);
    payload.Append(chunk.get(), end - begin, chunk);
    begin = end;
  };
  for (const size_t cut : cuts) append(cut);
  append(bytes.size());
  return payload;
}

// All that the reader gives.
std::string ReadAll(Codec codec, const Payload& payload, size_t count) {
  PayloadBlocks blocks(codec, payload, count);
  std::string out;
  while (blocks.left() > 0) {
    const size_t left = blocks.left();
    size_t elements = 0;
    const char* const run = blocks.Next(&elements);
    EXPECT_TRUE(elements == left || (elements > 0 && elements % kInt8BlockElements == 0));
    EXPECT_EQ(blocks.left(), left - elements);
    out.append(run, EncodedBytes(codec, elements));
  }
  return out;
}

TEST(PayloadBlocksTest, OneCutAnywhereChangesNothing) {
  for (const Codec codec : kCodecs) {
    const std::string bytes = Numbered(EncodedBytes(codec, 300));
    for (size_t cut = 1; cut < bytes.size(); ++cut) {
      ASSERT_EQ(ReadAll(codec, Chunked(bytes, {cut}), 300), bytes)
          << CodecName(codec) << " cut at " << cut;
    }
  }
}

TEST(PayloadBlocksTest, ChunksOfASingleByteChangeNothing) {
  for (const Codec codec : kCodecs) {
    const std::string bytes = Numbered(EncodedBytes(codec, 300));
    std::vector<size_t> cuts;
    for (size_t cut = 1; cut < bytes.size(); ++cut) cuts.push_back(cut);
    EXPECT_EQ(ReadAll(codec, Chunked(bytes, cuts), 300), bytes) << CodecName(codec);
  }
}

TEST(PayloadBlocksTest, AWholeChunkIsOneRunWhereItLies) {
  for (const Codec codec : kCodecs) {
    for (const size_t count : {1, 127, 128, 129, 1000}) {
      const Payload payload = Chunked(Numbered(EncodedBytes(codec, count)), {});
      PayloadBlocks blocks(codec, payload, count);
      size_t elements = 0;
      EXPECT_EQ(blocks.Next(&elements), payload.chunks()[0].data) << CodecName(codec);
      EXPECT_EQ(elements, count);
    }
  }
}

TEST(PayloadBlocksTest, OnlyTheBlockThatIsCutIsPutTogether) {
  const std::string bytes = Numbered(EncodedBytes(Codec::kInt8, 1280));
  const Payload payload = Chunked(bytes, {132 * 4 + 50});
  PayloadBlocks blocks(Codec::kInt8, payload, 1280);
  size_t elements = 0;
  EXPECT_EQ(blocks.Next(&elements), payload.chunks()[0].data);
  EXPECT_EQ(elements, 512u);
  blocks.Next(&elements);
  EXPECT_EQ(elements, 128u);
  EXPECT_EQ(blocks.Next(&elements), payload.chunks()[1].data + 82);
  EXPECT_EQ(elements, 640u);
  EXPECT_EQ(blocks.left(), 0u);
}

TEST(PayloadBlocksTest, AnEmptyPayloadHasNothingLeft) {
  EXPECT_EQ(PayloadBlocks(Codec::kInt8, Payload(), 0).left(), 0u);
}

}  // namespace
}  // namespace weir
