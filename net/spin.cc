// SPDX-License-Identifier: Apache-2.0
#include "net/spin.h"

#include <sched.h>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace weir {

int UsableCores() {
  cpu_set_t cores;
  CPU_ZERO(&cores);
  if (sched_getaffinity(0, sizeof(cores), &cores) != 0) return 1;
  return CPU_COUNT(&cores);
}

absl::Status CheckSpin(absl::string_view name, absl::Duration asked) {
  if (asked >= absl::ZeroDuration() && asked <= kMaxSpin) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(name, " is ", absl::ToInt64Microseconds(asked),
                                                 " microseconds: from 0, never, to ",
                                                 absl::ToInt64Microseconds(kMaxSpin)));
}

absl::StatusOr<std::optional<absl::Duration>> ParseSpin(absl::string_view name,
                                                        absl::string_view text) {
  if (text.empty()) return std::optional<absl::Duration>();
  int64_t microseconds = 0;
  if (!absl::SimpleAtoi(text, &microseconds)) {
    return absl::InvalidArgumentError(
        absl::StrCat(name, " is '", text, "', not a whole number of microseconds"));
  }
  const absl::Duration asked = absl::Microseconds(microseconds);
  if (absl::Status status = CheckSpin(name, asked); !status.ok()) return status;
  return std::optional<absl::Duration>(asked);
}

absl::Duration SpinTime(std::optional<absl::Duration> asked, int usable_cores, uint64_t spinners) {
  if (asked) return *asked;
  return static_cast<uint64_t>(usable_cores) < spinners ? absl::ZeroDuration() : kDefaultSpin;
}

uint64_t SpinnersOfJob(uint64_t servers, uint64_t workers, bool local) {
  return local ? servers + workers : 2;
}

}  // namespace weir
