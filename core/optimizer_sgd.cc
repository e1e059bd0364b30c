// SPDX-License-Identifier: Apache-2.0

// Stochastic gradient descent:
//   w <- w - learning_rate * g
// Source: H. Robbins, S. Monro, "A Stochastic Approximation Method", Ann. Math. Statist. 22(3),
// 1951.

#include "core/optimizer_rules.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/optimizer_sgd.cc"
#include "hwy/foreach_target.h"
// Highway's order: foreach_target.h before everything that is compiled per target.
#include "core/optimizer_loop-inl.h"

HWY_BEFORE_NAMESPACE();
namespace weir {
namespace HWY_NAMESPACE {

struct SgdRule {
  static constexpr int kStates = 0;
  FloatVector learning_rate;

  HWY_INLINE FloatVector Update(FloatVector w, FloatVector g, FloatVector*, FloatVector*) const {
    return hn::Sub(w, hn::Mul(learning_rate, g));
  }
};

ApplyFlags Sgd(const OptimizerSpec& spec, const ApplyCall& call) {
  const Floats d;
  const SgdRule rule{hn::Set(d, call.learning_rate)};
  return RunRule(rule, PrepareGradient(spec, call, spec.weight_decay), call);
}

}  // namespace HWY_NAMESPACE
}  // namespace weir
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace weir {

HWY_EXPORT(Sgd);

ApplyFlags ApplySgd(const OptimizerSpec& spec, const ApplyCall& call) {
  return HWY_DYNAMIC_DISPATCH(Sgd)(spec, call);
}

}  // namespace weir
#endif  // HWY_ONCE
