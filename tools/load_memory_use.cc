// SPDX-License-Identifier: Apache-2.0
#include "tools/load_memory_use.h"

#include <time.h>

#include <fstream>
#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace weir {

uint64_t PeakRssBytes(pid_t pid) {
  std::ifstream status(absl::StrCat("/proc/", pid == 0 ? "self" : absl::StrCat(pid), "/status"));
  for (std::string line; std::getline(status, line);) {
    absl::string_view text = line;
    if (!absl::ConsumePrefix(&text, "VmHWM:")) continue;
    absl::ConsumeSuffix(&text, "kB");
    uint64_t kilobytes = 0;
    return absl::SimpleAtoi(absl::StripAsciiWhitespace(text), &kilobytes) ? kilobytes * 1024 : 0;
  }
  return 0;
}

double CpuSeconds() {
  timespec used{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
  return static_cast<double>(used.tv_sec) + 1e-9 * static_cast<double>(used.tv_nsec);
}

}  // namespace weir
