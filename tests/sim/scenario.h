// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_TESTS_SIM_SCENARIO_H_
#define WEIR_TESTS_SIM_SCENARIO_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "core/layout.h"
#include "launcher/member.h"
#include "ps/shard.h"

namespace weir::sim {

// A fault, as it is planned. Some do several things that Fault counts.
enum class FaultKind : uint8_t {
  kCut,
  kCutAll,  // every connection of one shard
  kSlow,
  kNotReading,
  kPause,
  kPauseOverLease,
  kCrash,
  kCrashInPush,
  kEpochChange,
  kPoison,
  kHostile,
  kControlLost,
  kCount,
};

struct PlannedFault {
  uint64_t after_ended = 0;  // slices pushed that have ended by then
  FaultKind kind = FaultKind::kCut;
};

// One simulated cluster: everything that a seed draws before the clock starts.
struct Scenario {
  uint64_t seed = 0;
  uint32_t workers = 2;
  ShardOptions shard;  // the same for all shards, but for its number
  JobSettings job;
  Layout layout;                     // of epoch 1, without addresses
  std::vector<PlannedFault> faults;  // by after_ended; at least kMinFaults
  absl::Duration shortest_delay;     // of a frame on its way
  absl::Duration longest_delay;
  absl::Duration longest_job;
  absl::Duration call_deadline;

  bool bsp() const { return shard.mode == ConsistencyMode::kBsp; }
  bool ssp() const { return shard.mode == ConsistencyMode::kSsp; }
  std::string Describe() const;

  static constexpr uint64_t kMinEnded = 200;
  static constexpr uint64_t kMinFaults = 5;
  static constexpr absl::Duration kLease = absl::Seconds(10);
};

// Pure: the same seed gives the same cluster.
Scenario MakeScenario(uint64_t seed);

}  // namespace weir::sim

#endif  // WEIR_TESTS_SIM_SCENARIO_H_
