// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_CORE_INITIALIZER_H_
#define WEIR_CORE_INITIALIZER_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "core/layout.h"

// How tensors are filled at step 0. The value of an element is a function of (seed, tensor name,
// element index, specification, shape) alone: random bits come from Philox4x32-10 with the seed as
// key and (index / 4, XXH64 of the name) as counter. So however a tensor is cut into slices, and
// wherever a slice is filled, the values are the same, bit for bit, on every host.
namespace weir {

// What Xavier and He scale by. A dense layer's weights are [inputs, outputs], row-major: fan_in is
// the product of all dimensions but the last, fan_out is the last. Of a vector [n] both are n, of a
// scalar both are 1.
struct Fans {
  double in = 1;
  double out = 1;
};
Fans FansOf(const std::vector<int64_t>& shape);

// OK, or INVALID_ARGUMENT saying which number is out of range: a and b must be finite floats;
// kUniform needs a <= b, kNormal b >= 0. Kinds that do not use them ignore a and b.
absl::Status ValidateInitializer(const InitializerSpec& spec);

// Fills `out` with elements [offset, offset + count) of `tensor`.
//
//   kZeros          0
//   kConstant       a
//   kUniform        uniform in [a, b); a where a == b
//   kNormal         normal with mean a and standard deviation b, by the Box-Muller transform,
//   within 6.7 deviations kXavierUniform  uniform in [-r, r), r = sqrt(6 / (fan_in + fan_out))
//                   (X. Glorot, Y. Bengio, "Understanding the difficulty of training deep
//                   feedforward neural networks", AISTATS 2010)
//   kHeNormal       normal with mean 0 and standard deviation sqrt(2 / fan_in)
//                   (K. He et al., "Delving Deep into Rectifiers", ICCV 2015)
//
// Thread-safe; no allocation.
// REQUIRES: ValidateInitializer(tensor.initializer) is OK; every dimension is positive; the range
// lies inside the tensor.
void Initialize(const TensorShape& tensor, uint64_t seed, uint64_t offset, size_t count,
                float* out);

}  // namespace weir

#endif  // WEIR_CORE_INITIALIZER_H_
