// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_TOOLS_REST_PLAN_H_
#define WEIR_TOOLS_REST_PLAN_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "nlohmann/json.hpp"
#include "tools/load_profile.h"

namespace weir {

// What a process of the comparison is told when it starts, in a file.
struct ComparePlan {
  std::string socket;        // of the conductor
  std::string group;         // of the conductor's, that it joins
  std::string profile;       // as MakeLoadProfile takes it
  std::string form;          // of REST, as ParseRestForm takes it; empty: Weir
  uint32_t servers = 1;      // 1 to 64
  uint32_t workers = 1;      // 1 to 64
  std::vector<int> ports{};  // of the REST servers, by rank; servers do not need them
};

nlohmann::json ToJson(const ComparePlan& plan);
// INVALID_ARGUMENT: not such an object, or a number out of its range.
absl::StatusOr<ComparePlan> ComparePlanFromJson(const nlohmann::json& json);

// Reads the plan at `path`. As ReadFile and ComparePlanFromJson.
absl::StatusOr<ComparePlan> ReadComparePlan(const std::string& path);

// On which REST server each tensor lies: whole tensors, the largest first, each on the server with
// the fewest bytes so far, as Weir places its slices. By tensor.
absl::StatusOr<std::vector<uint32_t>> PlaceTensors(const LoadProfile& profile, uint32_t servers);

// The lives of the comparison's processes: each does what the conductor says until it says end, or
// is gone. `plan_path` names a ComparePlan.
absl::Status RunRestServer(const std::string& plan_path, uint32_t rank);
absl::Status RunRestWorker(const std::string& plan_path, uint32_t rank);
// A worker of a Weir job, which is in the environment (WEIR_COORDINATOR ...), its rank too.
absl::Status RunComparedWorker(const std::string& plan_path);

}  // namespace weir

#endif  // WEIR_TOOLS_REST_PLAN_H_
