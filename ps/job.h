// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_PS_JOB_H_
#define WEIR_PS_JOB_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <variant>
#include <vector>

#include "core/buffer.h"
#include "core/codec.h"
#include "core/layout.h"
#include "core/optimizer.h"
#include "core/payload.h"

namespace weir {

// The arithmetic of a shard, as values: a shard decides, a job computes. Whoever runs a shard calls
// RunJob for each Job it hands out, wherever and in whatever order it likes, and hands the result
// back as the event OnJobDone. Jobs read only immutable memory (received payloads, committed
// weights, sums of held parts) and write only buffers of their own, so a result may be dropped at
// any time and nothing has happened. At most one job a slice is out at a time.

// Fills the weights of a slice for step 0 and its optimizer state with zeros, or both with what a
// cut holds.
struct InitJob {
  std::shared_ptr<const TensorShape> tensor;
  uint64_t seed = 0;    // of the job
  uint64_t offset = 0;  // of the slice, elements
  Payload source;  // the slice's first weights, little-endian f32; empty: the tensor's initializer
  Buffer weights_out;
  Codec pull_codec = Codec::kF32;
  Buffer encoded_out;                   // the weights in `pull_codec`; set unless that is f32
  std::array<Buffer, 2> state_out;      // those that the optimizer uses are set
  std::array<Payload, 2> state_source;  // the state's first values; empty: zeros
};

// One addition of the fixed tree over the parts of a step.
struct Addend {
  Buffer sum;           // a held sum of parts, finite
  bool is_left = true;  // it is the left operand, what was summed so far the right one
};

// Folds a gradient into the sums of held parts and, when that makes the update complete, applies
// it.
//
//   x = gradient, decoded, or `start` when the gradient is empty
//   x = addends[i] + x, or x + addends[i], in order
//   apply: weights_out, state_out = optimizer(weights, state, x * scale)
//          encoded_out = weights_out in `pull_codec`
//   else:  sum_out = x
struct FoldJob {
  Codec codec = Codec::kF32;    // of the gradient
  Payload gradient;             // as received, chunks may cut through elements
  Buffer start;                 // set when, and only when, the gradient is empty
  std::vector<Addend> addends;  // from the leaves to the root
  Buffer sum_out;               // set unless `apply`

  bool apply = false;
  OptimizerSpec optimizer;
  float scale = 1;
  float learning_rate = 0;
  uint64_t update = 1;  // the version that this commit makes
  Buffer weights;
  std::array<Buffer, 2> state;
  Buffer weights_out;
  Codec pull_codec = Codec::kF32;
  Buffer encoded_out;  // set when `apply`, unless the pull codec is f32
  std::array<Buffer, 2> state_out;
};

struct Job {
  uint64_t id = 0;     // names it to its shard; from 1, never used twice
  uint32_t slice = 0;  // position among the shard's slices; for people and traces
  uint64_t count = 0;  // elements
  std::variant<InitJob, FoldJob> work;
};

// What a job saw that forbids the use of its output.
enum class JobFault : uint8_t {
  kNone = 0,
  kNonFiniteGradient,  // the payload (of InitJob: a source) holds NaN or infinity
  kSumOverflow,        // every operand is finite, their sum is not
  kNonFiniteResult,    // the new weights or the new state are not finite
};
const char* JobFaultSentence(JobFault fault);  // "the gradient holds NaN or infinity" ...

struct JobResult {
  JobFault fault = JobFault::kNone;
};

// Runs `job`: fills its output buffers and says what it saw. Pure but for the outputs; thread-safe;
// allocates nothing payload-sized. The shard keeps references to the outputs, so only the result
// travels back.
JobResult RunJob(const Job& job);

}  // namespace weir

#endif  // WEIR_PS_JOB_H_
