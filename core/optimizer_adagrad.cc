// SPDX-License-Identifier: Apache-2.0

// Adagrad, diagonal:
//   s <- s + g^2
//   w <- w - learning_rate * g / (sqrt(s) + epsilon)
// Source: J. Duchi, E. Hazan, Y. Singer, "Adaptive Subgradient Methods for Online Learning and
// Stochastic Optimization", JMLR 12, 2011.

#include "core/optimizer_rules.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/optimizer_adagrad.cc"
#include "hwy/foreach_target.h"
// Highway's order: foreach_target.h before everything that is compiled per target.
#include "core/optimizer_loop-inl.h"

HWY_BEFORE_NAMESPACE();
namespace weir {
namespace HWY_NAMESPACE {

struct AdagradRule {
  static constexpr int kStates = 1;
  FloatVector epsilon;
  FloatVector learning_rate;

  HWY_INLINE FloatVector Update(FloatVector w, FloatVector g, FloatVector* squares,
                                FloatVector*) const {
    *squares = hn::Add(*squares, hn::Mul(g, g));
    const FloatVector scale = hn::Add(hn::Sqrt(*squares), epsilon);
    return hn::Sub(w, hn::Div(hn::Mul(learning_rate, g), scale));
  }
};

ApplyFlags Adagrad(const OptimizerSpec& spec, const ApplyCall& call) {
  const Floats d;
  const AdagradRule rule{hn::Set(d, static_cast<float>(spec.epsilon)),
                         hn::Set(d, call.learning_rate)};
  return RunRule(rule, PrepareGradient(spec, call, spec.weight_decay), call);
}

}  // namespace HWY_NAMESPACE
}  // namespace weir
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace weir {

HWY_EXPORT(Adagrad);

ApplyFlags ApplyAdagrad(const OptimizerSpec& spec, const ApplyCall& call) {
  return HWY_DYNAMIC_DISPATCH(Adagrad)(spec, call);
}

}  // namespace weir
#endif  // HWY_ONCE
