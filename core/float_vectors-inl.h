// SPDX-License-Identifier: Apache-2.0

// What all kernels of core/ share, compiled once per Highway target (hence the unusual include
// guard).
//
// Rules that keep the bits the same at every vector width: only operations that IEEE 754 rounds
// exactly (add, subtract, multiply, divide, square root, minimum, maximum), Mul and Add but never
// MulAdd, no reduction across lanes whose order depends on the width, and the last elements go
// through the very same vector code, padded.
#if defined(WEIR_CORE_FLOAT_VECTORS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef WEIR_CORE_FLOAT_VECTORS_INL_H_
#undef WEIR_CORE_FLOAT_VECTORS_INL_H_
#else
#define WEIR_CORE_FLOAT_VECTORS_INL_H_
#endif

#include <cstddef>
#include <cstdint>

#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace weir {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

using Floats = hn::ScalableTag<float>;
using FloatBits = hn::RebindToUnsigned<Floats>;
using FloatVector = hn::Vec<Floats>;
inline constexpr size_t kMaxFloatLanes = HWY_MAX_BYTES / sizeof(float);

// One vector of floats from any byte address.
HWY_INLINE FloatVector LoadBytes(const uint8_t* bytes) {
  return hn::BitCast(Floats(), hn::LoadU(hn::Repartition<uint8_t, Floats>(), bytes));
}

// Remembers whether it has seen a NaN or an infinity: the largest magnitude, compared as an
// integer.
class NonfiniteWatch {
 public:
  HWY_INLINE NonfiniteWatch() : largest_(hn::Zero(FloatBits())) {}

  HWY_INLINE void See(FloatVector x) {
    const FloatBits bits;
    largest_ = hn::Max(largest_, hn::And(hn::BitCast(bits, x), hn::Set(bits, 0x7FFFFFFFu)));
  }

  HWY_INLINE void See(const NonfiniteWatch& other) { largest_ = hn::Max(largest_, other.largest_); }

  // The bits of the largest magnitude so far.
  HWY_INLINE uint32_t largest() const { return hn::GetLane(hn::MaxOfLanes(FloatBits(), largest_)); }

  HWY_INLINE bool seen() const {
    const FloatBits bits;
    HWY_ALIGN uint32_t lanes[kMaxFloatLanes];
    hn::Store(largest_, bits, lanes);
    bool seen = false;
    for (size_t i = 0; i < hn::Lanes(bits); ++i) seen |= lanes[i] >= 0x7F800000u;
    return seen;
  }

 private:
  hn::Vec<FloatBits> largest_;
};

}  // namespace HWY_NAMESPACE
}  // namespace weir
HWY_AFTER_NAMESPACE();

#endif  // WEIR_CORE_FLOAT_VECTORS_INL_H_
