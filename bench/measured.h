// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_BENCH_MEASURED_H_
#define WEIR_BENCH_MEASURED_H_

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace weir::bench {

// One thing that is timed: `run` moves `bytes` bytes, those that it must read and write at least.
//
// What bounds it is measured in the same run, by itself: `limits` names others; the fastest of them
// counts. What names none is itself a limit.
struct Measured {
  std::string what;
  uint64_t bytes = 0;
  std::function<void()> run;
  std::vector<std::string> limits;
};

}  // namespace weir::bench

#endif  // WEIR_BENCH_MEASURED_H_
