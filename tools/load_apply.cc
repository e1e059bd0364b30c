// SPDX-License-Identifier: Apache-2.0
#include "tools/load_apply.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/buffer.h"
#include "ps/job.h"
#include "tools/load_memory.h"
#include "tools/load_memory_use.h"
#include "tools/load_pattern.h"
#include "tools/load_pieces.h"
#include "tools/load_profile.h"
#include "tools/load_step.h"

namespace weir {
namespace {

struct AppliedSlice {
  SliceRange range;
  std::vector<Buffer> gradients;  // used in turn
  Buffer weights;
  Buffer spare;  // what the next version is written to
};

class LocalApply {
 public:
  LocalApply(const LoadProfile& profile, const LoadOptions& options)
      : options_(options), check_(options.learning_rate, Codec::kF32) {
    const uint64_t bytes = static_cast<uint64_t>(profile.parameters()) * sizeof(float);
    const size_t sets = GradientSets(bytes, LastCacheBytes(), kMostGradientBytes);
    for (const SliceRange& range : SlicesOf(profile.tensors)) {
      AppliedSlice slice;
      slice.range = range;
      for (size_t set = 0; set < sets; ++set) {
        slice.gradients.push_back(pool_.Allocate(range.count * sizeof(float)));
        FillGradient(range.offset, range.count, slice.gradients.back().floats());
      }
      slice.weights = pool_.Allocate(range.count * sizeof(float));
      slice.spare = pool_.Allocate(range.count * sizeof(float));
      std::fill_n(slice.weights.floats(), range.count, 0.0f);
      slices_.push_back(std::move(slice));
    }
    report_.gradient_bytes = sets * bytes;
    report_.last_cache_bytes = LastCacheBytes();
  }

  // One version more of every slice.
  absl::Status Step() {
    if (++version_ > kLastExactVersion)
      return absl::ResourceExhaustedError("load worker: more steps than the formula is exact for");
    for (AppliedSlice& slice : slices_) {
      FoldJob fold;
      fold.gradient = Payload(slice.gradients[version_ % slice.gradients.size()], 0,
                              slice.range.count * sizeof(float));
      fold.apply = true;
      fold.optimizer.type = OptimizerType::kSgd;
      fold.optimizer.learning_rate = options_.learning_rate;
      fold.learning_rate = static_cast<float>(options_.learning_rate);
      fold.update = version_;
      fold.weights = slice.weights;
      fold.weights_out = slice.spare;
      Job job;
      job.id = version_;
      job.count = slice.range.count;
      job.work = std::move(fold);
      const JobResult result = RunJob(job);
      if (result.fault != JobFault::kNone) {
        return absl::InternalError(
            absl::StrCat("load worker: a job's fault: ", JobFaultSentence(result.fault)));
      }
      std::swap(slice.weights, slice.spare);
    }
    return absl::OkStatus();
  }

  void Check() {
    for (const AppliedSlice& slice : slices_) {
      report_.wrong += check_.CountWrong(slice.weights.floats(), slice.range.offset,
                                         slice.range.count, version_);
      report_.checked += slice.range.count;
    }
  }

  LoadReport& report() { return report_; }

 private:
  const LoadOptions& options_;
  PatternCheck check_;
  BufferPool pool_;
  std::vector<AppliedSlice> slices_;
  uint64_t version_ = 0;
  LoadReport report_;
};

}  // namespace

absl::StatusOr<LoadReport> RunLoadApply(const LoadOptions& options, const LoadMarks& marks) {
  const auto profile = MakeLoadProfile(options.profile);
  if (!profile.ok()) return profile.status();
  LocalApply apply(*profile, options);
  for (uint64_t i = 0; i < options.warmup_steps; ++i) {
    if (absl::Status status = apply.Step(); !status.ok()) return status;
  }
  marks.begins();
  LoadReport& report = apply.report();
  for (uint64_t i = 0; i < options.steps; ++i) {
    const double cpu = CpuSeconds();
    const double start = LoadNow();
    if (absl::Status status = apply.Step(); !status.ok()) return status;
    const double seconds = LoadNow() - start;
    report.steps.Record(static_cast<uint64_t>(seconds * 1e9));
    report.seconds += seconds;
    report.cpu_seconds += CpuSeconds() - cpu;
    apply.Check();
  }
  marks.ends();
  report.moved_bytes =
      2 * options.steps * static_cast<uint64_t>(profile->parameters()) * sizeof(float);
  report.wire_bytes = 0;  // nothing is sent
  report.bytes_per_second = static_cast<double>(report.moved_bytes) / report.seconds;
  report.peak_rss_bytes = PeakRssBytes(0);
  return std::move(report);
}

}  // namespace weir
