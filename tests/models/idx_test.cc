// SPDX-License-Identifier: Apache-2.0
#include "models/idx.h"

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace weir {
namespace {

std::string Header(std::initializer_list<uint32_t> numbers) {
  std::string bytes;
  for (uint32_t number : numbers) {
    for (int shift = 24; shift >= 0; shift -= 8) bytes += static_cast<char>(number >> shift & 255);
  }
  return bytes;
}

std::string Images(uint32_t count = 2) {
  return Header({0x803, count, 1, 3}) + std::string("\x00\x80\xff\x01\x02\x03", 6);
}

std::string Labels(uint32_t count = 2) {
  return Header({0x801, count}) + std::string("\x09\x00", 2);
}

Status Read(const std::string& images, const std::string& labels,
            const DatasetLimits& limits = DatasetLimits()) {
  return ReadIdx(images, "images", labels, "labels", limits).status();
}

TEST(IdxTest, AnImageIsARowOfItsBytes) {
  Result<RawTable> table = ReadIdx(Images(), "images", Labels(), "labels", DatasetLimits());
  ASSERT_TRUE(table.ok()) << table.status().ToString();
  EXPECT_EQ(table->rows, 2);
  EXPECT_EQ(table->columns, 3);
  EXPECT_THAT(table->features, testing::ElementsAre(0, 128, 255, 1, 2, 3));
  EXPECT_THAT(table->labels.names(), testing::ElementsAre("9", "0"));
}

TEST(IdxTest, AnotherMagicNumberIsRefused) {
  const Status images = Read(Labels(), Labels());
  EXPECT_EQ(images.code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(images.message(),
            "images: begins with 0x00000801, but IDX images of bytes begin with 0x00000803");
  const Status labels = Read(Images(), Images());
  EXPECT_EQ(labels.message(),
            "labels: begins with 0x00000803, but IDX labels of bytes begin with 0x00000801");
}

TEST(IdxTest, EveryTruncationIsDataLoss) {
  const std::string images = Images(), labels = Labels();
  for (size_t size = 0; size < images.size(); ++size) {
    EXPECT_EQ(Read(images.substr(0, size), labels).code(), StatusCode::kDataLoss) << size;
  }
  for (size_t size = 0; size < labels.size(); ++size) {
    EXPECT_EQ(Read(images, labels.substr(0, size)).code(), StatusCode::kDataLoss) << size;
  }
  EXPECT_EQ(Read(images.substr(0, 21), labels).message(),
            "images: truncated: 5 bytes after the header, which says 6");
}

TEST(IdxTest, BytesAfterTheEndAreRefused) {
  EXPECT_EQ(Read(Images() + "x", Labels()).message(), "images: 1 bytes after the end");
  EXPECT_EQ(Read(Images(), Labels() + "x").message(), "labels: 1 bytes after the end");
}

TEST(IdxTest, CountsThatDifferAreRefused) {
  const Status status = Read(Images(), Header({0x801, 3}) + "abc");
  EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(status.message(), "labels: 3 labels, but images has 2 images");
}

TEST(IdxTest, AnEmptySetIsRefused) {
  EXPECT_EQ(Read(Header({0x803, 0, 28, 28}), Header({0x801, 0})).message(),
            "images: no images (0 of 28 x 28)");
  EXPECT_EQ(Read(Header({0x803, 5, 0, 28}), Labels()).code(), StatusCode::kInvalidArgument);
}

TEST(IdxTest, AbsurdSizesAreRefusedBeforeMemoryIsTaken) {
  for (const auto& header :
       {Header({0x803, 0xffffffff, 0xffffffff, 0xffffffff}), Header({0x803, 0xffffffff, 1, 1}),
        Header({0x803, 1, 0xffffffff, 1}), Header({0x803, 1, 1, 0xffffffff}),
        Header({0x803, 10'000, 256, 256}), Header({0x803, 1, 60'000, 60'000})}) {
    EXPECT_EQ(Read(header, Labels()).code(), StatusCode::kResourceExhausted);
  }
  DatasetLimits limits;
  limits.values = 5;
  EXPECT_EQ(Read(Images(), Labels(), limits).message(), "images: more than 5 values");
}

}  // namespace
}  // namespace weir
