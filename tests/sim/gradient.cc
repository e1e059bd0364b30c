// SPDX-License-Identifier: Apache-2.0
#include "tests/sim/gradient.h"

#include <utility>

#include "core/tensor_sum.h"
#include "tests/sim/random.h"

namespace weir::sim {

uint64_t PartSource(uint64_t seed, uint64_t step, uint32_t part) {
  return Mix(seed, step, part, 11);
}

uint64_t PushSource(uint64_t seed, uint64_t worker, uint64_t incarnation, uint64_t number) {
  return Mix(seed, worker, incarnation, number, 13);
}

uint64_t PartExamples(uint64_t source) { return Mix(source, 17) % 4; }

double StepLearningRate(uint64_t seed, uint64_t step) {
  return Mix(seed, step, 19) % 4 == 0 ? 0.02 : 0;
}

void FillGradient(uint64_t source, uint64_t examples, uint32_t tensor_id, uint64_t offset,
                  const float* weights, size_t count, float* out) {
  const uint64_t base = Mix(source, tensor_id);
  for (size_t i = 0; i < count; ++i) {
    const auto drawn = static_cast<int32_t>(Mix(base + offset + i) >> 40);  // 24 bits
    const float noise = static_cast<float>(drawn) * 0x1p-23f - 1.0f;
    out[i] = static_cast<float>(examples) * (noise + 0.01f * weights[i]);
  }
}

PartSum SumParts(PartBlock block, const std::function<PartSum(uint32_t part)>& part) {
  if (block.parts == 1) return part(block.first);
  uint32_t half = 1;
  while (half * 2 < block.parts) half *= 2;
  PartSum left = SumParts({block.first, half}, part);
  PartSum right = SumParts({block.first + half, block.parts - half}, part);
  const uint64_t examples = left.examples + right.examples;
  if (left.examples == 0) return right;
  if (right.examples != 0) {
    Sum(left.gradient.data(), right.gradient.data(), left.gradient.data(), left.gradient.size());
  }
  left.examples = examples;
  return left;
}

}  // namespace weir::sim
