// SPDX-License-Identifier: Apache-2.0
#include "tools/load_options.h"

#include <cmath>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "tools/load_profile.h"

namespace weir {

NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(LoadOptions, mode, profile, codec, learning_rate, warmup_steps,
                                   steps, pulls, each_pulls, loaded_pulls, model_pulls, outstanding,
                                   values, rate_hz, pull_rate_hz, compute_ms, conflicts,
                                   memory_mark_steps, asks_servers, limit_s)

namespace {

template <typename Number>
absl::Status InRange(const char* name, Number value, Number least, Number most) {
  if (value >= least && value <= most) return absl::OkStatus();  // NaN is not
  return absl::InvalidArgumentError(
      absl::StrCat("--", name, "=", value, ": from ", least, " to ", most));
}

bool IsPowerOfTwo(double value) {
  int exponent = 0;
  return value > 0 && std::frexp(value, &exponent) == 0.5;
}

}  // namespace

bool LoadOptions::operator==(const LoadOptions& o) const { return ToJson(*this) == ToJson(o); }

nlohmann::json ToJson(const LoadOptions& options) { return options; }

absl::StatusOr<LoadOptions> LoadOptionsFromJson(const nlohmann::json& json) {
  try {
    const LoadOptions options = json.get<LoadOptions>();
    if (absl::Status status = CheckLoadOptions(options); !status.ok()) return status;
    return options;
  } catch (const nlohmann::json::exception& e) {
    return absl::InvalidArgumentError(absl::StrCat("not the options of a load worker: ", e.what()));
  }
}

absl::Status CheckLoadOptions(const LoadOptions& options) {
  constexpr uint64_t kMany = 1000000;
  for (const absl::Status& status :
       {MakeLoadProfile(options.profile).status(),
        InRange<uint64_t>("steps", options.steps, 1, 100000),
        InRange<uint64_t>("warmup_steps", options.warmup_steps, 0, 100000),
        InRange<uint64_t>("pulls", options.pulls, 1, kMany),
        InRange<uint64_t>("each_pulls", options.each_pulls, 0, kMany),
        InRange<uint64_t>("loaded_pulls", options.loaded_pulls, 0, kMany),
        InRange<uint64_t>("model_pulls", options.model_pulls, 0, 10000),
        InRange<uint64_t>("outstanding", options.outstanding, 1, 64),
        InRange<double>("rate_hz", options.rate_hz, 0, 1e6),
        InRange<double>("pull_rate_hz", options.pull_rate_hz, 0, 1e6),
        InRange<double>("compute_ms", options.compute_ms, 0, 60000),
        InRange<int64_t>("conflicts", options.conflicts, 0, 100000)}) {
    if (!status.ok()) return status;
  }
  if (options.memory_mark_steps >= options.steps) {
    return absl::InvalidArgumentError(
        absl::StrCat("--memory_mark_steps=", options.memory_mark_steps,
                     ": below --steps=", options.steps, ", or 0 for no mark"));
  }
  if (options.memory_mark_steps > 0 && (options.rate_hz > 0 || options.conflicts > 0)) {
    return absl::InvalidArgumentError(
        "--memory_mark_steps is of steps one after the other: without --rate_hz and --conflicts");
  }
  if (options.values != "lent" && options.values != "copied")
    return absl::InvalidArgumentError(
        absl::StrCat("--values=", options.values, ": lent or copied"));
  const bool full = options.mode == "full";
  if (!full && options.mode != "apply" && options.mode != "net" && options.mode != "echo")
    return absl::InvalidArgumentError(
        absl::StrCat("--mode=", options.mode, ": net, echo, apply or full"));
  if (!full && (options.codec != "f32" || options.outstanding != 1 || options.rate_hz > 0 ||
                options.compute_ms > 0 || options.conflicts > 0 || options.memory_mark_steps > 0)) {
    return absl::InvalidArgumentError(
        absl::StrCat("--mode=", options.mode,
                     " moves f32, a step after the other: without --codec, --outstanding, "
                     "--rate_hz, --compute_ms, --conflicts and --memory_mark_steps"));
  }
  if (IsPowerOfTwo(options.learning_rate)) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("the learning rate ", options.learning_rate,
                   " is no power of two, so the values that come back have no exact formula"));
}

}  // namespace weir
