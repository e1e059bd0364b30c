// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_WORKER_BACKOFF_H_
#define WEIR_WORKER_BACKOFF_H_

#include <algorithm>
#include <cstdint>

#include "absl/time/time.h"

namespace weir {

// How long to wait before trying again: doubled with each failure between two bounds, and drawn
// between a half and the whole of it, so that workers that failed together do not come back
// together. Deterministic in its seed.
class Backoff {
 public:
  Backoff(uint64_t seed, absl::Duration min, absl::Duration max)
      : state_(seed), min_(min), max_(max) {}

  // REQUIRES: failures >= 1.
  absl::Duration Next(uint32_t failures) {
    absl::Duration whole = min_ * (int64_t{1} << std::min(failures - 1, 20u));
    return Jitter(std::min(whole, max_));
  }
  // Between a half and the whole of `whole`.
  absl::Duration Jitter(absl::Duration whole) {
    const double unit = static_cast<double>(Draw() >> 11) * 0x1p-53;
    return whole * (0.5 + 0.5 * unit);
  }

 private:
  uint64_t Draw() {  // SplitMix64, Steele, Lea and Flood 2014
    uint64_t z = (state_ += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
  }

  uint64_t state_;
  absl::Duration min_;
  absl::Duration max_;
};

}  // namespace weir

#endif  // WEIR_WORKER_BACKOFF_H_
