// SPDX-License-Identifier: Apache-2.0
#include "weir/future.h"

#include <gtest/gtest.h>

#include <atomic>
#include <string>
#include <thread>

namespace weir {
namespace {

TEST(FutureTest, AWaitWithoutALimitLastsUntilTheAnswer) {
  for (int round = 0; round < 100; ++round) {  // the answer may now and then come before the wait
    auto state = std::make_shared<FutureState<int>>();
    const Future<int> future(state);
    std::atomic<bool> waiting{false};
    std::thread answer([&] {
      while (!waiting) std::this_thread::yield();
      for (int i = 0; i < 100; ++i) std::this_thread::yield();
      state->Set(7);
    });
    waiting = true;
    const bool ready = future.Wait(std::chrono::nanoseconds::max());
    answer.join();
    ASSERT_TRUE(ready) << "round " << round;
  }
}

TEST(FutureTest, AWaitEndsWhenItsTimeIsOver) {
  const Future<int> future(std::make_shared<FutureState<int>>());
  EXPECT_FALSE(future.Wait(std::chrono::nanoseconds(1)));
  EXPECT_FALSE(future.Wait(std::chrono::nanoseconds(-1)));
  EXPECT_FALSE(future.Wait(std::chrono::nanoseconds::min()));
  EXPECT_FALSE(future.Ready());
}

TEST(ResultTest, AConstantResultIsReadLikeAPointer) {
  const Result<std::string> result(std::string("weights"));
  EXPECT_EQ(*result, "weights");
  EXPECT_EQ(result->size(), 7u);
}

}  // namespace
}  // namespace weir
