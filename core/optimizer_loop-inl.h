// SPDX-License-Identifier: Apache-2.0

// The one loop that all optimizers share, compiled once per Highway target (hence the unusual
// include guard).
//
// A rule is a struct of broadcast constants with `kStates` (0, 1 or 2) and
//   FloatVector Update(FloatVector w, FloatVector g, FloatVector* state0, FloatVector* state1)
//   const
// which returns the new weights and changes the states in place. The loop is bound by memory: it
// loads gradient, weights and state once and stores the new ones once; scaling, clipping, decay and
// the checks cost nothing beside that.
#if defined(WEIR_CORE_OPTIMIZER_LOOP_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef WEIR_CORE_OPTIMIZER_LOOP_INL_H_
#undef WEIR_CORE_OPTIMIZER_LOOP_INL_H_
#else
#define WEIR_CORE_OPTIMIZER_LOOP_INL_H_
#endif

#include <cstring>

#include "core/float_vectors-inl.h"
#include "core/optimizer_rules.h"
#include "hwy/cache_control.h"

HWY_BEFORE_NAMESPACE();
namespace weir {
namespace HWY_NAMESPACE {

// Where one vector's worth of elements lies.
struct Lane {
  const uint8_t* gradient;
  const float* weights;
  const float* state0;
  const float* state1;
  float* weights_out;
  float* state0_out;
  float* state1_out;
};

// Scales, clips and decays gradients, and remembers whether a scaled one was not finite.
class GradientStep {
 public:
  HWY_INLINE explicit GradientStep(const GradientConstants& constants)
      : scale_(hn::Set(Floats(), constants.scale)),
        clip_(hn::Set(Floats(), constants.clip_value)),
        weight_decay_(hn::Set(Floats(), constants.weight_decay)) {}

  // What the rule is given for a gradient of the weights `w`.
  HWY_INLINE FloatVector Prepare(FloatVector gradient, FloatVector w) {
    FloatVector g = hn::Mul(gradient, scale_);
    watch_.See(g);
    g = hn::Min(hn::Max(g, hn::Neg(clip_)), clip_);
    return hn::Add(g, hn::Mul(weight_decay_, w));
  }

  HWY_INLINE bool nonfinite() const { return watch_.seen(); }

 private:
  const FloatVector scale_;
  const FloatVector clip_;
  const FloatVector weight_decay_;
  NonfiniteWatch watch_;
};

template <class Rule>
class RuleLoop {
 public:
  HWY_INLINE RuleLoop(const Rule& rule, const GradientConstants& constants)
      : rule_(rule), gradients_(constants) {}

  HWY_INLINE ApplyFlags Run(const ApplyCall& call) {
    size_t done = 0;
    if (MayStream(call)) {
      done = ElementsBeforeAligned(call.weights_out);
      Part(call, 0, done);
      done = Vectors<true>(call, done);
    } else {
      done = Vectors<false>(call, done);
    }
    Part(call, done, call.count - done);
    ApplyFlags flags;
    flags.nonfinite_gradient = gradients_.nonfinite();
    flags.nonfinite_result = result_watch_.seen();
    return flags;
  }

 private:
  // From this many elements on, what is new goes past the caches straight to memory: storing it
  // through them would first read the lines that it overwrites, and drive others out. See "Kernels"
  // in docs/performance.md for what was measured. Smaller runs are of small tensors, which stay.
  static constexpr size_t kStreamElements = 8192;

  // Streaming stores need whole vectors at aligned addresses, the same for all outputs, and lines
  // that are not being read.
  static HWY_INLINE bool MayStream(const ApplyCall& call) {
    bool may = call.count >= kStreamElements && call.weights_out != call.weights &&
               reinterpret_cast<uintptr_t>(call.weights_out) % sizeof(float) == 0;
    for (int s = 0; s < Rule::kStates; ++s) {
      may = may && call.state_out[s] != call.state[s] &&
            ElementsBeforeAligned(call.state_out[s]) == ElementsBeforeAligned(call.weights_out);
    }
    return may;
  }

