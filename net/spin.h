// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_NET_SPIN_H_
#define WEIR_NET_SPIN_H_

#include <cstdint>
#include <optional>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace weir {

// Waking a thread takes 30 to 60 microseconds on a virtual machine. One that looks for work that
// long before it sleeps is not woken in the midst of a transfer, which gave a sixth more throughput
// over TCP (docs/performance.md), where there is a core to look on.
constexpr absl::Duration kDefaultSpin = absl::Microseconds(30);

// The longest that anybody may ask for: who waits longer than that between frames wants to sleep.
constexpr absl::Duration kMaxSpin = absl::Seconds(1);

// OK, or INVALID_ARGUMENT naming `name`: `asked` is below zero or above kMaxSpin.
absl::Status CheckSpin(absl::string_view name, absl::Duration asked);

// What the flag or variable `name` asks for with `text`, in microseconds; nothing where it is
// empty. INVALID_ARGUMENT: no whole number, or as CheckSpin.
absl::StatusOr<std::optional<absl::Duration>> ParseSpin(absl::string_view name,
                                                        absl::string_view text);

// How many processors this thread may run on.
int UsableCores();

// How long a thread may look for work in vain before it sleeps. An explicit wish is granted:
// `asked`. Without one kDefaultSpin, but zero where `usable_cores` are fewer than the `spinners`
// that would do so on this machine at the same time, since they would keep the work itself from a
// core.
absl::Duration SpinTime(std::optional<absl::Duration> asked, int usable_cores, uint64_t spinners);

// How many threads of a job look for work on this machine: one of each process. Where `local`, all
// processes are here; else this one and a peer are taken to be.
uint64_t SpinnersOfJob(uint64_t servers, uint64_t workers, bool local);

}  // namespace weir

#endif  // WEIR_NET_SPIN_H_
