// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_CORE_SCHEDULE_H_
#define WEIR_CORE_SCHEDULE_H_

#include <cstdint>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

// Learning rates over the steps of a run: pure functions of the step, the same bits on every host.
namespace weir {

enum class ScheduleType {
  kConstant,
  kStep,
  kCosine,
};

// With s = step - warmup_steps, steps counted from 0, the rate at a step is base times
//
//   warm-up (step < warmup_steps)   (step + 1) / (warmup_steps + 1), linear, reaching base at step
//   warmup_steps
//                                   (P. Goyal et al., "Accurate, Large Minibatch SGD", 2017,
//                                   section 2.2)
//   kConstant                       1
//   kStep                           gamma ^ floor(s / every)
//   kCosine                         floor + (1 - floor) * (1 + cos(pi * s / (total_steps -
//   warmup_steps))) / 2, and floor from
//                                   total_steps on; floor = min_rate / base
//                                   (I. Loshchilov, F. Hutter, "SGDR", ICLR 2017, equation 5,
//                                   without restarts)
//
// A field that the type does not use is ignored.
struct ScheduleSpec {
  ScheduleType type = ScheduleType::kConstant;
  double base_rate = 0.01;
  uint64_t warmup_steps = 0;  // 0: none
  uint64_t every = 0;         // kStep: steps between two decays
  double gamma = 0.1;         // kStep
  uint64_t total_steps = 0;   // kCosine: warm-up included
  double min_rate = 0;        // kCosine: where it ends
};

// "constant", "step", "cosine".
absl::string_view ScheduleName(ScheduleType type);

// The type of that name; INVALID_ARGUMENT, listing the names, for any other.
absl::StatusOr<ScheduleType> ParseScheduleType(absl::string_view name);

// OK, or INVALID_ARGUMENT naming the field, its value and its range.
absl::Status Validate(const ScheduleSpec& spec);

// The rate at `step`, counted from 0. Thread-safe. REQUIRES: Validate(spec) is OK.
float LearningRate(const ScheduleSpec& spec, uint64_t step);

}  // namespace weir

#endif  // WEIR_CORE_SCHEDULE_H_
