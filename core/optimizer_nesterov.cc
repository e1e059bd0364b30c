// SPDX-License-Identifier: Apache-2.0

// Nesterov's accelerated gradient, the gradient taken at the weights themselves:
//   v <- momentum * v + g
//   w <- w - learning_rate * (g + momentum * v)
// Source: Y. Nesterov, "A method of solving a convex programming problem with convergence rate
// O(1/k^2)", Soviet Math. Dokl. 27, 1983; rewritten as in I. Sutskever et al., ICML 2013, and Y.
// Bengio et al., "Advances in optimizing recurrent networks", ICASSP 2013, as
// torch.optim.SGD(nesterov=True) has it.

#include "core/optimizer_rules.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/optimizer_nesterov.cc"
#include "hwy/foreach_target.h"
// Highway's order: foreach_target.h before everything that is compiled per target.
#include "core/optimizer_loop-inl.h"

HWY_BEFORE_NAMESPACE();
namespace weir {
namespace HWY_NAMESPACE {

struct NesterovRule {
  static constexpr int kStates = 1;
  FloatVector momentum;
  FloatVector learning_rate;

  HWY_INLINE FloatVector Update(FloatVector w, FloatVector g, FloatVector* velocity,
                                FloatVector*) const {
    *velocity = hn::Add(hn::Mul(momentum, *velocity), g);
    const FloatVector ahead = hn::Add(g, hn::Mul(momentum, *velocity));
    return hn::Sub(w, hn::Mul(learning_rate, ahead));
  }
};

ApplyFlags Nesterov(const OptimizerSpec& spec, const ApplyCall& call) {
  const Floats d;
  const NesterovRule rule{hn::Set(d, static_cast<float>(spec.momentum)),
                          hn::Set(d, call.learning_rate)};
  return RunRule(rule, PrepareGradient(spec, call, spec.weight_decay), call);
}

}  // namespace HWY_NAMESPACE
}  // namespace weir
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace weir {

HWY_EXPORT(Nesterov);

ApplyFlags ApplyNesterov(const OptimizerSpec& spec, const ApplyCall& call) {
  return HWY_DYNAMIC_DISPATCH(Nesterov)(spec, call);
}

}  // namespace weir
#endif  // HWY_ONCE
