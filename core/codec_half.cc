// SPDX-License-Identifier: Apache-2.0

// f16 and bf16; see core/codec_half-inl.h.

#include "core/codec_kernels.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/codec_half.cc"
#include "hwy/foreach_target.h"
// Highway's order: foreach_target.h before everything that is compiled per target.
#include "core/codec_half-inl.h"

HWY_BEFORE_NAMESPACE();
namespace weir {
namespace HWY_NAMESPACE {

bool EncodeF16Kernel(const float* x, size_t count, char* out) {
  return EncodeAll<F16Format, true>(x, count, out);
}
void DecodeF16Kernel(const char* in, size_t count, float* out) {
  DecodeAll<F16Format>(in, count, out);
}
bool EncodeBf16Kernel(const float* x, size_t count, char* out) {
  return EncodeAll<Bf16Format, true>(x, count, out);
}
void DecodeBf16Kernel(const char* in, size_t count, float* out) {
  DecodeAll<Bf16Format>(in, count, out);
}

}  // namespace HWY_NAMESPACE
}  // namespace weir
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace weir {

HWY_EXPORT(EncodeF16Kernel);
HWY_EXPORT(DecodeF16Kernel);
HWY_EXPORT(EncodeBf16Kernel);
HWY_EXPORT(DecodeBf16Kernel);

bool EncodeF16(const float* x, size_t count, char* out) {
  return HWY_DYNAMIC_DISPATCH(EncodeF16Kernel)(x, count, out);
}
void DecodeF16(const char* in, size_t count, float* out) {
  HWY_DYNAMIC_DISPATCH(DecodeF16Kernel)(in, count, out);
}
bool EncodeBf16(const float* x, size_t count, char* out) {
  return HWY_DYNAMIC_DISPATCH(EncodeBf16Kernel)(x, count, out);
}
void DecodeBf16(const char* in, size_t count, float* out) {
  HWY_DYNAMIC_DISPATCH(DecodeBf16Kernel)(in, count, out);
}

}  // namespace weir
#endif  // HWY_ONCE
