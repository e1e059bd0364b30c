// SPDX-License-Identifier: Apache-2.0
#include "ps/job.h"

#include <algorithm>
#include <cstring>

#include "core/initializer.h"
#include "core/tensor_sum.h"

namespace weir {
namespace {

// Partial sums on their way to the optimizer stay in the nearest cache.
constexpr size_t kTileElements = 4096;

// Reads a payload as floats from its start to its end without copying it: each run lies in one
// chunk, but for an element that two chunks share, which is a run of its own, put together.
class FloatRuns {
 public:
  explicit FloatRuns(const Payload& payload) : payload_(payload) {}

  // The next run: at most `longest` elements, at any byte alignment, valid until the next call.
  // REQUIRES: bytes are left.
  const char* Next(size_t longest, size_t* elements) {
    const Payload::Chunk* chunk = &payload_.chunks()[chunk_];
    if (at_ == chunk->size) {
      chunk = &payload_.chunks()[++chunk_];
      at_ = 0;
    }
    const char* run = chunk->data + at_;
    *elements = std::min(longest, (chunk->size - at_) / sizeof(float));
    if (*elements == 0) return Straddling(elements);
    at_ += *elements * sizeof(float);
    return run;
  }

 private:
  const char* Straddling(size_t* elements) {
    for (size_t have = 0; have < sizeof(float); ++have) {
      if (at_ == payload_.chunks()[chunk_].size) {
        ++chunk_;
        at_ = 0;
      }
      straddling_[have] = payload_.chunks()[chunk_].data[at_++];
    }
    *elements = 1;
    return straddling_;
  }

  const Payload& payload_;
  size_t chunk_ = 0;
  size_t at_ = 0;  // in the chunk
  char straddling_[sizeof(float)];
};

bool PayloadIsFinite(const Payload& payload) {
  FloatRuns runs(payload);
  for (size_t done = 0; done < payload.size() / sizeof(float);) {
    size_t count = 0;
    const char* run = runs.Next(payload.size(), &count);
    if (!AllFinite(run, count)) return false;
    done += count;
  }
  return true;
}

JobFault RunInit(const InitJob& job, size_t count) {
  for (const Buffer& state : job.state_out) {
    if (state) std::memset(state.data(), 0, state.size());
  }
  if (job.source.empty()) {
    Initialize(*job.tensor, job.seed, job.offset, count, job.weights_out.floats());
    return JobFault::kNone;
  }
  job.source.CopyTo(job.weights_out.data());
  return AllFinite(job.weights_out.data(), count) ? JobFault::kNone : JobFault::kNonFiniteGradient;
}

// What the folds of a job have seen so far.
struct FoldFlags {
  bool sum = false;       // a copy or a sum was not finite
  bool gradient = false;  // what the optimizer was given
  bool result = false;    // what it made
};

ApplyFlags ApplyRun(const FoldJob& job, const void* gradient, size_t at, size_t count) {
  ApplyCall call;
  call.gradient = gradient;
  call.scale = job.scale;
  call.learning_rate = job.learning_rate;
  call.update = job.update;
  call.weights = job.weights.floats() + at;
  call.weights_out = job.weights_out.floats() + at;
  for (size_t i = 0; i < job.state.size(); ++i) {
    if (!job.state[i]) continue;
    call.state[i] = job.state[i].floats() + at;
    call.state_out[i] = job.state_out[i].floats() + at;
  }
  call.count = count;
  return Apply(job.optimizer, call);
}

// Folds and applies the elements [at, at + count), whose gradient is `x`. `tile` holds as many.
void FoldRun(const FoldJob& job, const void* x, size_t at, size_t count, float* tile,
             FoldFlags* flags) {
  float* out = job.apply ? tile : job.sum_out.floats() + at;
  for (const Addend& addend : job.addends) {
    const void* held = addend.sum.floats() + at;
    const SumFlags seen = addend.is_left ? Sum(held, x, out, count) : Sum(x, held, out, count);
    flags->sum |= seen.nonfinite_b || seen.nonfinite_out;
    x = out;
  }
  if (job.apply) {
    const ApplyFlags seen = ApplyRun(job, x, at, count);
    flags->gradient |= seen.nonfinite_gradient;
    flags->result |= seen.nonfinite_result;
  } else if (job.addends.empty()) {
    flags->sum |= !CopyChecked(x, out, count);
  }
}

JobFault RunFold(const FoldJob& job, size_t count) {
  alignas(64) float tile[kTileElements];
  const size_t longest = job.apply && !job.addends.empty() ? kTileElements : count;
  const Payload gradient = job.gradient.empty() ? Payload(job.start) : job.gradient;
  FloatRuns runs(gradient);
  FoldFlags flags;
  for (size_t done = 0; done < count;) {
    size_t run = 0;
    const char* x = runs.Next(std::min(longest, count - done), &run);
    FoldRun(job, x, done, run, tile, &flags);
    done += run;
  }
  if (flags.sum || flags.gradient) {
    return PayloadIsFinite(gradient) ? JobFault::kSumOverflow : JobFault::kNonFiniteGradient;
  }
  return flags.result ? JobFault::kNonFiniteResult : JobFault::kNone;
}

}  // namespace

const char* JobFaultSentence(JobFault fault) {
  switch (fault) {
    case JobFault::kNone:
      return "nothing is wrong";
    case JobFault::kNonFiniteGradient:
      return "non-finite: the gradient holds NaN or infinity";
    case JobFault::kSumOverflow:
      return "non-finite: the gradient is finite, but its sum with the other parts of the step is "
             "not";
    case JobFault::kNonFiniteResult:
      return "non-finite: the update would make weights or optimizer state NaN or infinity";
  }
  return "unknown fault";
}

JobResult RunJob(const Job& job) {
  if (const auto* init = std::get_if<InitJob>(&job.work)) return {RunInit(*init, job.count)};
  return {RunFold(std::get<FoldJob>(job.work), job.count)};
}

}  // namespace weir
