// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_LAUNCHER_RUN_RESULTS_H_
#define WEIR_LAUNCHER_RUN_RESULTS_H_

#include <string>

#include "absl/status/status.h"
#include "launcher/summary.h"
#include "weir/model.h"

namespace weir {

// Reads the trained weights from the job's servers, writes them to <run_dir>/model.safetensors, and
// fills in the summary's weights_sha256 and, when `model` is given and has a test set,
// test_accuracy. Nobody may push meanwhile.
absl::Status SaveWeights(const JobStatus& job, const std::string& job_token,
                         const std::string& run_dir, Model* model, RunSummary* summary);

// Writes <run_dir>/summary.json.
absl::Status WriteSummary(const std::string& run_dir, const RunSummary& summary);

}  // namespace weir

#endif  // WEIR_LAUNCHER_RUN_RESULTS_H_
