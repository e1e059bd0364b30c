// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_TOOLS_LOAD_WORKER_H_
#define WEIR_TOOLS_LOAD_WORKER_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "tools/load_profile.h"
#include "weir/worker.h"

namespace weir {

// The rate of the load test's servers: plain SGD by a power of two, so that every value is exact in
// f32.
constexpr double kLoadLearningRate = 1.0 / 1024;

struct LoadOptions {
  uint64_t steps = 30;  // counted, after `warmup_steps`
  uint64_t warmup_steps = 3;
  uint64_t pulls = 2000;        // of the smallest tensor, one outstanding, a phase of its own
  uint64_t loaded_pulls = 200;  // of the smallest tensor, while push-pulls are under way
};

// What one worker of the load test saw. Times in seconds.
struct LoadReport {
  std::vector<double> steps;  // each counted push-pull of the whole model, its check included
  std::vector<double> pulls;
  std::vector<double> loaded_pulls;
  double seconds = 0;        // of all counted steps together
  uint64_t model_bytes = 0;  // f32 bytes of the model
  uint64_t wrong = 0;        // elements or outcomes that were not what the formula says
  uint64_t checked = 0;      // elements compared
  double cpu_seconds = 0;    // of this process in the counted steps
  uint64_t peak_rss_bytes = 0;
};

// Runs one worker's load against a job in mode asp without a bound, whose optimizer is sgd at
// kLoadLearningRate.
//
// Every gradient is the same small integers, so that the weight of an element at version v is -v *
// rate * gradient, whatever the order in which workers push: every value that comes back is
// compared to that, inside the clock. The workers of a job start each phase together: each pushes
// to a tensor of one element and reads it until its version counts everybody.
absl::StatusOr<LoadReport> RunLoadWorker(Worker& worker, const LoadProfile& profile,
                                         const LoadOptions& options);

}  // namespace weir

#endif  // WEIR_TOOLS_LOAD_WORKER_H_
