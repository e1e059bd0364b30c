// SPDX-License-Identifier: Apache-2.0

// AdamW, Adam with decoupled weight decay:
//   m <- beta1 * m + (1 - beta1) * g
//   v <- beta2 * v + (1 - beta2) * g^2
//   w <- w * (1 - learning_rate * weight_decay) - learning_rate * m' / (sqrt(v') + epsilon)
// with m' and v' corrected for bias as in Adam.
// Source: I. Loshchilov, F. Hutter, "Decoupled Weight Decay Regularization", ICLR 2019, algorithm
// 2, the schedule multiplying the decay too, as torch.optim.AdamW has it.

#include "core/optimizer_rules.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/optimizer_adamw.cc"
#include "hwy/foreach_target.h"
// Highway's order: foreach_target.h before everything that is compiled per target.
#include "core/optimizer_loop-inl.h"

HWY_BEFORE_NAMESPACE();
namespace weir {
namespace HWY_NAMESPACE {

struct AdamWRule {
  static constexpr int kStates = 2;
  FloatVector beta1;
  FloatVector one_minus_beta1;
  FloatVector beta2;
  FloatVector one_minus_beta2;
  FloatVector epsilon;
  FloatVector step_size;
  FloatVector inverse_root;
  FloatVector keep;  // 1 - learning_rate * weight_decay

  HWY_INLINE FloatVector Update(FloatVector w, FloatVector g, FloatVector* m,
                                FloatVector* v) const {
    *m = hn::Add(hn::Mul(beta1, *m), hn::Mul(one_minus_beta1, g));
    *v = hn::Add(hn::Mul(beta2, *v), hn::Mul(one_minus_beta2, hn::Mul(g, g)));
    const FloatVector scale = hn::Add(hn::Mul(hn::Sqrt(*v), inverse_root), epsilon);
    return hn::Sub(hn::Mul(w, keep), hn::Div(hn::Mul(step_size, *m), scale));
  }
};

ApplyFlags AdamW(const OptimizerSpec& spec, const ApplyCall& call) {
  const Floats d;
  const AdamConstants adam = PrepareAdam(spec, call);
  const double keep = 1 - static_cast<double>(call.learning_rate) * spec.weight_decay;
  const AdamWRule rule{hn::Set(d, adam.beta1),        hn::Set(d, adam.one_minus_beta1),
                       hn::Set(d, adam.beta2),        hn::Set(d, adam.one_minus_beta2),
                       hn::Set(d, adam.epsilon),      hn::Set(d, adam.step_size),
                       hn::Set(d, adam.inverse_root), hn::Set(d, static_cast<float>(keep))};
  return RunRule(rule, PrepareGradient(spec, call, /*weight_decay=*/0), call);
}

}  // namespace HWY_NAMESPACE
}  // namespace weir
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace weir {

HWY_EXPORT(AdamW);

ApplyFlags ApplyAdamW(const OptimizerSpec& spec, const ApplyCall& call) {
  return HWY_DYNAMIC_DISPATCH(AdamW)(spec, call);
}

}  // namespace weir
#endif  // HWY_ONCE
