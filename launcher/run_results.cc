// SPDX-License-Identifier: Apache-2.0
#include "launcher/run_results.h"

#include <memory>

#include "absl/strings/str_cat.h"
#include "core/build_info.h"
#include "core/host_key.h"
#include "core/safetensors.h"
#include "launcher/run_directory.h"
#include "launcher/weight_export.h"

namespace weir {
namespace {

constexpr absl::Duration kReadLimit = absl::Minutes(5);

// Evaluates the weights that were read, which are those of the run's last step.
absl::Status Evaluate(const Weights& weights, Model* model, RunSummary* summary) {
  std::vector<TensorView> views;
  for (size_t i = 0; i < weights.tensors().size(); ++i) {
    TensorView view;
    view.data = weights.data(i);
    view.count = weights.tensors()[i].count();
    views.push_back(view);
  }
  Result<Evaluation> evaluation = model->Evaluate(views);
  if (!evaluation.ok()) return absl::InternalError(evaluation.status().message());
  if (evaluation->examples > 0) {
    summary->test_accuracy =
        static_cast<double>(evaluation->correct) / static_cast<double>(evaluation->examples);
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status SaveWeights(const JobStatus& job, const std::string& job_token,
                         const std::string& run_dir, Model* model, RunSummary* summary) {
  absl::StatusOr<std::unique_ptr<Weights>> weights =
      ReadWeights(job, job_token, ReadHostKey(), kReadLimit);
  if (!weights.ok()) return weights.status();
  absl::Status written = WriteSafetensors(
      absl::StrCat(run_dir, "/model.safetensors"), (*weights)->Views(),
      {{"job", job.settings.name}, {"step", absl::StrCat(job.step)}, {"weir", Version()}});
  if (!written.ok()) return written;
  summary->weights_sha256 = WeightsSha256((*weights)->Views());
  return model == nullptr ? absl::OkStatus() : Evaluate(**weights, model, summary);
}

absl::Status WriteSummary(const std::string& run_dir, const RunSummary& summary) {
  return WriteFile(absl::StrCat(run_dir, "/summary.json"), SummaryJson(summary), 0644);
}

}  // namespace weir
