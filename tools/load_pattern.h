// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_TOOLS_LOAD_PATTERN_H_
#define WEIR_TOOLS_LOAD_PATTERN_H_

#include <array>
#include <cstddef>
#include <cstdint>

#include "core/codec.h"

namespace weir {

// The load's numbers: gradients that are the same at every step and for every worker, so that under
// plain SGD with a rate that is a power of two the weight of an element at version v is a formula,
// exact in f32 whatever the order in which pushes are applied:
//
//   gradient(i) = 127 if i % 128 == 0, else 1 + i % 7        i: the element's index in its tensor
//   weight(i, v) = -v * rate * gradient(i)
//
// A block of 128 elements that starts at a multiple of 128 holds 127, so int8 is exact too. f16 and
// bf16 round the weights that are pulled, each by the codec's own rule.

// gradient(i) repeats after so many elements: a multiple of 128 and of 7.
inline constexpr size_t kPatternElements = 896;

// Versions up to this are exact in f32: 127 * version is below 2^24.
inline constexpr uint64_t kLastExactVersion = ((uint64_t{1} << 24) - 1) / 127;

float LoadGradient(uint64_t index);

// Fills `count` elements from element `first` of a tensor.
void FillGradient(uint64_t first, size_t count, float* out);

// Compares weights to the formula. Holds the last version's values, so that the weights are all
// that a check reads: 896 floats beside them stay in the first cache.
//
// Not thread-safe. REQUIRES: rate is a power of two, or minus one.
class PatternCheck {
 public:
  // `codec`: of pulls; what it rounds is rounded in the formula too.
  PatternCheck(double rate, Codec codec);

  // How many of `count` values, the elements from `first` of a tensor at `version`, are not what
  // the formula says: every one is compared. All of them when the version is beyond
  // kLastExactVersion. REQUIRES for int8: `first` is a multiple of 128.
  uint64_t CountWrong(const float* values, uint64_t first, size_t count, uint64_t version);

 private:
  void Expect(uint64_t version);

  const double rate_;
  const Codec codec_;
  uint64_t version_;
  alignas(64) std::array<float, kPatternElements> expected_;
};

}  // namespace weir

#endif  // WEIR_TOOLS_LOAD_PATTERN_H_
