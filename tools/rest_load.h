// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_TOOLS_REST_LOAD_H_
#define WEIR_TOOLS_REST_LOAD_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "core/histogram.h"
#include "nlohmann/json.hpp"
#include "tools/load_pattern.h"
#include "tools/load_profile.h"
#include "tools/rest_lane.h"
#include "weir/memory.h"

namespace weir {

// The load of the comparison, the same over every system. Gradients and values are
// load_pattern.h's. Memory is the caller's to choose, as each system likes it best.

// The rate of both sides' plain SGD: a power of two, so that every value is exact in f32.
constexpr double kCompareLearningRate = 1.0 / 1024;

// One part in this many of the model is pushed and pulled a step.
constexpr size_t kComparePart = 16;

// Which tensors a step moves: every 16th, from the first one for which their bytes come nearest to
// a 16th of the model. Ascending; at least one.
std::vector<uint32_t> CompareTensors(const LoadProfile& profile);

// Of one gradient of each of these, each from a multiple of 64 bytes on.
size_t CompareGradientBytes(const LoadProfile& profile);

// One phase: requests in a closed loop, `in_flight` at a time, until the time is over.
struct ComparePhase {
  bool push = false;           // push and pull the part's tensors in turn; else pull all in turn
  uint32_t in_flight = 1;      // 1 to 64
  double seconds = 1;          // no request begins later, but for
  uint64_t min_exchanges = 1;  // so many
};
nlohmann::json ToJson(const ComparePhase& phase);
absl::StatusOr<ComparePhase> ComparePhaseFromJson(const nlohmann::json& json);

// What one worker, or all together, saw of a phase.
struct PhaseResult {
  double mb_per_second = 0;  // 10^6 model bytes pushed and pulled; of several workers: the sum
  uint64_t exchanges = 0;
  uint64_t bytes = 0;
  uint64_t checked = 0;  // values
  uint64_t wrong = 0;
  Histogram latency_ns;  // from sending a request to its last byte decoded, the check left out

  void Add(const PhaseResult& other);
};
nlohmann::json ToJson(const PhaseResult& result);
// DATA_LOSS: not such a result.
absl::StatusOr<PhaseResult> PhaseResultFromJson(const nlohmann::json& json);

// One worker's side. Owns the gradients and, for each request in flight, a lane, and a thread while
// a phase runs.
class CompareLoad {
 public:
  using LaneMaker = std::function<std::unique_ptr<ExchangeLane>()>;

  // `gradients` holds CompareGradientBytes(profile); it is filled here.
  CompareLoad(const LoadProfile& profile, uint32_t rank, uint32_t workers, TensorMemory gradients,
              LaneMaker make_lane);

  // Runs a phase to its end. The first lane's error, if one fails.
  absl::StatusOr<PhaseResult> Run(const ComparePhase& phase);

 private:
  struct Lane {
    std::unique_ptr<ExchangeLane> exchange;
    PatternCheck check{kCompareLearningRate, Codec::kF32};
    PhaseResult result;
    absl::Status status = absl::OkStatus();
  };

  void Drive(const ComparePhase& phase, double deadline, Lane* lane);
  absl::Status Exchange(const ComparePhase& phase, uint64_t number, Lane* lane);

  const uint32_t rank_;
  const uint32_t workers_;
  const LaneMaker make_lane_;
  const std::vector<uint32_t> part_;
  std::vector<size_t> counts_;                        // by tensor
  const TensorMemory memory_;                         // of the gradients
  std::vector<absl::Span<const float>> gradients_{};  // by place in part_
  std::vector<Lane> lanes_;
  std::atomic<uint64_t> next_{0};  // number of the next request of the phase, over all lanes
};

}  // namespace weir

#endif  // WEIR_TOOLS_REST_LOAD_H_
