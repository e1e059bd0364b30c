// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_CORE_OPTIMIZER_RULES_H_
#define WEIR_CORE_OPTIMIZER_RULES_H_

#include <cstdint>

#include "core/optimizer.h"

// The rules behind Apply, one a file, and what they share. For the kernels and optimizer.cc only:
// everybody else calls Apply.
namespace weir {

ApplyFlags ApplySgd(const OptimizerSpec& spec, const ApplyCall& call);
ApplyFlags ApplyMomentum(const OptimizerSpec& spec, const ApplyCall& call);
ApplyFlags ApplyNesterov(const OptimizerSpec& spec, const ApplyCall& call);
ApplyFlags ApplyAdagrad(const OptimizerSpec& spec, const ApplyCall& call);
ApplyFlags ApplyRmsProp(const OptimizerSpec& spec, const ApplyCall& call);
ApplyFlags ApplyAdam(const OptimizerSpec& spec, const ApplyCall& call);
ApplyFlags ApplyAdamW(const OptimizerSpec& spec, const ApplyCall& call);

// How a gradient is prepared before its rule sees it: scaled, clipped, decayed.
struct GradientConstants {
  float scale;
  float clip_value;    // infinity when off
  float weight_decay;  // 0 where decay is decoupled
};
GradientConstants PrepareGradient(const OptimizerSpec& spec, const ApplyCall& call,
                                  double weight_decay);

// What Adam and AdamW share: the moments' weights and the bias corrections of update t,
//   step_size = learning_rate / (1 - beta1^t),  inverse_root = 1 / sqrt(1 - beta2^t),
// computed in double with multiplications, one division and one square root, so with the same bits
// everywhere.
struct AdamConstants {
  float beta1;
  float one_minus_beta1;
  float beta2;
  float one_minus_beta2;
  float epsilon;
  float step_size;
  float inverse_root;
};
AdamConstants PrepareAdam(const OptimizerSpec& spec, const ApplyCall& call);

}  // namespace weir

#endif  // WEIR_CORE_OPTIMIZER_RULES_H_