  static HWY_INLINE size_t ElementsBeforeAligned(const float* out) {
    const uintptr_t address = reinterpret_cast<uintptr_t>(out);
    return (HWY_MAX_BYTES - address % HWY_MAX_BYTES) % HWY_MAX_BYTES / sizeof(float);
  }

  // Runs all whole vectors from element `i` on; returns the first element that is left.
  template <bool kStream>
  HWY_INLINE size_t Vectors(const ApplyCall& call, size_t i) {
    const size_t lanes = hn::Lanes(Floats());
    const uint8_t* gradient = static_cast<const uint8_t*>(call.gradient);
    for (; i + lanes <= call.count; i += lanes) {
      Step<kStream>({gradient + i * sizeof(float), call.weights + i, State(call.state[0], 0, i),
                     State(call.state[1], 1, i), call.weights_out + i,
                     State(call.state_out[0], 0, i), State(call.state_out[1], 1, i)});
    }
    if (kStream) hwy::FlushStream();  // before anybody is told that it is there
    return i;
  }

  template <bool kStream>
  static HWY_INLINE void StoreNew(FloatVector values, float* out) {
    if (kStream) {
      hn::Stream(values, Floats(), out);
    } else {
      hn::StoreU(values, Floats(), out);
    }
  }

  // The element `i` of state `index`, or null where the rule has no such state.
  template <class T>
  static HWY_INLINE T* State(T* state, int index, size_t i) {
    return index < Rule::kStates ? state + i : nullptr;
  }

  template <bool kStream>
  HWY_INLINE void Step(const Lane& at) {
    const Floats d;
    const FloatVector w = hn::LoadU(d, at.weights);
    const FloatVector g = gradients_.Prepare(LoadBytes(at.gradient), w);
    FloatVector state0 = hn::Zero(d);
    FloatVector state1 = hn::Zero(d);
    if constexpr (Rule::kStates >= 1) state0 = hn::LoadU(d, at.state0);
    if constexpr (Rule::kStates >= 2) state1 = hn::LoadU(d, at.state1);
    const FloatVector result = rule_.Update(w, g, &state0, &state1);
    result_watch_.See(result);
    StoreNew<kStream>(result, at.weights_out);
    if constexpr (Rule::kStates >= 1) {
      result_watch_.See(state0);
      StoreNew<kStream>(state0, at.state0_out);
    }
    if constexpr (Rule::kStates >= 2) {
      result_watch_.See(state1);
      StoreNew<kStream>(state1, at.state1_out);
    }
  }

  // `left` elements from `first` on, fewer than a vector: copied into padded vectors, through the
  // same code, and back.
  HWY_INLINE void Part(const ApplyCall& call, size_t first, size_t left) {
    if (left == 0) return;
    const size_t bytes = left * sizeof(float);
    HWY_ALIGN uint8_t gradient[HWY_MAX_BYTES] = {};
    HWY_ALIGN float weights[kMaxFloatLanes] = {};
    HWY_ALIGN float states[2][kMaxFloatLanes] = {};
    std::memcpy(gradient, static_cast<const uint8_t*>(call.gradient) + first * sizeof(float),
                bytes);
    std::memcpy(weights, call.weights + first, bytes);
    for (int s = 0; s < Rule::kStates; ++s) std::memcpy(states[s], call.state[s] + first, bytes);
    Step<false>({gradient, weights, states[0], states[1], weights, states[0], states[1]});
    std::memcpy(call.weights_out + first, weights, bytes);
    for (int s = 0; s < Rule::kStates; ++s)
      std::memcpy(call.state_out[s] + first, states[s], bytes);
  }

  const Rule rule_;
  GradientStep gradients_;
  NonfiniteWatch result_watch_;
};

template <class Rule>
HWY_INLINE ApplyFlags RunRule(const Rule& rule, const GradientConstants& constants,
                              const ApplyCall& call) {
  return RuleLoop<Rule>(rule, constants).Run(call);
}

}  // namespace HWY_NAMESPACE
}  // namespace weir
HWY_AFTER_NAMESPACE();

#endif  // WEIR_CORE_OPTIMIZER_LOOP_INL_H_
