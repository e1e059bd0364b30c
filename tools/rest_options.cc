// SPDX-License-Identifier: Apache-2.0
#include "tools/rest_options.h"

#include "absl/strings/str_cat.h"
#include "tools/load_profile.h"
#include "tools/rest_body.h"

namespace weir {
namespace {

constexpr uint64_t kMaxRuns = 1000;
constexpr uint32_t kMaxProcesses = 64;
constexpr uint32_t kMaxInFlight = 64;
constexpr double kMaxSeconds = 600;

absl::Status OutOfRange(const char* what, double value, double most) {
  return absl::InvalidArgumentError(absl::StrCat(what, "=", value, ": from 1 to ", most));
}

}  // namespace

absl::Status CheckCompareOptions(const CompareOptions& options) {
  if (options.runs < 1 || options.runs > kMaxRuns)
    return OutOfRange("--runs", static_cast<double>(options.runs), kMaxRuns);
  if (!(options.seconds > 0) || options.seconds > kMaxSeconds) {
    return absl::InvalidArgumentError(
        absl::StrCat("--compare_seconds=", options.seconds, ": above 0, at most ", kMaxSeconds));
  }
  for (const uint32_t in_flight : options.in_flight) {
    if (in_flight < 1 || in_flight > kMaxInFlight)
      return OutOfRange("--in_flight", in_flight, kMaxInFlight);
  }
  for (const CompareOptions::Size& size : options.sizes) {
    if (size.workers < 1 || size.workers > kMaxProcesses)
      return OutOfRange("--workers", size.workers, kMaxProcesses);
    if (size.servers < 1 || size.servers > kMaxProcesses)
      return OutOfRange("--servers", size.servers, kMaxProcesses);
  }
  for (const std::string& transport : options.transports) {
    if (transport != "tcp" && transport != "uds" && transport != "shm" && transport != "auto") {
      return absl::InvalidArgumentError(
          absl::StrCat("--transport=", transport, ": tcp, uds, shm or auto, with commas between"));
    }
  }
  for (const std::string& form : options.forms) {
    if (absl::Status status = ParseRestForm(form).status(); !status.ok()) return status;
  }
  if (options.in_flight.empty() || options.sizes.empty() || options.transports.empty())
    return absl::InvalidArgumentError("nothing to compare");
  return MakeLoadProfile(options.profile).status();
}

}  // namespace weir
