// SPDX-License-Identifier: Apache-2.0
#include "core/stream_copy.h"

#include <cstdint>
#include <cstring>

#include "hwy/cache_control.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/stream_copy.cc"
#include "hwy/foreach_target.h"
// Highway's order: foreach_target.h before everything that is compiled per target.
#include "core/float_vectors-inl.h"

HWY_BEFORE_NAMESPACE();
namespace weir {
namespace HWY_NAMESPACE {

void StreamCopyKernel(const void* from, size_t count, float* to) {
  const Floats d;
  const size_t lanes = hn::Lanes(d);
  const auto* bytes = static_cast<const uint8_t*>(from);
  const size_t misaligned = reinterpret_cast<uintptr_t>(to) / sizeof(float) % lanes;
  size_t i = misaligned == 0 ? 0 : lanes - misaligned;
  if (i > count) i = count;
  std::memcpy(to, bytes, i * sizeof(float));
  for (; i + lanes <= count; i += lanes) {
    hn::Stream(LoadBytes(bytes + i * sizeof(float)), d, to + i);
  }
  std::memcpy(to + i, bytes + i * sizeof(float), (count - i) * sizeof(float));
}

}  // namespace HWY_NAMESPACE
}  // namespace weir
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace weir {

HWY_EXPORT(StreamCopyKernel);

void StreamCopy(const void* from, size_t count, float* to) {
  HWY_DYNAMIC_DISPATCH(StreamCopyKernel)(from, count, to);
}

void StreamFence() { hwy::FlushStream(); }

}  // namespace weir
#endif  // HWY_ONCE
