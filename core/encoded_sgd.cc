// SPDX-License-Identifier: Apache-2.0
#include "core/encoded_sgd.h"

#include <cstring>

#include "core/codec_kernels.h"
#include "core/optimizer_rules.h"
#include "hwy/cache_control.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/encoded_sgd.cc"
#include "hwy/foreach_target.h"
// Highway's order: foreach_target.h before everything that is compiled per target.
#include "core/codec_half-inl.h"
#include "core/codec_int8-inl.h"
#include "core/optimizer_loop-inl.h"
#include "core/optimizer_sgd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace weir {
namespace HWY_NAMESPACE {

// A source reads a block of 128 elements as vectors, each once.
struct F32Source {
  static constexpr Codec kCodec = Codec::kF32;
  HWY_INLINE explicit F32Source(const char* block) : block_(block) {}
  HWY_INLINE FloatVector At(size_t i) const {
    return LoadBytes(reinterpret_cast<const uint8_t*>(block_) + i * sizeof(float));
  }
  const char* block_;
};

template <class Format, Codec codec>
struct HalfSource {
  static constexpr Codec kCodec = codec;
  HWY_INLINE explicit HalfSource(const char* block) : block_(block) {}
  HWY_INLINE FloatVector At(size_t i) const {
    return DecodeHalves<Format>(block_ + i * sizeof(uint16_t));
  }
  const char* block_;
};

struct Int8Source {
  static constexpr Codec kCodec = Codec::kInt8;
  HWY_INLINE explicit Int8Source(const char* block)
      : scale_(hn::Set(Floats(), ReadScale(block))),
        levels_(reinterpret_cast<const int8_t*>(block + sizeof(float))) {}
  HWY_INLINE FloatVector At(size_t i) const { return DecodeLevels(scale_, levels_ + i); }
  const FloatVector scale_;
  const int8_t* levels_;
};

// A sink encodes a block, the largest magnitude of which has the bits `largest`.
struct NoSink {
  static constexpr Codec kCodec = Codec::kF32;
  static HWY_INLINE void Put(const float*, uint32_t, char*) {}
};

template <class Format, Codec codec>
struct HalfSink {
  static constexpr Codec kCodec = codec;
  static HWY_INLINE void Put(const float* block, uint32_t, char* out) {
    EncodeAll<Format, false>(block, kBlock, out);
  }
};

struct Int8Sink {
  static constexpr Codec kCodec = Codec::kInt8;
  static HWY_INLINE void Put(const float* block, uint32_t largest, char* out) {
    EncodeBlock(block, largest, nullptr, out);
  }
};

template <class Source, class Sink>
class SgdBlocks {
 public:
  HWY_INLINE SgdBlocks(const OptimizerSpec& spec, const ApplyCall& call)
      : rule_{hn::Set(Floats(), call.learning_rate)},
        gradients_(PrepareGradient(spec, call, spec.weight_decay)) {}

  HWY_INLINE ApplyFlags Run(const ApplyCall& call, const EncodedSgd& how) {
    const bool aligned = reinterpret_cast<uintptr_t>(call.weights_out) % HWY_MAX_BYTES == 0;
    if (how.past_caches && aligned) {
      Blocks<true>(call, how.values_out);
    } else {
      Blocks<false>(call, how.values_out);
    }
    ApplyFlags flags;
    flags.nonfinite_gradient = gradients_.nonfinite();
    flags.nonfinite_result = results_.seen();
    return flags;
  }

 private:
  static constexpr size_t kSourceBytes = EncodedBytes(Source::kCodec, kBlock);
  static constexpr bool kEncodes = Sink::kCodec != Codec::kF32;
  static constexpr size_t kSinkBytes = kEncodes ? EncodedBytes(Sink::kCodec, kBlock) : 0;

