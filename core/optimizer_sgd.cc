// SPDX-License-Identifier: Apache-2.0

// Stochastic gradient descent; see core/optimizer_sgd-inl.h.

#include "core/optimizer_rules.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/optimizer_sgd.cc"
#include "hwy/foreach_target.h"
// Highway's order: foreach_target.h before everything that is compiled per target.
#include "core/optimizer_loop-inl.h"
#include "core/optimizer_sgd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace weir {
namespace HWY_NAMESPACE {

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
