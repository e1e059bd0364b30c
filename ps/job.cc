// SPDX-License-Identifier: Apache-2.0
#include "ps/job.h"

#include <algorithm>
#include <cstring>

#include "core/encoded_sgd.h"
#include "core/initializer.h"
#include "core/payload_blocks.h"
#include "core/payload_decoder.h"
#include "core/stream_copy.h"
#include "core/tensor_sum.h"
#include "hwy/cache_control.h"

namespace weir {
namespace {

// What is made on the way to the optimizer stays in the nearest cache, and is enough for it to
// write past the caches.
constexpr size_t kTileElements = kStreamElements;
// New weights that are encoded wait in the nearest cache beside what they are made of.
constexpr size_t kFreshElements = 1024;
static_assert(kFreshElements % kInt8BlockElements == 0);

bool PayloadIsFinite(Codec codec, const Payload& payload, size_t count) {
  alignas(64) float tile[kTileElements];
  PayloadDecoder decoder(codec, payload, count);
  while (decoder.left() > 0) {
    size_t run = 0;
    const void* x = decoder.Next(kTileElements, tile, &run);
    if (!AllFinite(x, run)) return false;
  }
  return true;
}

JobFault RunInit(const InitJob& job, size_t count) {
  bool finite = true;
  for (size_t i = 0; i < job.state_out.size(); ++i) {
    const Buffer& state = job.state_out[i];
    if (!state) continue;
    if (job.state_source[i].empty()) {
      std::memset(state.data(), 0, state.size());
    } else {
      job.state_source[i].CopyTo(state.data());
      finite = AllFinite(state.data(), count) && finite;
    }
  }
  if (job.source.empty()) {
    Initialize(*job.tensor, job.seed, job.offset, count, job.weights_out.floats());
  } else {
    job.source.CopyTo(job.weights_out.data());
    finite = AllFinite(job.weights_out.data(), count) && finite;
  }
  if (job.encoded_out) {
    Encode(job.pull_codec, job.weights_out.floats(), count, job.encoded_out.data());
  }
  return finite ? JobFault::kNone : JobFault::kNonFiniteGradient;
}

// What the folds of a job have seen so far.
struct FoldFlags {
  bool sum = false;       // a copy or a sum was not finite
  bool gradient = false;  // what the optimizer was given
  bool result = false;    // what it made

