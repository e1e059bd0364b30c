// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_TESTS_CORE_RANDOM_FLOATS_H_
#define WEIR_TESTS_CORE_RANDOM_FLOATS_H_

#include <cstddef>
#include <cstdint>
#include <vector>

namespace weir {

// SplitMix64 (Steele, Lea, Flood, OOPSLA 2014): numbers for tests, the same on every host.
class TestRandom {
 public:
  explicit TestRandom(uint64_t seed) : state_(seed) {}

  uint64_t Next() {
    uint64_t z = (state_ += 0x9E3779B97F4A7C15u);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
  }

  // In [0, bound).
  uint64_t Below(uint64_t bound) { return Next() % bound; }

  // In [low, high), a multiple of (high - low) / 2^53 rounded.
  double Uniform(double low, double high) {
    return low + (high - low) * (static_cast<double>(Next() >> 11) * 0x1p-53);
  }

  std::vector<float> Floats(size_t count, double low, double high) {
    std::vector<float> out(count);
    for (float& x : out) x = static_cast<float>(Uniform(low, high));
    return out;
  }

 private:
  uint64_t state_;
};

}  // namespace weir

#endif  // WEIR_TESTS_CORE_RANDOM_FLOATS_H_
