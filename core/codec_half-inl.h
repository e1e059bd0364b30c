// SPDX-License-Identifier: Apache-2.0

// f16 and bf16 by integer arithmetic alone but for two exact float operations, so that every target
// gives the same bits, NaNs included. The processor's own conversions of f16, which round the same
// and do not saturate, take what needs no saturation where there are any: SSE4 has none.
//
// Compiled once per Highway target (hence the unusual include guard).
#if defined(WEIR_CORE_CODEC_HALF_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef WEIR_CORE_CODEC_HALF_INL_H_
#undef WEIR_CORE_CODEC_HALF_INL_H_
#else
#define WEIR_CORE_CODEC_HALF_INL_H_
#endif

#include <cstring>

#include "core/codec_kernels.h"
#include "core/float_vectors-inl.h"
#include "hwy/cache_control.h"

HWY_BEFORE_NAMESPACE();
namespace weir {
namespace HWY_NAMESPACE {

using BitVector = hn::Vec<FloatBits>;
using Halves = hn::Rebind<uint16_t, Floats>;
using HalfVector = hn::Vec<Halves>;
using TwiceHalves = hn::Repartition<uint16_t, Floats>;  // of two vectors of floats
using TwiceHalfVector = hn::Vec<TwiceHalves>;

inline constexpr uint32_t kSign = 0x80000000u;
inline constexpr uint32_t kInfinity = 0x7F800000u;

// The lower halves of the lanes.
HWY_INLINE HalfVector Narrow(BitVector x) {
  return hn::DemoteTo(Halves(), hn::BitCast(hn::RebindToSigned<FloatBits>(), x));
}

// a < b for lanes below 2^31, which signed comparison (the only one that x86 has) gets right.
HWY_INLINE hn::Mask<FloatBits> Below(BitVector a, BitVector b) {
  const hn::RebindToSigned<FloatBits> d;
  return hn::RebindMask(FloatBits(), hn::Lt(hn::BitCast(d, a), hn::BitCast(d, b)));
}

// A format: EncodeLanes gives the sixteen bits of each lane, of any float; DecodeVector the floats.
// EncodeTwice is for lanes whose magnitude, as an integer, is below kPlainBelow: what neither
// saturates nor is infinite or NaN.
struct Bf16Format {
  // What is rounded up at the 17th bit from below; a tie goes to the even.
  static HWY_INLINE BitVector EncodeLanes(BitVector x) {
    const FloatBits d;
    const BitVector sign = hn::And(x, hn::Set(d, kSign));
    const BitVector magnitude = hn::Xor(x, sign);
    const BitVector infinity = hn::Set(d, kInfinity);
    const BitVector largest = hn::Set(d, 0x7F7F0000u);
    const BitVector finite = hn::Min(magnitude, largest);
    const BitVector odd = hn::And(hn::ShiftRight<16>(finite), hn::Set(d, 1u));
    const BitVector rounded = hn::Add(hn::Add(finite, hn::Set(d, 0x7FFFu)), odd);
    const BitVector quiet = hn::IfThenElseZero(Below(infinity, magnitude), hn::Set(d, 0x400000u));
    const BitVector kept = hn::Or(magnitude, quiet);
    const BitVector result = hn::IfThenElse(Below(magnitude, infinity), rounded, kept);
    return hn::ShiftRight<16>(hn::Or(result, sign));
  }
  static constexpr uint32_t kPlainBelow = 0x7F7F8000u;
  static HWY_INLINE BitVector Rounded(BitVector x) {
    const FloatBits d;
    const BitVector odd = hn::And(hn::ShiftRight<16>(x), hn::Set(d, 1u));
    return hn::Add(hn::Add(x, hn::Set(d, 0x7FFFu)), odd);
  }
  static HWY_INLINE TwiceHalfVector EncodeTwice(BitVector a, BitVector b) {
    const TwiceHalves d;
    return hn::ConcatOdd(d, hn::BitCast(d, Rounded(b)), hn::BitCast(d, Rounded(a)));
  }
  static HWY_INLINE FloatVector DecodeVector(HalfVector h) {
    return hn::BitCast(Floats(), hn::ShiftLeft<16>(hn::PromoteTo(FloatBits(), h)));
  }
};

struct F16Format {
  static HWY_INLINE BitVector EncodeLanes(BitVector x) {
    const FloatBits d;
    const Floats df;
    const BitVector sign = hn::And(x, hn::Set(d, kSign));
    const BitVector magnitude = hn::Xor(x, sign);
    const BitVector finite = hn::Min(magnitude, hn::Set(d, 0x477FE000u));  // 65504
    // Down to 2^-14: another exponent, rounded at the 14th bit from below.
    const BitVector odd = hn::And(hn::ShiftRight<13>(finite), hn::Set(d, 1u));
    const BitVector rounded = hn::Add(hn::Add(finite, hn::Set(d, 0xFFFu)), odd);
    const BitVector normal = hn::Sub(hn::ShiftRight<13>(rounded), hn::Set(d, 112u << 10));
    // Below: added to 1/2, whose last place is that of the smallest f16.
    const FloatVector half = hn::Set(df, 0.5f);
    const BitVector subnormal =
        hn::Sub(hn::BitCast(d, hn::Add(hn::BitCast(df, finite), half)), hn::BitCast(d, half));
    const auto is_subnormal = Below(finite, hn::Set(d, 0x38800000u));
    BitVector result = hn::IfThenElse(is_subnormal, subnormal, normal);
    // Infinity, and a NaN that keeps the upper bits of its payload and is quiet.
    const BitVector infinity = hn::Set(d, kInfinity);
    const BitVector payload = hn::And(hn::ShiftRight<13>(magnitude), hn::Set(d, 0x3FFu));
    const BitVector quiet = hn::IfThenElseZero(Below(infinity, magnitude), hn::Set(d, 0x200u));
    const BitVector kept = hn::Or(hn::Or(hn::Set(d, 0x7C00u), payload), quiet);
    result = hn::IfThenElse(Below(magnitude, infinity), result, kept);
    return hn::Or(result, hn::ShiftRight<16>(sign));
  }
  static constexpr uint32_t kPlainBelow = 0x477FF000u;  // 65520, which is rounded to infinity
#if HWY_TARGET >= HWY_SSE4
  static HWY_INLINE TwiceHalfVector EncodeTwice(BitVector a, BitVector b) {
    return hn::Combine(TwiceHalves(), Narrow(EncodeLanes(b)), Narrow(EncodeLanes(a)));
  }
  static HWY_INLINE FloatVector DecodeVector(HalfVector half) {
    const FloatBits d;
    const Floats df;
    const BitVector h = hn::PromoteTo(d, half);
    const BitVector sign = hn::ShiftLeft<16>(hn::And(h, hn::Set(d, 0x8000u)));
    const BitVector magnitude = hn::ShiftLeft<13>(hn::And(h, hn::Set(d, 0x7FFFu)));
    // The exponent moved from one bias to the other by an exact product, subnormals too.
    const BitVector finite =
        hn::BitCast(d, hn::Mul(hn::BitCast(df, magnitude), hn::Set(df, 0x1p112f)));
    const BitVector infinity = hn::Set(d, 0x0F800000u);
    const BitVector quiet = hn::IfThenElseZero(Below(infinity, magnitude), hn::Set(d, 0x400000u));
    const BitVector kept = hn::Or(hn::Or(magnitude, hn::Set(d, kInfinity)), quiet);
    return hn::BitCast(df, hn::Or(hn::IfThenElse(Below(magnitude, infinity), finite, kept), sign));
  }
#else
  using Float16s = hn::Rebind<hwy::float16_t, Floats>;
  static HWY_INLINE HalfVector Converted(BitVector x) {
    return hn::BitCast(Halves(), hn::DemoteTo(Float16s(), hn::BitCast(Floats(), x)));
  }
  static HWY_INLINE TwiceHalfVector EncodeTwice(BitVector a, BitVector b) {
    return hn::Combine(TwiceHalves(), Converted(b), Converted(a));
  }
  static HWY_INLINE FloatVector DecodeVector(HalfVector half) {
    return hn::PromoteTo(Floats(), hn::BitCast(Float16s(), half));
  }
#endif
};

template <class Format>
HWY_INLINE HalfVector EncodeVector(FloatVector x, NonfiniteWatch* watch) {
  watch->See(x);
  return Narrow(Format::EncodeLanes(hn::BitCast(FloatBits(), x)));
}

// Encodes four vectors if all are plain.
template <class Format>
HWY_INLINE bool EncodePlain(const float* x, uint8_t* out) {
  const Floats d;
  const FloatBits bits;
  const hn::Repartition<uint8_t, TwiceHalves> bytes;
  const size_t lanes = hn::Lanes(d);
  const BitVector a = hn::BitCast(bits, hn::LoadU(d, x));
  const BitVector b = hn::BitCast(bits, hn::LoadU(d, x + lanes));
  const BitVector e = hn::BitCast(bits, hn::LoadU(d, x + 2 * lanes));
  const BitVector f = hn::BitCast(bits, hn::LoadU(d, x + 3 * lanes));
  const BitVector mask = hn::Set(bits, ~kSign);
  const BitVector largest = hn::Max(hn::Max(hn::And(a, mask), hn::And(b, mask)),
                                    hn::Max(hn::And(e, mask), hn::And(f, mask)));
  if (!hn::AllTrue(bits, Below(largest, hn::Set(bits, Format::kPlainBelow)))) return false;
  hn::StoreU(hn::BitCast(bytes, Format::EncodeTwice(a, b)), bytes, out);
  hn::StoreU(hn::BitCast(bytes, Format::EncodeTwice(e, f)), bytes, out + 4 * lanes);
  return true;
}

// With kAsk memory farther on is asked for.
template <class Format, bool kAsk>
HWY_INLINE bool EncodeAll(const float* x, size_t count, char* out) {
  const Floats d;
  const Halves dh;
  const hn::Repartition<uint8_t, Halves> bytes;
  const size_t lanes = hn::Lanes(d);
  NonfiniteWatch watch;
  size_t i = 0;
  while (i + lanes <= count) {
    for (size_t ahead = 0; kAsk && ahead < 4; ++ahead) {
      hwy::Prefetch(x + i + kAheadElements + ahead * lanes);
    }
    if (i + 4 * lanes <= count &&
        HWY_LIKELY(EncodePlain<Format>(x + i, reinterpret_cast<uint8_t*>(out) + 2 * i))) {
      i += 4 * lanes;
      continue;
    }
    const HalfVector h = EncodeVector<Format>(hn::LoadU(d, x + i), &watch);
    hn::StoreU(hn::BitCast(bytes, h), bytes, reinterpret_cast<uint8_t*>(out) + 2 * i);
    i += lanes;
  }
  if (i < count) {
    HWY_ALIGN float last[kMaxFloatLanes] = {};
    HWY_ALIGN uint16_t halves[kMaxFloatLanes];
    std::memcpy(last, x + i, (count - i) * sizeof(float));
    hn::Store(EncodeVector<Format>(hn::Load(d, last), &watch), dh, halves);
    std::memcpy(out + 2 * i, halves, 2 * (count - i));
  }
  return !watch.seen();
}

// As many elements as a vector has, from any byte address.
template <class Format>
HWY_INLINE FloatVector DecodeHalves(const char* in) {
  const hn::Repartition<uint8_t, Halves> bytes;
  const auto raw = hn::LoadU(bytes, reinterpret_cast<const uint8_t*>(in));
  return Format::DecodeVector(hn::BitCast(Halves(), raw));
}

template <class Format>
HWY_INLINE void DecodeAll(const char* in, size_t count, float* out) {
  const Floats d;
  const Halves dh;
  const size_t lanes = hn::Lanes(d);
  size_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    hn::StoreU(DecodeHalves<Format>(in + 2 * i), d, out + i);
  }
  if (i < count) {
    HWY_ALIGN uint16_t halves[kMaxFloatLanes] = {};
    HWY_ALIGN float last[kMaxFloatLanes];
    std::memcpy(halves, in + 2 * i, 2 * (count - i));
    hn::Store(Format::DecodeVector(hn::Load(dh, halves)), d, last);
    std::memcpy(out + i, last, (count - i) * sizeof(float));
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace weir
HWY_AFTER_NAMESPACE();

#endif  // WEIR_CORE_CODEC_HALF_INL_H_
