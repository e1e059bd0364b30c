// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_TESTS_SIM_GRADIENT_H_
#define WEIR_TESTS_SIM_GRADIENT_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <vector>

#include "core/part_tree.h"

namespace weir::sim {

// The training that the simulated workers do, as pure functions: what a gradient is made of is
// noise drawn from a *source* (which names a part of a step, or one asynchronous push) and a little
// of the weights it was computed from, so that its bits tell what was read.

uint64_t PartSource(uint64_t seed, uint64_t step, uint32_t part);
uint64_t PushSource(uint64_t seed, uint64_t worker, uint64_t incarnation, uint64_t number);

// 0 to 3.
uint64_t PartExamples(uint64_t source);
// The rate that whoever holds part 0 gives to the commit of this step; 0: the schedule's.
double StepLearningRate(uint64_t seed, uint64_t step);

// out[i] = the gradient, summed over `examples`, of element offset + i of the tensor.
void FillGradient(uint64_t source, uint64_t examples, uint32_t tensor_id, uint64_t offset,
                  const float* weights, size_t count, float* out);

// A sum of parts; `examples` 0: none of them has any, and `gradient` is empty.
struct PartSum {
  uint64_t examples = 0;
  std::vector<float> gradient;
};

// The sum over the parts of a block of the fixed tree, by recursion over its halves.
PartSum SumParts(PartBlock block, const std::function<PartSum(uint32_t part)>& part);

}  // namespace weir::sim

#endif  // WEIR_TESTS_SIM_GRADIENT_H_
