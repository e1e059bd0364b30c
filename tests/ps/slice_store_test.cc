// SPDX-License-Identifier: Apache-2.0
#include "ps/slice_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace weir {
namespace {

using ::testing::HasSubstr;

// "a": slices at 0, 16, 32 of 16 elements and at 48 of 2; "b": one slice. Odd slices of "a" are on
// shard 1.
Layout TwoTensors() {
  Layout layout;
  layout.epoch = 9;
  layout.tensors = {{"a", {50}, {}}, {"b", {3}, {}}};
  layout.slices = {{1, 0, 16, 0}, {1, 16, 16, 1}, {1, 32, 16, 0}, {1, 48, 2, 1}, {2, 0, 3, 0}};
  return layout;
}

class SliceStoreTest : public testing::Test {
 protected:
  std::string TensorError(const std::string& name, uint32_t id) const {
    return std::string(store.FindTensor(name, id).status().message());
  }

  SliceStore store{TwoTensors(), 0};
  BufferPool pool;
};

TEST_F(SliceStoreTest, HoldsTheSlicesOfItsShardInOrder) {
  ASSERT_EQ(store.size(), 3u);
  EXPECT_EQ(store[1].spec, (SliceSpec{1, 32, 16, 0}));
  EXPECT_EQ(store[2].spec.tensor_id, 2u);
  EXPECT_EQ(store.largest_slice_bytes(), 64u);
  EXPECT_EQ(SliceStore(TwoTensors(), 7).size(), 0u);
}

TEST_F(SliceStoreTest, TensorsAreFoundByNameOrIdAndErrorsSayWhy) {
  EXPECT_EQ(*store.FindTensor("b", 0), 2u);
  EXPECT_EQ(*store.FindTensor("b", 2), 2u);
  EXPECT_EQ(*store.FindTensor("", 1), 1u);
  EXPECT_THAT(TensorError("c", 0), HasSubstr("no tensor is named 'c' in the layout of epoch 9"));
  EXPECT_THAT(TensorError("b", 1), HasSubstr("'b' has the id 2, not 1"));
  EXPECT_THAT(TensorError("", 0), HasSubstr("no tensor has the id 0"));
  EXPECT_THAT(TensorError("", 3), HasSubstr("no tensor has the id 3"));
  EXPECT_LT(TensorError(std::string(100000, 'x'), 0).size(), 200u);
}

TEST_F(SliceStoreTest, SlicesAreFoundExactlyAndErrorsSayWhy) {
  EXPECT_EQ(*store.FindSlice(1, 32, 16), 1u);
  EXPECT_EQ(*store.FindSlice(2, 0, 3), 2u);
  EXPECT_THAT(std::string(store.FindSlice(1, 16, 16).status().message()),
              HasSubstr("is on shard 1, not on 0"));
  for (const auto& [offset, count] : std::vector<std::pair<uint64_t, uint64_t>>{
           {0, 15}, {0, 17}, {0, 32}, {1, 16}, {50, 1}, {~uint64_t{0}, 1}, {0, 0}}) {
    EXPECT_THAT(std::string(store.FindSlice(1, offset, count).status().message()),
                HasSubstr("has no slice of tensor 'a'"));
  }
}

TEST_F(SliceStoreTest, ARangeHoldsTheSlicesThatLieWhollyWithin) {
  using Range = std::pair<uint32_t, uint32_t>;
  EXPECT_EQ(store.Within(1, 0, 50), Range(0, 2));
  EXPECT_EQ(store.Within(1, 0, 48), Range(0, 2));
  EXPECT_EQ(store.Within(1, 0, 47), Range(0, 1));
  EXPECT_EQ(store.Within(1, 1, 48), Range(1, 2));
  EXPECT_EQ(store.Within(1, 16, 32).first, store.Within(1, 16, 32).second);
  EXPECT_EQ(store.Within(2, 0, 3), Range(2, 3));
  EXPECT_EQ(store.Within(2, 0, 2).first, store.Within(2, 0, 2).second);
}

TEST_F(SliceStoreTest, ACommitKeepsTheVersionBefore) {
  const Buffer zero = pool.Allocate(64);
  const Buffer one = pool.Allocate(64);
  const Buffer one_encoded = pool.Allocate(32);
  const Buffer two = pool.Allocate(64);
  store.Initialise(0, 0, {zero, {}}, {});
  EXPECT_EQ(store.ValuesAt(0, 0).weights.data(), zero.data());
  EXPECT_FALSE(store.ValuesAt(0, ~uint64_t{0}));
  EXPECT_FALSE(store.ValuesAt(0, 1));
  store.Commit(0, {one, one_encoded}, {});
  store.Commit(0, {two, {}}, {});
  EXPECT_EQ(store[0].version, 2u);
  EXPECT_EQ(store.ValuesAt(0, 2).weights.data(), two.data());
  EXPECT_EQ(store.ValuesAt(0, 1).weights.data(), one.data());
  EXPECT_EQ(store.ValuesAt(0, 1).encoded.data(), one_encoded.data());
  EXPECT_FALSE(store.ValuesAt(0, 0));
  EXPECT_TRUE(zero.unique());
}

TEST_F(SliceStoreTest, TheLeastVersionIsFound) {
  store.Commit(0, {pool.Allocate(64), {}}, {});
  EXPECT_EQ(store.Least(), 1u);
  store.Commit(1, {pool.Allocate(64), {}}, {});
  store.Commit(1, {pool.Allocate(64), {}}, {});
  store.Commit(2, {pool.Allocate(64), {}}, {});
  EXPECT_EQ(store.Least(), 0u);
}

}  // namespace
}  // namespace weir
