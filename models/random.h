// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_MODELS_RANDOM_H_
#define WEIR_MODELS_RANDOM_H_

#include <cstdint>

namespace weir {

// A bijection of 64-bit numbers whose output looks random: the finaliser of SplitMix64 (Steele,
// Lea, Flood 2014).
inline uint64_t MixBits(uint64_t x) {
  x += 0x9e3779b97f4a7c15u;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

// SplitMix64: random numbers that are a function of (seed, stream) alone, on any host. Not for
// secrets.
class SeededRandom {
 public:
  SeededRandom(uint64_t seed, uint64_t stream) : state_(MixBits(MixBits(seed) ^ stream)) {}

  uint64_t Next() {
    const uint64_t value = MixBits(state_);
    state_ += 0x9e3779b97f4a7c15u;
    return value;
  }

  // Uniform in [0, bound). REQUIRES: bound > 0. No bias: Lemire's method, with rejection.
  uint32_t Below(uint32_t bound) {
    const uint32_t threshold = (0u - bound) % bound;
    for (;;) {
      const uint64_t product = (Next() >> 32) * bound;
      if (static_cast<uint32_t>(product) >= threshold) return static_cast<uint32_t>(product >> 32);
    }
  }

  // Uniform in [0, 1), a multiple of 2^-24.
  float Uniform() { return static_cast<float>(Next() >> 40) * (1.0f / 16777216.0f); }

  // Nearly normal with mean 0 and deviation 1: the sum of 12 uniforms less 6. Plain arithmetic, so
  // the same everywhere.
  float Normal() {
    float sum = -6.0f;
    for (int i = 0; i < 12; ++i) sum += Uniform();
    return sum;
  }

 private:
  uint64_t state_;
};

}  // namespace weir

#endif  // WEIR_MODELS_RANDOM_H_
