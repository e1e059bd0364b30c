// SPDX-License-Identifier: Apache-2.0
#include "tools/load_pin.h"

#include <sched.h>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace weir {

absl::StatusOr<LoadPin> ParseLoadPin(const std::string& name) {
  if (name == "none") return LoadPin::kNone;
  if (name == "same") return LoadPin::kSame;
  if (name == "apart") return LoadPin::kApart;
  return absl::InvalidArgumentError(absl::StrCat("--pin=", name, ": none, same or apart"));
}

CorePair CoresToPin() {
  cpu_set_t allowed;
  CPU_ZERO(&allowed);
  if (sched_getaffinity(0, sizeof(allowed), &allowed) != 0) return {0, 0};
  CorePair cores{-1, -1};
  for (int core = 0; core < CPU_SETSIZE; ++core) {
    if (!CPU_ISSET(core, &allowed)) continue;
    if (cores.first < 0) cores.first = core;
    cores.second = core;
  }
  return cores;
}

int CoreOf(LoadPin pin, bool is_second) {
  if (pin == LoadPin::kNone) return -1;
  const CorePair cores = CoresToPin();
  return pin == LoadPin::kApart && is_second ? cores.second : cores.first;
}

void PinThread(int core) {
  if (core < 0) return;
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(core, &one);
  (void)sched_setaffinity(0, sizeof(one), &one);  // a hint: what is measured is right without it
}

}  // namespace weir
