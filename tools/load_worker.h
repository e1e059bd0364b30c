// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_TOOLS_LOAD_WORKER_H_
#define WEIR_TOOLS_LOAD_WORKER_H_

#include <functional>

#include "absl/status/statusor.h"
#include "tools/load_options.h"
#include "tools/load_report.h"
#include "weir/worker.h"

namespace weir {

// What a load worker tells whoever started it: that the counted steps begin, that as many of them
// have ended as `memory_mark_steps` says, and that all have.
struct LoadMarks {
  std::function<void()> begins;
  std::function<void()> memory;
  std::function<void()> ends;
};

// Runs one worker's load against a job in mode asp, whose optimizer is plain sgd at
// options.learning_rate, phase by phase; the workers of a job start each phase together.
//
// 1. Steps: the whole model pushed and pulled, `warmup_steps` not counted. A step is many calls, in
//    flight at once, first layers first; each is checked when it comes back, while the others are
//    on their way.
// 2. Pulls of the smallest tensor, one outstanding.
// 3. Pulls of one tensor, drawn in turn from all.
// 4. Pulls of the smallest tensor while a push-pull of the model is always under way.
// 5. Pulls of the whole model: after every slice has changed, and at once again, unchanged.
// With `conflicts`: instead, so many steps of which each slice may be stale.
//
// Every value that comes back is compared to its formula (load_pattern.h) inside the clock.
//
// INTERNAL: a call failed; says which. DEADLINE_EXCEEDED: the other workers did not come.
// RESOURCE_EXHAUSTED: so many pushes that the formula is not exact any more.
// INVALID_ARGUMENT: slices that the codec does not carry exactly.
absl::StatusOr<LoadReport> RunLoadWorker(Worker& worker, const LoadOptions& options,
                                         const LoadMarks& marks);

}  // namespace weir

#endif  // WEIR_TOOLS_LOAD_WORKER_H_