  void See(const ApplyFlags& seen) {
    gradient |= seen.nonfinite_gradient;
    result |= seen.nonfinite_result;
  }
};

// What the optimizer does with the elements [at, at + count), but for the gradient and where the
// new weights go.
ApplyCall CallFor(const FoldJob& job, size_t at, size_t count) {
  ApplyCall call;
  call.scale = job.scale;
  call.learning_rate = job.learning_rate;
  call.update = job.update;
  call.weights = job.weights.floats() + at;
  for (size_t i = 0; i < job.state.size(); ++i) {
    if (!job.state[i]) continue;
    call.state[i] = job.state[i].floats() + at;
    call.state_out[i] = job.state_out[i].floats() + at;
  }
  call.count = count;
  return call;
}

// Folds and applies the elements [at, at + count), whose gradient is `x`; the new weights go to
// `weights_out`. `sum` holds as many and may be x.
void FoldRun(const FoldJob& job, const void* x, size_t at, size_t count, float* sum,
             float* weights_out, FoldFlags* flags) {
  for (const Addend& addend : job.addends) {
    const void* held = addend.sum.floats() + at;
    const SumFlags seen = addend.is_left ? Sum(held, x, sum, count) : Sum(x, held, sum, count);
    flags->sum |= seen.nonfinite_b || seen.nonfinite_out;
    x = sum;
  }
  if (job.apply) {
    ApplyCall call = CallFor(job, at, count);
    call.gradient = x;
    call.weights_out = weights_out;
    flags->See(Apply(job.optimizer, call));
  } else if (job.addends.empty()) {
    flags->sum |= !CopyChecked(x, sum, count);
  }
}

// The elements [at, at + count) of the new weights, made in a tile: encoded from there, then put
// where they belong.
void PutFresh(const FoldJob& job, const float* fresh, size_t at, size_t count, size_t of) {
  Encode(job.pull_codec, fresh, count, job.encoded_out.data() + EncodedBytes(job.pull_codec, at));
  float* const out = job.weights_out.floats() + at;
  if (of >= kStreamElements) return StreamCopy(fresh, count, out);
  std::memcpy(out, fresh, count * sizeof(float));
}

// Asks for the weights that the next tile needs while its gradient is decoded.
void AskForWeights(const FoldJob& job, size_t at, size_t count) {
  constexpr size_t kLineElements = 64 / sizeof(float);
  const float* const weights = job.weights.floats() + at;
  for (size_t i = 0; i < count; i += kLineElements) hwy::Prefetch(weights + i);
}

// A tile at a time where something is made of the elements more than once, so that it is found in
// the nearest cache. `gradient` is not empty.
FoldFlags FoldTiles(const FoldJob& job, Codec codec, const Payload& gradient, size_t count) {
  alignas(64) float tile[kTileElements];
  alignas(64) float fresh[kFreshElements];
  const bool tiled = codec != Codec::kF32 || (job.apply && !job.addends.empty());
  PayloadDecoder decoder(codec, gradient, count);
  FoldFlags flags;
  size_t put = 0;  // of the new weights; those behind, up to `done`, are in `fresh`
  for (size_t done = 0; done < count;) {
    float* const sum = job.apply ? tile : job.sum_out.floats() + done;
    const size_t longest = job.encoded_out ? kFreshElements - (done - put)
                           : tiled         ? kTileElements
                                           : count;
    if (job.encoded_out && codec != Codec::kF32) {
      AskForWeights(job, done, std::min(longest, count - done));
    }
    size_t run = 0;
    const void* x = decoder.Next(longest, sum, &run);
    float* const weights_out = job.encoded_out ? fresh + (done - put)
                               : job.apply     ? job.weights_out.floats() + done
                                               : nullptr;
    FoldRun(job, x, done, run, sum, weights_out, &flags);
    done += run;
    if (job.encoded_out && (done == count || done - put == kFreshElements)) {
      PutFresh(job, fresh, put, done - put, count);
      put = done;
    }
  }
  StreamFence();
  return flags;
}

// Whether one kernel makes everything from the gradient as it was received.
bool IsOneStep(const FoldJob& job, Codec codec) {
  return job.apply && job.addends.empty() && job.optimizer.type == OptimizerType::kSgd &&
         (codec != Codec::kF32 || job.encoded_out);
}

FoldFlags FoldInOneStep(const FoldJob& job, Codec codec, const Payload& gradient, size_t count) {
  PayloadBlocks blocks(codec, gradient, count);
  FoldFlags flags;
  for (size_t done = 0; done < count;) {
    size_t run = 0;
    const char* const encoded = blocks.Next(&run);
    ApplyCall call = CallFor(job, done, run);
    call.gradient = encoded;
    call.weights_out = job.weights_out.floats() + done;
    EncodedSgd how;
    how.gradient = codec;
    how.past_caches = count >= kStreamElements;
    if (job.encoded_out) {
      how.values = job.pull_codec;
      how.values_out = job.encoded_out.data() + EncodedBytes(job.pull_codec, done);
    }
    flags.See(ApplyEncodedSgd(job.optimizer, call, how));
    done += run;
  }
  StreamFence();
  return flags;
}

JobFault RunFold(const FoldJob& job, size_t count) {
  const bool is_received = !job.gradient.empty();
  const Payload gradient = is_received ? job.gradient : Payload(job.start);
  const Codec codec = is_received ? job.codec : Codec::kF32;
  const FoldFlags flags = IsOneStep(job, codec) ? FoldInOneStep(job, codec, gradient, count)
                                                : FoldTiles(job, codec, gradient, count);
  if (flags.sum || flags.gradient) {
    return PayloadIsFinite(codec, gradient, count) ? JobFault::kSumOverflow
                                                   : JobFault::kNonFiniteGradient;
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
