// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_CORE_OPTIMIZER_H_
#define WEIR_CORE_OPTIMIZER_H_

#include <cstddef>
#include <cstdint>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace weir {

// The rules by which a shard turns a gradient into new weights. Each has a file of its own,
// core/optimizer_<name>.cc, with its formula and where it comes from.
enum class OptimizerType {
  kSgd,       // no state
  kMomentum,  // state[0]: velocity
  kNesterov,  // state[0]: velocity
  kAdagrad,   // state[0]: sum of squares
  kRmsProp,   // state[0]: running mean of squares
  kAdam,      // state[0]: first moment, state[1]: second moment
  kAdamW,     // as kAdam, with decoupled weight decay
};

// What a tensor's optimizer is, from its declaration; fixed for the tensor's life. A field that the
// type does not use (momentum of Adam, say) is ignored.
struct OptimizerSpec {
  OptimizerType type = OptimizerType::kSgd;
  double learning_rate = 0.01;  // the base rate; a schedule turns it into ApplyCall::learning_rate
  double momentum = 0.9;        // kMomentum, kNesterov
  double beta1 = 0.9;           // kAdam, kAdamW
  double beta2 = 0.999;         // kAdam, kAdamW
  double epsilon = 1e-8;        // kAdagrad, kRmsProp, kAdam, kAdamW
  double decay = 0.9;           // rho of kRmsProp
  // kAdamW: decoupled; every other type: weight_decay * w is added to the gradient.
  double weight_decay = 0;
  // Each element of the scaled gradient is cut to [-clip_value, clip_value]; 0: off.
  double clip_value = 0;
};

// "sgd", "momentum", "nesterov", "adagrad", "rmsprop", "adam", "adamw".
absl::string_view OptimizerName(OptimizerType type);

// The type of that name; INVALID_ARGUMENT, listing the names, for any other.
absl::StatusOr<OptimizerType> ParseOptimizerType(absl::string_view name);

// OK, or INVALID_ARGUMENT naming the field, its value and its range. Checks only fields that the
// type uses, and that each still lies in its range as a float.
absl::Status Validate(const OptimizerSpec& spec);

// How many arrays of state, each as long as the weights, the type keeps: 0, 1 or 2. They start as
// zeros.
int StateTensors(OptimizerType type);

// One update of a range of one tensor. Pointers are borrowed for the call.
//
// `weights_out` may equal `weights`, and `state_out[i]` may equal `state[i]`; apart from that an
// output overlaps nothing. The shard writes both beside the old ones. The unused ends of `state`
// and `state_out` are ignored and may be null.
struct ApplyCall {
  const void* gradient = nullptr;  // `count` little-endian floats at any byte alignment
  float scale = 1;                 // the gradient is multiplied by it first: 1 / examples
  float learning_rate = 0;         // of this commit
  uint64_t update = 1;             // 1 for the first commit, 2 for the next: bias correction
  const float* weights = nullptr;
  float* weights_out = nullptr;
  const float* state[2] = {nullptr, nullptr};
  float* state_out[2] = {nullptr, nullptr};
  size_t count = 0;  // elements
};

// What a kernel saw. If either is set, the outputs are to be dropped: the update must not be
// committed.
struct ApplyFlags {
  bool nonfinite_gradient = false;  // NaN or infinity in gradient * scale
  bool nonfinite_result = false;  // NaN or infinity in the new weights or the new state (overflow)
};

// Runs one update: g = gradient * scale; clipped to +-clip_value; plus weight_decay * w (not
// kAdamW); then the rule.
//
// Reads and writes every array once. Same bits on every x86-64 host, whatever its vector width, for
// any alignment, and for any split of a range into calls with the same scalars. Thread-safe; no
// allocation. REQUIRES: Validate(spec) is OK; `update` >= 1.
ApplyFlags Apply(const OptimizerSpec& spec, const ApplyCall& call);

}  // namespace weir

#endif  // WEIR_CORE_OPTIMIZER_H_
