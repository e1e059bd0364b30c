// SPDX-License-Identifier: Apache-2.0
#include "core/tensor_sum.h"

#include <cstring>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/tensor_sum.cc"
#include "hwy/foreach_target.h"
// Highway's order: foreach_target.h before everything that is compiled per target.
#include "core/float_vectors-inl.h"

HWY_BEFORE_NAMESPACE();
namespace weir {
namespace HWY_NAMESPACE {

// The last elements of an array, fewer than a vector, padded with zeros.
struct Padded {
  HWY_INLINE Padded(const void* x, size_t first, size_t count) {
    std::memcpy(bytes, static_cast<const uint8_t*>(x) + first * sizeof(float),
                (count - first) * sizeof(float));
  }
  HWY_ALIGN uint8_t bytes[HWY_MAX_BYTES] = {};
};

HWY_INLINE void StoreFirst(FloatVector x, float* out, size_t count) {
  HWY_ALIGN float lanes[kMaxFloatLanes];
  hn::Store(x, Floats(), lanes);
  std::memcpy(out, lanes, count * sizeof(float));
}

SumFlags SumKernel(const void* a, const void* b, float* out, size_t count) {
  const Floats d;
  const size_t lanes = hn::Lanes(d);
  NonfiniteWatch watch_b;
  NonfiniteWatch watch_out;
  size_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    const FloatVector right = LoadBytes(static_cast<const uint8_t*>(b) + i * sizeof(float));
    const FloatVector sum =
        hn::Add(LoadBytes(static_cast<const uint8_t*>(a) + i * sizeof(float)), right);
    watch_b.See(right);
    watch_out.See(sum);
    hn::StoreU(sum, d, out + i);
  }
  if (i < count) {
    const FloatVector right = LoadBytes(Padded(b, i, count).bytes);
    const FloatVector sum = hn::Add(LoadBytes(Padded(a, i, count).bytes), right);
    watch_b.See(right);
    watch_out.See(sum);
    StoreFirst(sum, out + i, count - i);
  }
  SumFlags flags;
  flags.nonfinite_b = watch_b.seen();
  flags.nonfinite_out = watch_out.seen();
  return flags;
}

bool ScaleKernel(const void* x, float scale, float* out, size_t count) {
  const Floats d;
  const size_t lanes = hn::Lanes(d);
  const FloatVector factor = hn::Set(d, scale);
  NonfiniteWatch watch;
  size_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    const FloatVector product =
        hn::Mul(LoadBytes(static_cast<const uint8_t*>(x) + i * sizeof(float)), factor);
    watch.See(product);
    hn::StoreU(product, d, out + i);
  }
  if (i < count) {
    const FloatVector product = hn::Mul(LoadBytes(Padded(x, i, count).bytes), factor);
    watch.See(product);
    StoreFirst(product, out + i, count - i);
  }
  return !watch.seen();
}

// With `out` null only checks.
bool CopyKernel(const void* x, float* out, size_t count) {
  const Floats d;
  const size_t lanes = hn::Lanes(d);
  NonfiniteWatch watch;
  size_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    const FloatVector value = LoadBytes(static_cast<const uint8_t*>(x) + i * sizeof(float));
    watch.See(value);
    if (out != nullptr) hn::StoreU(value, d, out + i);
  }
  if (i < count) {
    const FloatVector value = LoadBytes(Padded(x, i, count).bytes);
    watch.See(value);
    if (out != nullptr) StoreFirst(value, out + i, count - i);
  }
  return !watch.seen();
}

inline constexpr size_t kSums = 16;

// Adds the squares of 16 floats at `x` to 16 running sums, however many vectors that takes.
template <size_t kVectors, class D>
HWY_INLINE void AddSquares(D d, const uint8_t* x, hn::Vec<D>* sums) {
  const hn::Rebind<float, D> half;
  const hn::Repartition<uint8_t, decltype(half)> half_bytes;
  const size_t lanes = hn::Lanes(d);
  for (size_t v = 0; v < kVectors; ++v) {
    const auto floats = hn::BitCast(half, hn::LoadU(half_bytes, x + v * lanes * sizeof(float)));
    const auto value = hn::PromoteTo(d, floats);
    sums[v] = hn::Add(sums[v], hn::Mul(value, value));
  }
}

double SumOfSquaresKernel(const void* x, size_t count) {
  const hn::ScalableTag<double> d;
  constexpr size_t kVectors = kSums * sizeof(double) / HWY_MAX_BYTES;
  hn::Vec<decltype(d)> sums[kVectors];
  for (auto& sum : sums) sum = hn::Zero(d);
  const uint8_t* bytes = static_cast<const uint8_t*>(x);
  size_t i = 0;
  for (; i + kSums <= count; i += kSums) AddSquares<kVectors>(d, bytes + i * sizeof(float), sums);
  if (i < count) {
    uint8_t last[kSums * sizeof(float)] = {};
    std::memcpy(last, bytes + i * sizeof(float), (count - i) * sizeof(float));
    AddSquares<kVectors>(d, last, sums);
  }
  HWY_ALIGN double totals[kSums];
  for (size_t v = 0; v < kVectors; ++v) hn::Store(sums[v], d, totals + v * hn::Lanes(d));
  for (size_t half = kSums / 2; half > 0; half /= 2) {
    for (size_t j = 0; j < half; ++j) totals[j] += totals[j + half];
  }
  return totals[0];
}

}  // namespace HWY_NAMESPACE
}  // namespace weir
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace weir {

HWY_EXPORT(SumKernel);
HWY_EXPORT(ScaleKernel);
HWY_EXPORT(CopyKernel);
HWY_EXPORT(SumOfSquaresKernel);

SumFlags Sum(const void* a, const void* b, float* out, size_t count) {
  return HWY_DYNAMIC_DISPATCH(SumKernel)(a, b, out, count);
}

bool CopyChecked(const void* x, float* out, size_t count) {
  return HWY_DYNAMIC_DISPATCH(CopyKernel)(x, out, count);
}

bool Scale(const void* x, float scale, float* out, size_t count) {
  return HWY_DYNAMIC_DISPATCH(ScaleKernel)(x, scale, out, count);
}

bool AllFinite(const void* x, size_t count) {
  return HWY_DYNAMIC_DISPATCH(CopyKernel)(x, nullptr, count);
}

double SumOfSquares(const void* x, size_t count) {
  return HWY_DYNAMIC_DISPATCH(SumOfSquaresKernel)(x, count);
}

}  // namespace weir
#endif  // HWY_ONCE
