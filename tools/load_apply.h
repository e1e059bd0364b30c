// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_TOOLS_LOAD_APPLY_H_
#define WEIR_TOOLS_LOAD_APPLY_H_

#include "absl/status/statusor.h"
#include "tools/load_options.h"
#include "tools/load_report.h"
#include "tools/load_worker.h"

namespace weir {

// --mode=apply: what a shard computes for a step, in this process and on this thread alone: a
// FoldJob with plain SGD for each slice of the model, from gradients that lie in memory, into
// buffers beside the present weights. No frames, no network, no shard. The values are compared to
// the formula after each step, outside its clock.
// RESOURCE_EXHAUSTED: beyond the versions that the formula is exact for. INTERNAL: a job found a
// fault.
absl::StatusOr<LoadReport> RunLoadApply(const LoadOptions& options, const LoadMarks& marks);

}  // namespace weir

#endif  // WEIR_TOOLS_LOAD_APPLY_H_
