// SPDX-License-Identifier: Apache-2.0

// Stochastic gradient descent:
//   w <- w - learning_rate * g
// Source: H. Robbins, S. Monro, "A Stochastic Approximation Method", Ann. Math. Statist. 22(3),
// 1951.
//
// Compiled once per Highway target (hence the unusual include guard).
#if defined(WEIR_CORE_OPTIMIZER_SGD_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef WEIR_CORE_OPTIMIZER_SGD_INL_H_
#undef WEIR_CORE_OPTIMIZER_SGD_INL_H_
#else
#define WEIR_CORE_OPTIMIZER_SGD_INL_H_
#endif

#include "core/float_vectors-inl.h"

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

}  // namespace HWY_NAMESPACE
}  // namespace weir
HWY_AFTER_NAMESPACE();

#endif  // WEIR_CORE_OPTIMIZER_SGD_INL_H_
