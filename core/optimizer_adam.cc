// SPDX-License-Identifier: Apache-2.0

// Adam:
//   m <- beta1 * m + (1 - beta1) * g
//   v <- beta2 * v + (1 - beta2) * g^2
//   w <- w - learning_rate * m' / (sqrt(v') + epsilon),   m' = m / (1 - beta1^t),   v' = v / (1 -
//   beta2^t)
// where t counts updates from 1. Weight decay, if any, is part of g.
// Source: D. Kingma, J. Ba, "Adam: A Method for Stochastic Optimization", ICLR 2015, algorithm 1.

#include "core/optimizer_rules.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/optimizer_adam.cc"
#include "hwy/foreach_target.h"
// Highway's order: foreach_target.h before everything that is compiled per target.
#include "core/optimizer_loop-inl.h"

HWY_BEFORE_NAMESPACE();
namespace weir {
namespace HWY_NAMESPACE {

struct AdamRule {
  static constexpr int kStates = 2;
  FloatVector beta1;
  FloatVector one_minus_beta1;
  FloatVector beta2;
  FloatVector one_minus_beta2;
  FloatVector epsilon;
  FloatVector step_size;
  FloatVector inverse_root;

  HWY_INLINE FloatVector Update(FloatVector w, FloatVector g, FloatVector* m,
                                FloatVector* v) const {
    *m = hn::Add(hn::Mul(beta1, *m), hn::Mul(one_minus_beta1, g));
    *v = hn::Add(hn::Mul(beta2, *v), hn::Mul(one_minus_beta2, hn::Mul(g, g)));
    const FloatVector scale = hn::Add(hn::Mul(hn::Sqrt(*v), inverse_root), epsilon);
    return hn::Sub(w, hn::Div(hn::Mul(step_size, *m), scale));
  }
};

ApplyFlags Adam(const OptimizerSpec& spec, const ApplyCall& call) {
  const Floats d;
  const AdamConstants adam = PrepareAdam(spec, call);
  const AdamRule rule{hn::Set(d, adam.beta1),       hn::Set(d, adam.one_minus_beta1),
                      hn::Set(d, adam.beta2),       hn::Set(d, adam.one_minus_beta2),
                      hn::Set(d, adam.epsilon),     hn::Set(d, adam.step_size),
                      hn::Set(d, adam.inverse_root)};
  return RunRule(rule, PrepareGradient(spec, call, spec.weight_decay), call);
}

}  // namespace HWY_NAMESPACE
}  // namespace weir
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace weir {

HWY_EXPORT(Adam);

ApplyFlags ApplyAdam(const OptimizerSpec& spec, const ApplyCall& call) {
  return HWY_DYNAMIC_DISPATCH(Adam)(spec, call);
}

}  // namespace weir
#endif  // HWY_ONCE
