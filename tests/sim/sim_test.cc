// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "tests/sim/cluster.h"
#include "tests/sim/event_queue.h"
#include "tests/sim/scenario.h"
#include "tests/sim/sim_main.h"
#include "tests/sim/totals.h"
#include "tests/sim/trace.h"

namespace weir::sim {
namespace {

TEST(SimTest, FiftyClustersKeepEveryPromiseAmongFaults) {
  for (uint64_t seed = 1; seed <= 50; ++seed) {
    const Verdict verdict = Simulate(seed, Trace::Lines::kNone);
    ASSERT_FALSE(verdict.broken) << MakeScenario(seed).Describe() << ": "
                                 << PromiseName(verdict.broken->promise) << ": "
                                 << verdict.broken->sentence;
    EXPECT_GE(verdict.totals.ended(), Scenario::kMinEnded) << seed;
    EXPECT_GE(verdict.totals.injected(), Scenario::kMinFaults) << seed;
  }
}

// Its job's id is all 'x', which strangers once took for the id of another job.
TEST(SimTest, AStrangerOfAnotherJobIsOneWhateverTheJobsId) {
  EXPECT_FALSE(Simulate(4728, Trace::Lines::kNone).broken);
}

TEST(SimTest, TheSameSeedGivesTheSameTraceEventByEvent) {
  for (uint64_t seed = 1; seed <= 10; ++seed) {
    const uint64_t first = Simulate(seed, Trace::Lines::kNone).trace_hash;
    EXPECT_EQ(first, Simulate(seed, Trace::Lines::kNone).trace_hash) << seed;
    EXPECT_EQ(first, Simulate(seed, Trace::Lines::kLast).trace_hash) << seed;
    EXPECT_NE(first, Simulate(seed + 1, Trace::Lines::kNone).trace_hash) << seed;
  }
}

TEST(SimTest, EveryScenarioLiesWithinTheStatedRanges) {
  for (uint64_t seed = 1; seed <= 500; ++seed) {
    const Scenario scenario = MakeScenario(seed);
    EXPECT_GE(scenario.job.shards, 1u);
    EXPECT_LE(scenario.job.shards, 4u);
    EXPECT_GE(scenario.workers, 2u);
    EXPECT_LE(scenario.workers, 6u);
    EXPECT_GE(scenario.layout.slices.size(), 3u);
    EXPECT_LE(scenario.layout.slices.size(), 12u);
    EXPECT_GE(scenario.faults.size(), Scenario::kMinFaults);
    EXPECT_TRUE(ValidateShardOptions(scenario.shard).ok()) << ValidateShardOptions(scenario.shard);
  }
}

TEST(EventQueueTest, EventsRunByTimeAndThoseOfOneTimeInTheOrderAdded) {
  EventQueue queue;
  std::string order;
  queue.After(absl::Seconds(2), [&] { order += 'd'; });
  queue.After(absl::Seconds(1), [&] {
    order += 'a';
    queue.After(absl::ZeroDuration(), [&] { order += 'c'; });
  });
  queue.After(absl::Seconds(1), [&] { order += 'b'; });
  while (!queue.empty()) queue.RunNext();
  EXPECT_EQ(order, "abcd");
  EXPECT_EQ(queue.events(), 4u);
  EXPECT_EQ(queue.micros(), 2000000u);
}

TEST(TraceTest, OneBitOfAPayloadChangesTheHash) {
  std::vector<float> bits(5, 1.0f);
  Trace first(Trace::Lines::kNone);
  first.Bits(bits.data(), bits.size() * sizeof(float));
  bits[4] = -1.0f;
  Trace second(Trace::Lines::kNone);
  second.Bits(bits.data(), bits.size() * sizeof(float));
  EXPECT_NE(first.hash(), second.hash());
}

TEST(TotalsTest, WhatNeverHappenedIsNamed) {
  Totals totals;
  totals.of(Fault::kCut) = 1;
  totals.of(Outcome::kStale) = 1;
  totals.of(Promise::kFenced) = 1;
  const std::vector<std::string> missing = totals.Missing();
  const auto has = [&](const char* name) {
    return std::find(missing.begin(), missing.end(), name) != missing.end();
  };
  EXPECT_FALSE(has("fault 'connection cut'"));
  EXPECT_TRUE(has("fault 'worker crashed'"));
  EXPECT_FALSE(has("outcome 'stale'"));
  EXPECT_TRUE(has("outcome 'applied'"));
  EXPECT_FALSE(has("promise 'fenced'"));
  EXPECT_TRUE(has("promise 'epoch'"));
}

TEST(SimMainTest, AnUnknownFlagIsAUsageError) {
  std::string program = "weir-sim";
  std::string flag = "--seed=one";
  char* argv[] = {program.data(), flag.data()};
  EXPECT_EQ(SimMain(2, argv), 2);
}

TEST(SimMainTest, OneHundredSeedsSeeEveryFaultOutcomeAndCheck) {
  std::string program = "weir-sim";
  std::string flag = "--seeds=100";
  char* argv[] = {program.data(), flag.data()};
  EXPECT_EQ(SimMain(2, argv), 0);
}

}  // namespace
}  // namespace weir::sim
