// SPDX-License-Identifier: Apache-2.0

// One block of int8: 128 elements with a scale; see core/codec.h.
//
// Compiled once per Highway target (hence the unusual include guard).
#if defined(WEIR_CORE_CODEC_INT8_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef WEIR_CORE_CODEC_INT8_INL_H_
#undef WEIR_CORE_CODEC_INT8_INL_H_
#else
#define WEIR_CORE_CODEC_INT8_INL_H_
#endif

#include <cfloat>
#include <cstring>
#include <limits>

#include "core/codec.h"
#include "core/float_vectors-inl.h"

HWY_BEFORE_NAMESPACE();
namespace weir {
namespace HWY_NAMESPACE {

using Integers = hn::RebindToSigned<FloatBits>;
using Bytes = hn::Rebind<int8_t, Floats>;
using BytesStored = hn::Rebind<uint8_t, Floats>;

inline constexpr size_t kBlock = kInt8BlockElements;
inline constexpr size_t kBlockBytes = sizeof(float) + kBlock;
inline constexpr float kLevels = 127;
// The largest scale that 127 times is finite: m / 127 of the largest float is rounded up to more.
inline constexpr float kLargestScale = 0x1.020406p121f;

static_assert(kBlock * sizeof(float) % HWY_MAX_BYTES == 0, "a block is made of whole vectors");

// The scale of a block, from the bits of its largest magnitude.
HWY_INLINE float ScaleFor(uint32_t largest) {
  if (largest >= 0x7F800000u) return std::numeric_limits<float>::quiet_NaN();
  float m;
  std::memcpy(&m, &largest, sizeof m);
  const float scale = m / kLevels;
  if (scale < FLT_MIN) return 0;
  return scale < kLargestScale ? scale : kLargestScale;
}

HWY_INLINE uint32_t LargestMagnitude(const float* x) {
  const Floats d;
  const FloatBits bits;
  const auto mask = hn::Set(bits, 0x7FFFFFFFu);
  auto largest = hn::Zero(bits);
  for (size_t i = 0; i < kBlock; i += hn::Lanes(d)) {
    largest = hn::Max(largest, hn::And(hn::BitCast(bits, hn::LoadU(d, x + i)), mask));
  }
  return hn::GetLane(hn::MaxOfLanes(bits, largest));
}

// Added to a float of at most 2^22, this leaves its nearest integer (to even) in the lowest bits.
inline constexpr float kToInteger = 0x1.8p23f;
// Of a quotient that comes from the reciprocal of its divisor: it is off by less than 3 * 2^-24 of
// itself, which is at most 127. One farther than that from the middle of two integers is rounded
// like the quotient itself.
inline constexpr float kSurelyNearest = 0.5f - 0x1p-15f;

// The levels of 128 elements, and what they lose unless `lost` is null. With kExactly the elements
// are divided by the scale; else, which is faster, multiplied by its reciprocal, and the result is
// false, and of no use, when that may round one of them to another level.
template <bool kExactly>
HWY_INLINE bool EncodeLevels(const float* x, float scale, float* lost, uint8_t* q) {
  const Floats d;
  const FloatVector divisor = hn::Set(d, scale);
  const FloatVector reciprocal = hn::Set(d, 1 / scale);
  const FloatVector to_integer = hn::Set(d, kToInteger);
  FloatVector farthest = hn::Zero(d);
  for (size_t i = 0; i < kBlock; i += hn::Lanes(d)) {
    const FloatVector value = hn::LoadU(d, x + i);
    const FloatVector quotient = kExactly ? hn::Div(value, divisor) : hn::Mul(value, reciprocal);
    const FloatVector sum = hn::Add(quotient, to_integer);
    const FloatVector level = hn::Sub(sum, to_integer);
    hn::StoreU(hn::TruncateTo(BytesStored(), hn::BitCast(FloatBits(), sum)), BytesStored(), q + i);
    if (!kExactly) farthest = hn::Max(farthest, hn::Abs(hn::Sub(quotient, level)));
    if (lost != nullptr) hn::StoreU(hn::Sub(value, hn::Mul(level, divisor)), d, lost + i);
  }
  return hn::AllTrue(d, hn::Lt(farthest, hn::Set(d, kSurelyNearest)));
}

// Encodes 128 elements, the largest magnitude of which has the bits `largest`. What they lose goes
// to `lost`, unless that is null. Returns whether they are finite.
HWY_INLINE bool EncodeBlock(const float* x, uint32_t largest, float* lost, char* out) {
  const float scale = ScaleFor(largest);
  std::memcpy(out, &scale, sizeof scale);
  uint8_t* q = reinterpret_cast<uint8_t*>(out + sizeof scale);
  if (HWY_LIKELY(scale > 0)) {
    if (!EncodeLevels<false>(x, scale, lost, q)) EncodeLevels<true>(x, scale, lost, q);
    return true;
  }
  std::memset(q, 0, kBlock);  // nothing but zeros, or poison
  const bool finite = scale == 0;
  if (lost != nullptr && finite) std::memcpy(lost, x, kBlock * sizeof(float));
  if (lost != nullptr && !finite) std::memset(lost, 0, kBlock * sizeof(float));
  return finite;
}

// The scale as it is used: NaN for one that no encoder writes.
HWY_INLINE float CheckedScale(uint32_t bits) {
  const bool is_right = bits == 0 || (bits >= 0x00800000u && bits < 0x7F800000u);
  if (!is_right) return std::numeric_limits<float>::quiet_NaN();
  float scale;
  std::memcpy(&scale, &bits, sizeof scale);
  return scale;
}

// The scale of the block at `in`, read once and checked.
HWY_INLINE float ReadScale(const char* in) {
  uint32_t bits;
  std::memcpy(&bits, in, sizeof bits);
  // What was checked is what is used, even if somebody changes the memory meanwhile: the compiler
  // may not read it again.
  asm volatile("" : "+r"(bits));
  return CheckedScale(bits);
}

// As many elements as a vector has, of a block with that scale.
HWY_INLINE FloatVector DecodeLevels(FloatVector scale, const int8_t* q) {
  const auto level = hn::PromoteTo(Integers(), hn::LoadU(Bytes(), q));
  return hn::Mul(hn::ConvertTo(Floats(), level), scale);
}

}  // namespace HWY_NAMESPACE
}  // namespace weir
HWY_AFTER_NAMESPACE();

#endif  // WEIR_CORE_CODEC_INT8_INL_H_