  template <bool kStream>
  HWY_INLINE void Blocks(const ApplyCall& call, char* out) {
    const char* in = static_cast<const char*>(call.gradient);
    size_t i = 0;
    for (; i + kBlock <= call.count; i += kBlock, in += kSourceBytes, out += kSinkBytes) {
      Block<kStream>(in, call.weights + i, call.weights_out + i, out);
    }
    if (i < call.count) LastBlock(in, call.weights + i, call.weights_out + i, call.count - i, out);
  }

  template <bool kStream>
  HWY_INLINE void Block(const char* in, const float* weights, float* weights_out, char* out) {
    const Floats d;
    const Source source(in);
    NonfiniteWatch watch;
    HWY_ALIGN float fresh[kBlock];
    for (size_t i = 0; i < kBlock; i += hn::Lanes(d)) {
      hwy::Prefetch(weights + kAheadElements + i);
      const FloatVector w = hn::LoadU(d, weights + i);
      const FloatVector g = gradients_.Prepare(source.At(i), w);
      const FloatVector result = rule_.Update(w, g, nullptr, nullptr);
      watch.See(result);
      if (kEncodes) hn::Store(result, d, fresh + i);
      if (kStream) {
        hn::Stream(result, d, weights_out + i);
      } else {
        hn::StoreU(result, d, weights_out + i);
      }
    }
    results_.See(watch);
    if (kEncodes) Sink::Put(fresh, watch.largest(), out);
  }

  // `left` elements, fewer than a block: by way of a whole one.
  HWY_INLINE void LastBlock(const char* in, const float* weights, float* weights_out, size_t left,
                            char* out) {
    HWY_ALIGN char padded[kSourceBytes] = {};
    HWY_ALIGN float w[kBlock] = {};
    char encoded[kEncodes ? kSinkBytes : 1];
    std::memcpy(padded, in, EncodedBytes(Source::kCodec, left));
    std::memcpy(w, weights, left * sizeof(float));
    Block<false>(padded, w, w, encoded);
    std::memcpy(weights_out, w, left * sizeof(float));
    if (kEncodes) std::memcpy(out, encoded, EncodedBytes(Sink::kCodec, left));
  }

  const SgdRule rule_;
  GradientStep gradients_;
  NonfiniteWatch results_;
};

template <class Source>
HWY_INLINE ApplyFlags FromSource(const OptimizerSpec& spec, const ApplyCall& call,
                                 const EncodedSgd& how) {
  switch (how.values) {
    case Codec::kF16:
      return SgdBlocks<Source, HalfSink<F16Format, Codec::kF16>>(spec, call).Run(call, how);
    case Codec::kBf16:
      return SgdBlocks<Source, HalfSink<Bf16Format, Codec::kBf16>>(spec, call).Run(call, how);
    case Codec::kInt8:
      return SgdBlocks<Source, Int8Sink>(spec, call).Run(call, how);
    case Codec::kF32:
    case Codec::kUnspecified:
      break;
  }
  return SgdBlocks<Source, NoSink>(spec, call).Run(call, how);
}

ApplyFlags EncodedSgdKernel(const OptimizerSpec& spec, const ApplyCall& call,
                            const EncodedSgd& how) {
  switch (how.gradient) {
    case Codec::kF16:
      return FromSource<HalfSource<F16Format, Codec::kF16>>(spec, call, how);
    case Codec::kBf16:
      return FromSource<HalfSource<Bf16Format, Codec::kBf16>>(spec, call, how);
    case Codec::kInt8:
      return FromSource<Int8Source>(spec, call, how);
    case Codec::kF32:
    case Codec::kUnspecified:
      break;
  }
  return FromSource<F32Source>(spec, call, how);
}

}  // namespace HWY_NAMESPACE
}  // namespace weir
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace weir {

HWY_EXPORT(EncodedSgdKernel);

ApplyFlags ApplyEncodedSgd(const OptimizerSpec& spec, const ApplyCall& call,
                           const EncodedSgd& how) {
  return HWY_DYNAMIC_DISPATCH(EncodedSgdKernel)(spec, call, how);
}

}  // namespace weir
#endif  // HWY_ONCE
