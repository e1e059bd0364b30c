// SPDX-License-Identifier: Apache-2.0
#include "tools/rest_store.h"

#include <limits>
#include <thread>
#include <vector>

namespace weir {
namespace {

TEST(RestStoreTest, PushRaisesTheVersionAndAppliesSgd) {
  RestStore store({{"a", 3}, {"b", 1}}, 0.5);
  const auto pushed = store.Push("a", std::vector<float>{1, 2, 4});
  ASSERT_TRUE(pushed.ok()) << pushed.status();
  EXPECT_EQ(pushed->version, 1u);
  EXPECT_THAT(pushed->span(), ::testing::ElementsAre(-0.5f, -1.0f, -2.0f));
  EXPECT_EQ(store.Pull("b")->version, 0u);
  EXPECT_THAT(store.Pull("b")->span(), ::testing::ElementsAre(0.0f));
}

TEST(RestStoreTest, ReaderKeepsTheVersionThatItRead) {
  RestStore store({{"a", 1}}, 1);
  const std::vector<float> gradient = {1};
  std::vector<RestWeights> read;
  for (int i = 0; i < 20; ++i) read.push_back(*store.Push("a", gradient));
  for (size_t i = 0; i < read.size(); ++i) {
    EXPECT_EQ(read[i].version, i + 1);
    EXPECT_EQ(read[i].span()[0], -static_cast<float>(i + 1));
  }
}

TEST(RestStoreTest, RefusedPushChangesNothing) {
  RestStore store({{"a", 2}}, 1);
  const float inf = std::numeric_limits<float>::infinity();
  EXPECT_EQ(store.Push("a", std::vector<float>{1, inf}).status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(store.Push("a", std::vector<float>{1}).status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(store.Push("x", std::vector<float>{1}).status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(store.Pull("x").status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(store.Count("x").status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(store.Pull("a")->version, 0u);
  EXPECT_THAT(store.Pull("a")->span(), ::testing::Each(0.0f));
}

TEST(RestStoreTest, PushesFromManyThreadsAllCountAndNoReadIsTorn) {
  constexpr int kThreads = 4;
  constexpr int kPushes = 200;
  RestStore store({{"a", 500}}, 1);
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&store] {
      const std::vector<float> gradient(500, 1);
      for (int i = 0; i < kPushes; ++i) {
        const RestWeights weights = *store.Push("a", gradient);
        for (float value : weights.span()) ASSERT_EQ(value, -static_cast<float>(weights.version));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(store.Pull("a")->version, static_cast<uint64_t>(kThreads * kPushes));
}

}  // namespace
}  // namespace weir
