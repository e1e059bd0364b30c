// SPDX-License-Identifier: Apache-2.0
#include "core/optimizer.h"

#include <cmath>
#include <limits>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "core/optimizer_rules.h"
#include "core/portable_math.h"

namespace weir {
namespace {

constexpr absl::string_view kNames[] = {"sgd",     "momentum", "nesterov", "adagrad",
                                        "rmsprop", "adam",     "adamw"};
constexpr double kLargestFloat = std::numeric_limits<float>::max();
constexpr double kSmallestFloat = std::numeric_limits<float>::min();

// Not NaN, low <= value <= high.
absl::Status Check(absl::string_view field, double value, double low, double high,
                   absl::string_view range) {
  if (value >= low && value <= high) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("optimizer ", field, " is ", value, "; it must be ", range));
}

// In [0, 1), also after rounding to float.
absl::Status CheckFraction(absl::string_view field, double value) {
  const bool in_range = value >= 0 && static_cast<float>(value) < 1.0f;
  return in_range ? absl::OkStatus() : Check(field, value, 1, 0, "at least 0 and below 1");
}

absl::Status ValidateTypeFields(const OptimizerSpec& spec) {
  switch (spec.type) {
    case OptimizerType::kSgd:
    case OptimizerType::kAdagrad:
      return absl::OkStatus();
    case OptimizerType::kMomentum:
    case OptimizerType::kNesterov:
      return CheckFraction("momentum", spec.momentum);
    case OptimizerType::kRmsProp:
      return CheckFraction("decay", spec.decay);
    case OptimizerType::kAdam:
    case OptimizerType::kAdamW:
      if (absl::Status status = CheckFraction("beta1", spec.beta1); !status.ok()) return status;
      return CheckFraction("beta2", spec.beta2);
  }
  return absl::InvalidArgumentError(
      absl::StrCat("optimizer type ", static_cast<int>(spec.type), " does not exist"));
}

bool UsesEpsilon(OptimizerType type) {
  return type == OptimizerType::kAdagrad || type == OptimizerType::kRmsProp ||
         type == OptimizerType::kAdam || type == OptimizerType::kAdamW;
}

}  // namespace

absl::string_view OptimizerName(OptimizerType type) { return kNames[static_cast<int>(type)]; }

absl::StatusOr<OptimizerType> ParseOptimizerType(absl::string_view name) {
  for (size_t i = 0; i < std::size(kNames); ++i) {
    if (kNames[i] == name) return static_cast<OptimizerType>(i);
  }
  return absl::InvalidArgumentError(
      absl::StrCat("unknown optimizer '", name, "'; there are: ", absl::StrJoin(kNames, ", ")));
}

absl::Status Validate(const OptimizerSpec& spec) {
  if (absl::Status status = ValidateTypeFields(spec); !status.ok()) return status;
  const absl::Status checks[] = {
      Check("learning_rate", spec.learning_rate, 0, kLargestFloat, "a finite float of at least 0"),
      Check("weight_decay", spec.weight_decay, 0, kLargestFloat, "a finite float of at least 0"),
      spec.clip_value == 0 ? absl::OkStatus()
                           : Check("clip_value", spec.clip_value, kSmallestFloat, kLargestFloat,
                                   "0 (off) or a positive float"),
      UsesEpsilon(spec.type)
          ? Check("epsilon", spec.epsilon, kSmallestFloat, kLargestFloat, "a positive float")
          : absl::OkStatus(),
  };
  for (const absl::Status& status : checks) {
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

int StateTensors(OptimizerType type) {
  switch (type) {
    case OptimizerType::kSgd:
      return 0;
    case OptimizerType::kMomentum:
    case OptimizerType::kNesterov:
    case OptimizerType::kAdagrad:
    case OptimizerType::kRmsProp:
      return 1;
    case OptimizerType::kAdam:
    case OptimizerType::kAdamW:
      return 2;
  }
  return 0;
}

GradientConstants PrepareGradient(const OptimizerSpec& spec, const ApplyCall& call,
                                  double weight_decay) {
  const double clip =
      spec.clip_value > 0 ? spec.clip_value : std::numeric_limits<double>::infinity();
  return {call.scale, static_cast<float>(clip), static_cast<float>(weight_decay)};
}

AdamConstants PrepareAdam(const OptimizerSpec& spec, const ApplyCall& call) {
  AdamConstants adam;
  adam.beta1 = static_cast<float>(spec.beta1);
  adam.one_minus_beta1 = static_cast<float>(1 - spec.beta1);
  adam.beta2 = static_cast<float>(spec.beta2);
  adam.one_minus_beta2 = static_cast<float>(1 - spec.beta2);
  adam.epsilon = static_cast<float>(spec.epsilon);
  adam.step_size =
      static_cast<float>(call.learning_rate / (1 - PortablePower(spec.beta1, call.update)));
  adam.inverse_root = static_cast<float>(1 / std::sqrt(1 - PortablePower(spec.beta2, call.update)));
  return adam;
}

ApplyFlags Apply(const OptimizerSpec& spec, const ApplyCall& call) {
  switch (spec.type) {
    case OptimizerType::kSgd:
      return ApplySgd(spec, call);
    case OptimizerType::kMomentum:
      return ApplyMomentum(spec, call);
    case OptimizerType::kNesterov:
      return ApplyNesterov(spec, call);
    case OptimizerType::kAdagrad:
      return ApplyAdagrad(spec, call);
    case OptimizerType::kRmsProp:
      return ApplyRmsProp(spec, call);
    case OptimizerType::kAdam:
      return ApplyAdam(spec, call);
    case OptimizerType::kAdamW:
      return ApplyAdamW(spec, call);
  }
  return {};
}

}  // namespace weir
