// SPDX-License-Identifier: Apache-2.0

// Gradient descent with heavy-ball momentum:
//   v <- momentum * v + g
//   w <- w - learning_rate * v
// Source: B. Polyak, "Some methods of speeding up the convergence of iteration methods", USSR
// Comput. Math. Math. Phys. 4(5), 1964; in the form of I. Sutskever et al., "On the importance of
// initialization and momentum in deep learning", ICML 2013, with the learning rate outside of the
// velocity, as torch.optim.SGD has it.

#include "core/optimizer_rules.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/optimizer_momentum.cc"
#include "hwy/foreach_target.h"
// Highway's order: foreach_target.h before everything that is compiled per target.
#include "core/optimizer_loop-inl.h"

HWY_BEFORE_NAMESPACE();
namespace weir {
namespace HWY_NAMESPACE {

struct MomentumRule {
  static constexpr int kStates = 1;
  FloatVector momentum;
  FloatVector learning_rate;

  HWY_INLINE FloatVector Update(FloatVector w, FloatVector g, FloatVector* velocity,
                                FloatVector*) const {
    *velocity = hn::Add(hn::Mul(momentum, *velocity), g);
    return hn::Sub(w, hn::Mul(learning_rate, *velocity));
  }
};

ApplyFlags Momentum(const OptimizerSpec& spec, const ApplyCall& call) {
  const Floats d;
  const MomentumRule rule{hn::Set(d, static_cast<float>(spec.momentum)),
                          hn::Set(d, call.learning_rate)};
  return RunRule(rule, PrepareGradient(spec, call, spec.weight_decay), call);
}

}  // namespace HWY_NAMESPACE
}  // namespace weir
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace weir {

HWY_EXPORT(Momentum);

ApplyFlags ApplyMomentum(const OptimizerSpec& spec, const ApplyCall& call) {
  return HWY_DYNAMIC_DISPATCH(Momentum)(spec, call);
}

}  // namespace weir
#endif  // HWY_ONCE
