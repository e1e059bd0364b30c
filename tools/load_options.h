// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_TOOLS_LOAD_OPTIONS_H_
#define WEIR_TOOLS_LOAD_OPTIONS_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "nlohmann/json.hpp"

namespace weir {

// What one load worker does, phase by phase (load_worker.h). It travels from the load test to its
// workers as a file of JSON. A phase of 0 is left out.
struct LoadOptions {
  std::string mode =
      "full";  // or apply, net, echo: layers on their own (load_apply.h, load_echo.h)
  std::string profile = "resnet50";   // as MakeLoadProfile takes it
  std::string codec = "f32";          // of pushes and pulls, as the topology says; for the check
  double learning_rate = 1.0 / 1024;  // of the job's plain SGD: a power of two
  uint64_t warmup_steps = 3;
  uint64_t steps = 30;          // counted push-pulls of the whole model
  uint64_t pulls = 2000;        // of the smallest tensor, one outstanding
  uint64_t each_pulls = 1000;   // of one tensor, drawn in turn from all
  uint64_t loaded_pulls = 200;  // of the smallest tensor while push-pulls are under way
  uint64_t model_pulls = 5;     // of the whole model: changed and unchanged in turn
  uint64_t outstanding = 1;     // steps in flight
  std::string values = "lent";  // of steps: read where they are lent, or "copied" to the worker's
  double rate_hz = 0;           // > 0: open loop, so many steps a second begin
  double pull_rate_hz = 0;      // > 0: the same of pulls
  double compute_ms = 0;        // sleeps so long before each step, as a gradient would take
  int64_t conflicts = 0;        // > 0: instead of all the above, so many steps that may be stale
  uint64_t memory_mark_steps = 0;  // > 0: note every peak of memory after so many steps too
  bool asks_servers = false;       // worker 0 asks for the servers' totals before it leaves
  double limit_s = 120;            // of waiting for the other workers at the start of a phase

  bool operator==(const LoadOptions& o) const;
};

nlohmann::json ToJson(const LoadOptions& options);
// INVALID_ARGUMENT: not such an object, or a number out of its range; says which.
absl::StatusOr<LoadOptions> LoadOptionsFromJson(const nlohmann::json& json);

// OK, or INVALID_ARGUMENT naming the option, its value and its range.
absl::Status CheckLoadOptions(const LoadOptions& options);

}  // namespace weir

#endif  // WEIR_TOOLS_LOAD_OPTIONS_H_
