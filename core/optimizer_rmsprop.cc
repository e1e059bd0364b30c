// SPDX-License-Identifier: Apache-2.0

// RMSProp, without momentum, not centred:
//   s <- decay * s + (1 - decay) * g^2
//   w <- w - learning_rate * g / (sqrt(s) + epsilon)
// Source: T. Tieleman, G. Hinton, "Lecture 6.5: rmsprop", COURSERA: Neural Networks for Machine
// Learning, 2012; epsilon outside of the root, as torch.optim.RMSprop has it.

#include "core/optimizer_rules.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/optimizer_rmsprop.cc"
#include "hwy/foreach_target.h"
// Highway's order: foreach_target.h before everything that is compiled per target.
#include "core/optimizer_loop-inl.h"

HWY_BEFORE_NAMESPACE();
namespace weir {
namespace HWY_NAMESPACE {

struct RmsPropRule {
  static constexpr int kStates = 1;
  FloatVector decay;
  FloatVector one_minus_decay;
  FloatVector epsilon;
  FloatVector learning_rate;

  HWY_INLINE FloatVector Update(FloatVector w, FloatVector g, FloatVector* squares,
                                FloatVector*) const {
    *squares = hn::Add(hn::Mul(decay, *squares), hn::Mul(one_minus_decay, hn::Mul(g, g)));
    const FloatVector scale = hn::Add(hn::Sqrt(*squares), epsilon);
    return hn::Sub(w, hn::Div(hn::Mul(learning_rate, g), scale));
  }
};

ApplyFlags RmsProp(const OptimizerSpec& spec, const ApplyCall& call) {
  const Floats d;
  const RmsPropRule rule{
      hn::Set(d, static_cast<float>(spec.decay)), hn::Set(d, static_cast<float>(1 - spec.decay)),
      hn::Set(d, static_cast<float>(spec.epsilon)), hn::Set(d, call.learning_rate)};
  return RunRule(rule, PrepareGradient(spec, call, spec.weight_decay), call);
}

}  // namespace HWY_NAMESPACE
}  // namespace weir
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace weir {

HWY_EXPORT(RmsProp);

ApplyFlags ApplyRmsProp(const OptimizerSpec& spec, const ApplyCall& call) {
  return HWY_DYNAMIC_DISPATCH(RmsProp)(spec, call);
}

}  // namespace weir
#endif  // HWY_ONCE
