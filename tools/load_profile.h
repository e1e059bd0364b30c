// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_TOOLS_LOAD_PROFILE_H_
#define WEIR_TOOLS_LOAD_PROFILE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "weir/tensor.h"

namespace weir {

// The tensors of a model that the load test moves: names and shapes only, zeros at step 0, first
// layers first.
struct LoadProfile {
  std::string name;
  std::vector<TensorSpec> tensors;

  int64_t parameters() const;
  // The index of a tensor with the fewest elements.
  size_t smallest() const;
};

// Profiles by name:
//   resnet50             the 161 tensors of ResNet-50 (He et al. 2016, the variant with the stride
//   in the 3x3 convolution):
//                        25,557,032 parameters, generated from the architecture
//   mlp                  784-1024-1024-10
//   transformer          the 148 tensors of a decoder as GPT-2 small: 12 layers, 768 wide, 50,257
//   tokens, 1,024 positions, the output tied to the embedding: 124,439,808 parameters
//   uniform:COUNTxSIZE   COUNT tensors of SIZE elements; COUNT at most 65,536, at most 2^32
//   elements in all
// INVALID_ARGUMENT: not one of these; the message lists them.
absl::StatusOr<LoadProfile> MakeLoadProfile(const std::string& name);

}  // namespace weir

#endif  // WEIR_TOOLS_LOAD_PROFILE_H_
