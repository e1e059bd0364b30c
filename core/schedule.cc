// SPDX-License-Identifier: Apache-2.0
#include "core/schedule.h"

#include <limits>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "core/portable_math.h"

namespace weir {
namespace {

constexpr absl::string_view kNames[] = {"constant", "step", "cosine"};
constexpr uint64_t kMaxSteps = uint64_t{1} << 52;  // exact as double

absl::Status Refuse(absl::string_view field, double value, absl::string_view range) {
  return absl::InvalidArgumentError(
      absl::StrCat("schedule ", field, " is ", value, "; it must be ", range));
}

double CosineRate(const ScheduleSpec& spec, uint64_t steps_after_warmup) {
  const uint64_t length = spec.total_steps - spec.warmup_steps;
  if (steps_after_warmup >= length) return spec.min_rate;
  const double progress = static_cast<double>(steps_after_warmup) / static_cast<double>(length);
  const double share = (1 + PortableCosSin(progress / 2).cos) / 2;
  return spec.min_rate + (spec.base_rate - spec.min_rate) * share;
}

}  // namespace

absl::string_view ScheduleName(ScheduleType type) { return kNames[static_cast<int>(type)]; }

absl::StatusOr<ScheduleType> ParseScheduleType(absl::string_view name) {
  for (size_t i = 0; i < std::size(kNames); ++i) {
    if (kNames[i] == name) return static_cast<ScheduleType>(i);
  }
  return absl::InvalidArgumentError(absl::StrCat("unknown learning-rate schedule '", name,
                                                 "'; there are: ", absl::StrJoin(kNames, ", ")));
}

absl::Status Validate(const ScheduleSpec& spec) {
  constexpr double kLargestFloat = std::numeric_limits<float>::max();
  if (!(spec.base_rate >= 0 && spec.base_rate <= kLargestFloat)) {
    return Refuse("base_rate", spec.base_rate, "a finite float of at least 0");
  }
  if (spec.warmup_steps > kMaxSteps) {
    return Refuse("warmup_steps", static_cast<double>(spec.warmup_steps), "at most 2^52");
  }
  switch (spec.type) {
    case ScheduleType::kConstant:
      return absl::OkStatus();
    case ScheduleType::kStep:
      if (spec.every == 0) return Refuse("every", 0, "at least 1");
      if (!(spec.gamma > 0 && spec.gamma <= 1)) {
        return Refuse("gamma", spec.gamma, "above 0 and at most 1");
      }
      return absl::OkStatus();
    case ScheduleType::kCosine:
      if (spec.total_steps <= spec.warmup_steps || spec.total_steps > kMaxSteps) {
        return Refuse(
            "total_steps", static_cast<double>(spec.total_steps),
            absl::StrCat("above warmup_steps, which is ", spec.warmup_steps, ", and at most 2^52"));
      }
      if (!(spec.min_rate >= 0 && spec.min_rate <= spec.base_rate)) {
        return Refuse("min_rate", spec.min_rate,
                      absl::StrCat("from 0 to base_rate, which is ", spec.base_rate));
      }
      return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      absl::StrCat("schedule type ", static_cast<int>(spec.type), " does not exist"));
}

float LearningRate(const ScheduleSpec& spec, uint64_t step) {
  if (step < spec.warmup_steps) {
    const double share = static_cast<double>(step + 1) / static_cast<double>(spec.warmup_steps + 1);
    return static_cast<float>(spec.base_rate * share);
  }
  const uint64_t after = step - spec.warmup_steps;
  switch (spec.type) {
    case ScheduleType::kConstant:
      break;
    case ScheduleType::kStep:
      return static_cast<float>(spec.base_rate * PortablePower(spec.gamma, after / spec.every));
    case ScheduleType::kCosine:
      return static_cast<float>(CosineRate(spec, after));
  }
  return static_cast<float>(spec.base_rate);
}

}  // namespace weir
