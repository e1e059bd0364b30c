// SPDX-License-Identifier: Apache-2.0

// int8 in blocks of 128 elements with a scale each; see core/codec.h and core/codec_int8-inl.h.

#include <cstring>

#include "core/codec.h"
#include "core/codec_kernels.h"
#include "hwy/cache_control.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/codec_int8.cc"
#include "hwy/foreach_target.h"
// Highway's order: foreach_target.h before everything that is compiled per target.
#include "core/codec_int8-inl.h"

HWY_BEFORE_NAMESPACE();
namespace weir {
namespace HWY_NAMESPACE {

// Encodes `count` <= 128 elements by way of a whole block.
HWY_INLINE bool EncodeLastBlock(const float* x, float* lost, size_t count, char* out) {
  HWY_ALIGN float block[kBlock] = {};
  HWY_ALIGN float block_lost[kBlock];
  char encoded[kBlockBytes];
  std::memcpy(block, x, count * sizeof(float));
  const bool finite =
      EncodeBlock(block, LargestMagnitude(block), lost == nullptr ? nullptr : block_lost, encoded);
  std::memcpy(out, encoded, sizeof(float) + count);
  if (lost != nullptr) std::memcpy(lost, block_lost, count * sizeof(float));
  return finite;
}

// sum = x + residual, for up to 128 elements.
HWY_INLINE void AddResidual(const float* x, const float* residual, size_t count, float* sum) {
  const Floats d;
  const size_t lanes = hn::Lanes(d);
  size_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    hn::Store(hn::Add(hn::LoadU(d, x + i), hn::LoadU(d, residual + i)), d, sum + i);
  }
  for (; i < count; ++i) sum[i] = x[i] + residual[i];
}

HWY_INLINE void AskFor(const float* block) {
  constexpr size_t kLineElements = 64 / sizeof(float);
  for (size_t i = 0; i < kBlock; i += kLineElements) hwy::Prefetch(block + kAheadElements + i);
}

bool EncodeInt8Kernel(const float* x, float* residual, size_t count, char* out) {
  HWY_ALIGN float sum[kBlock];
  bool finite = true;
  for (size_t i = 0; i < count; i += kBlock, out += kBlockBytes) {
    const size_t elements = count - i < kBlock ? count - i : kBlock;
    const float* block = x + i;
    AskFor(block);
    float* lost = nullptr;
    if (residual != nullptr) {
      lost = residual + i;
      AddResidual(block, lost, elements, sum);
      block = sum;
    }
    finite &= elements == kBlock ? EncodeBlock(block, LargestMagnitude(block), lost, out)
                                 : EncodeLastBlock(block, lost, elements, out);
  }
  return finite;
}

HWY_INLINE void DecodeElements(float scale, const int8_t* q, size_t count, float* out) {
  const Floats d;
  const FloatVector broadcast = hn::Set(d, scale);
  const size_t lanes = hn::Lanes(d);
  size_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    hn::StoreU(DecodeLevels(broadcast, q + i), d, out + i);
  }
  for (; i < count; ++i) out[i] = static_cast<float>(q[i]) * scale;
}

void DecodeInt8ElementsKernel(uint32_t scale_bits, const char* in, size_t count, float* out) {
  DecodeElements(CheckedScale(scale_bits), reinterpret_cast<const int8_t*>(in), count, out);
}

void DecodeInt8Kernel(const char* in, size_t count, float* out) {
  for (size_t i = 0; i < count; i += kBlock, in += kBlockBytes) {
    const size_t elements = count - i < kBlock ? count - i : kBlock;
    DecodeElements(ReadScale(in), reinterpret_cast<const int8_t*>(in + sizeof(float)), elements,
                   out + i);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace weir
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace weir {

HWY_EXPORT(EncodeInt8Kernel);
HWY_EXPORT(DecodeInt8Kernel);
HWY_EXPORT(DecodeInt8ElementsKernel);

bool EncodeInt8(const float* x, float* residual, size_t count, char* out) {
  return HWY_DYNAMIC_DISPATCH(EncodeInt8Kernel)(x, residual, count, out);
}
void DecodeInt8(const char* in, size_t count, float* out) {
  HWY_DYNAMIC_DISPATCH(DecodeInt8Kernel)(in, count, out);
}
void DecodeInt8Elements(uint32_t scale_bits, const char* in, size_t count, float* out) {
  HWY_DYNAMIC_DISPATCH(DecodeInt8ElementsKernel)(scale_bits, in, count, out);
}

}  // namespace weir
#endif  // HWY_ONCE
