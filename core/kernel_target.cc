// SPDX-License-Identifier: Apache-2.0
#include "core/kernel_target.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/kernel_target.cc"
#include "hwy/foreach_target.h"
// Highway's order: foreach_target.h before everything that is compiled per target.
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace weir {
namespace HWY_NAMESPACE {

const char* TargetName() { return hwy::TargetName(HWY_TARGET); }

}  // namespace HWY_NAMESPACE
}  // namespace weir
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace weir {

HWY_EXPORT(TargetName);

const char* KernelTarget() { return HWY_DYNAMIC_DISPATCH(TargetName)(); }

}  // namespace weir
#endif  // HWY_ONCE
