// SPDX-License-Identifier: Apache-2.0
#include "core/layout.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>

namespace weir {
namespace {

using ::testing::HasSubstr;

std::vector<TensorShape> Tensors(
    const std::vector<std::pair<std::string, std::vector<int64_t>>>& shapes) {
  std::vector<TensorShape> tensors;
  for (const auto& [name, shape] : shapes) tensors.push_back({name, shape, {}});
  return tensors;
}

Layout Made(const std::vector<TensorShape>& tensors, uint64_t slice_bytes, uint32_t shards) {
  absl::StatusOr<Layout> layout = MakeLayout(tensors, slice_bytes, shards, 3);
  EXPECT_TRUE(layout.ok()) << layout.status();
  return layout.ok() ? *std::move(layout) : Layout();
}

TEST(LayoutTest, CountIsTheProductOfTheDimensionsAndOneForAScalar) {
  EXPECT_EQ((TensorShape{"w", {3, 4, 5}, {}}).count(), 60);
  EXPECT_EQ((TensorShape{"w", {}, {}}).count(), 1);
  EXPECT_EQ((TensorShape{"w", {1 << 20, 1 << 20}, {}}).count(), int64_t{1} << 40);
  EXPECT_EQ((TensorShape{"w", {1 << 20, 1 << 20, 2}, {}}).count(), -1);
  EXPECT_EQ((TensorShape{"w", {3, 0}, {}}).count(), -1);
  EXPECT_EQ((TensorShape{"w", {-3, -2}, {}}).count(), -1);
  EXPECT_EQ((TensorShape{"w", {INT64_MAX, INT64_MAX}, {}}).count(), -1);
}

TEST(LayoutTest, DeclarationErrorsNameTheTensorAndWhatIsWrong) {
  const auto error = [](const std::vector<TensorShape>& tensors) {
    return std::string(ValidateTensors(tensors).message());
  };
  EXPECT_THAT(error({}), HasSubstr("at least one"));
  EXPECT_THAT(error(Tensors({{"a", {1}}, {"a", {2}}})), HasSubstr("'a' is declared twice"));
  EXPECT_THAT(error(Tensors({{"", {1}}})), HasSubstr("tensor 1 has no name"));
  EXPECT_THAT(error(Tensors({{"a b", {1}}})), HasSubstr("not printable"));
  EXPECT_THAT(error(Tensors({{"a\x80", {1}}})), HasSubstr("not printable"));
  EXPECT_THAT(error(Tensors({{std::string(256, 'x'), {1}}})), HasSubstr("256 bytes"));
  EXPECT_THAT(error(Tensors({{"w", {2, 0}}})), HasSubstr("'w' has a dimension of 0"));
  EXPECT_THAT(error(Tensors({{"w", std::vector<int64_t>(17, 1)}})), HasSubstr("17 dimensions"));
  EXPECT_THAT(error(Tensors({{"w", {1 << 30, 1 << 30}}})), HasSubstr("2^40"));
  EXPECT_TRUE(ValidateTensors(Tensors({{std::string(255, 'x'), {1}}, {"b", {}}})).ok());
}

TEST(LayoutTest, SlicesAreWithinTheLimitNearlyEqualAndCoverTheTensors) {
  for (const uint64_t slice_bytes : {64, 68, 124, 4096, 4100, 1 << 20}) {
    for (const int64_t count : {1, 15, 16, 17, 31, 32, 33, 1000, 12345, 300000}) {
      const Layout layout = Made(Tensors({{"a", {count}}, {"b", {7}}}), slice_bytes, 3);
      EXPECT_TRUE(ValidateLayout(layout, 3).ok()) << ValidateLayout(layout, 3);
      const uint64_t first = layout.slices.front().count;
      for (size_t i = 0; i + 1 < layout.slices.size(); ++i) {
        const SliceSpec& slice = layout.slices[i];
        EXPECT_LE(slice.count * 4, slice_bytes);
        const bool last = layout.slices[i + 1].tensor_id == 2;
        if (last) {
          EXPECT_LE(slice.count, first);
        } else {
          EXPECT_EQ(slice.count, first);
          EXPECT_EQ(slice.count % 16, 0u);
        }
      }
      EXPECT_EQ(layout.slices.back(), (SliceSpec{2, 0, 7, layout.slices.back().shard}));
    }
  }
}

TEST(LayoutTest, TheLargestSlicesGoFirstToTheEmptiestShard) {
  const Layout layout =
      Made(Tensors({{"a", {10}}, {"b", {100}}, {"c", {60}}, {"d", {30}}}), 4096, 2);
  ASSERT_EQ(layout.slices.size(), 4u);
  EXPECT_EQ(layout.slices[1].shard, 0u);  // b: 100
  EXPECT_EQ(layout.slices[2].shard, 1u);  // c: 60
  EXPECT_EQ(layout.slices[3].shard, 1u);  // d: 90
  EXPECT_EQ(layout.slices[0].shard, 1u);  // a: 100
  EXPECT_EQ(layout.epoch, 3u);
}

TEST(LayoutTest, EqualSlicesAreSpreadEvenlyAndTiesGoToTheLowestShard) {
  const Layout layout = Made(Tensors({{"a", {160}}}), 64, 3);
  std::map<uint32_t, int> slices;
  for (size_t i = 0; i < layout.slices.size(); ++i) {
    EXPECT_EQ(layout.slices[i].shard, i % 3);
    ++slices[layout.slices[i].shard];
  }
  EXPECT_EQ(slices[0], 4);
  EXPECT_EQ(slices[2], 3);
}

TEST(LayoutTest, BadArgumentsAreRefused) {
  const std::vector<TensorShape> tensors = Tensors({{"a", {1 << 30}}});
  EXPECT_EQ(MakeLayout(tensors, 4096, 0, 1).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(MakeLayout(tensors, 4095, 1, 1).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(MakeLayout(tensors, 60, 1, 1).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(MakeLayout(tensors, 0, 1, 1).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(std::string(MakeLayout(tensors, 64, 1, 1).status().message()),
            "slices of 64 bytes cut the model into more than 131072, the most there may be: use a "
            "larger slice_bytes");
}

TEST(LayoutTest, ALayoutFromOutsideIsCheckedForGapsOverlapsAndUnknownShards) {
  const Layout good = Made(Tensors({{"a", {100}}, {"b", {7}}}), 64, 2);
  const auto broken = [&](void (*breaks)(Layout*)) {
    Layout layout = good;
    breaks(&layout);
    return std::string(ValidateLayout(layout, 2).message());
  };
  EXPECT_EQ(broken([](Layout*) {}), "");
  EXPECT_THAT(broken([](Layout* l) { l->slices.erase(l->slices.begin() + 1); }),
              HasSubstr("starts at element 16"));
  EXPECT_THAT(broken([](Layout* l) { l->slices[0].count = 17; }),
              HasSubstr("starts at element 17"));
  EXPECT_THAT(broken([](Layout* l) { l->slices[0].count = 0; }), HasSubstr("has 0 elements"));
  EXPECT_THAT(broken([](Layout* l) { l->slices[0].count = ~uint64_t{0}; }),
              HasSubstr("elements of 100 left"));
  EXPECT_THAT(broken([](Layout* l) { l->slices[1].shard = 2; }), HasSubstr("shard 2 of 2"));
  EXPECT_THAT(broken([](Layout* l) { l->slices.pop_back(); }),
              HasSubstr("'b' starts at element 0"));
  EXPECT_THAT(broken([](Layout* l) {
                l->slices.push_back({3, 0, 1, 0});
              }),
              HasSubstr("of no tensor"));
  EXPECT_THAT(broken([](Layout* l) { std::swap(l->slices[0], l->slices[1]); }),
              HasSubstr("starts at element 0"));
  EXPECT_THAT(broken([](Layout* l) {
                l->shard_addresses = {{"x:1", "", ""}};
              }),
              HasSubstr("1 addresses"));
  EXPECT_THAT(broken([](Layout* l) { l->tensors[0].shape = {-1}; }), HasSubstr("dimension of -1"));
}

TEST(LayoutTest, AddressesAndCodecsFromOutsideAreCheckedToo) {
  const Layout good = Made(Tensors({{"a", {100}}, {"b", {7}}}), 64, 1);
  const auto message = [&](const ShardAddress& address, const std::vector<TensorCodec>& codecs) {
    Layout layout = good;
    layout.shard_addresses = {address};
    layout.codecs = codecs;
    return std::string(ValidateLayout(layout, 1).message());
  };
  const std::string path(107, 'p');
  const std::string key(255, 'k');
  EXPECT_EQ(message({"x:1", path, key}, {}), "");
  EXPECT_THAT(message({"x:1", path + "p", key}, {}), HasSubstr("shard 0 has an address"));
  EXPECT_THAT(message({"x:1", path, key + "k"}, {}), HasSubstr("shard 0 has an address"));
  EXPECT_THAT(message({std::string(1025, 'x'), "", ""}, {}), HasSubstr("shard 0 has an address"));

  const TensorCodec f32;
  const TensorCodec feedback = {Codec::kInt8, Codec::kF16, true};
  EXPECT_EQ(message({}, {f32, feedback}), "");
  EXPECT_THAT(message({}, {f32}), HasSubstr("2 tensors with the codecs of 1"));
  EXPECT_THAT(message({}, {f32, {Codec::kBf16, Codec::kBf16, true}}),
              HasSubstr("tensor 'b' has error feedback"));
  EXPECT_THAT(message({}, {{Codec::kUnspecified, Codec::kF32, false}, f32}),
              HasSubstr("tensor 'a' has a codec that is not known here, number 0"));
  EXPECT_THAT(message({}, {{Codec::kF32, static_cast<Codec>(5), false}, f32}),
              HasSubstr("tensor 'a' has a codec that is not known here, number 5"));
}

TEST(LayoutTest, ATensorsCodecIsF32WhereTheLayoutNamesNone) {
  Layout layout = Made(Tensors({{"a", {100}}, {"b", {7}}}), 64, 1);
  EXPECT_EQ(layout.codec(2), TensorCodec());
  layout.codecs = {TensorCodec(), {Codec::kInt8, Codec::kBf16, true}};
  EXPECT_EQ(layout.codec(1), TensorCodec());
  EXPECT_EQ(layout.codec(2), layout.codecs[1]);
}

}  // namespace
}  // namespace weir
