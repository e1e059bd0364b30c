// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstdint>
#include <cstring>
#include <string>

#include "bench/benches.h"
#include "bench/memory_limit.h"
#include "core/optimizer.h"

namespace weir::bench {
namespace {

void Update(const Arrays& arrays, const OptimizerSpec& spec, char* sent) {
  const int states = StateTensors(spec.type);
  for (size_t at = 0; at < Arrays::kElements; at += Arrays::kSliceElements) {
    ApplyCall call;
    call.gradient = arrays.in(0) + at;
    call.scale = 1.0f / 32;
    call.learning_rate = 0.01f;
    call.weights = arrays.in(1) + at;
    call.weights_out = arrays.out(0) + at;
    for (int s = 0; s < states; ++s) {
      call.state[s] = arrays.in(2 + s) + at;
      call.state_out[s] = arrays.out(1 + s) + at;
    }
    call.count = std::min(Arrays::kSliceElements, Arrays::kElements - at);
    Apply(spec, call);
    if (sent != nullptr) std::memcpy(sent, call.weights_out, call.count * sizeof(float));
  }
}

}  // namespace

void AddOptimizers(const std::shared_ptr<Arrays>& arrays, std::vector<Measured>* all) {
  for (const OptimizerType type :
       {OptimizerType::kSgd, OptimizerType::kMomentum, OptimizerType::kNesterov,
        OptimizerType::kAdagrad, OptimizerType::kRmsProp, OptimizerType::kAdam,
        OptimizerType::kAdamW}) {
    OptimizerSpec spec;
    spec.type = type;
    const int states = StateTensors(type);
    Measured measured;
    measured.what = "optimizer " + std::string(OptimizerName(type));
    measured.bytes = Arrays::kElements * sizeof(float) * static_cast<uint64_t>(3 + 2 * states);
    measured.run = [arrays, spec] { Update(*arrays, spec, nullptr); };
    measured.limits = MemoryLimits(2 + states, 1 + states, measured.bytes, arrays, all);
    Measured sending = measured;
    sending.what += ", then copied";
    sending.bytes += Arrays::kElements * sizeof(float);
    const std::shared_ptr<char[]> sent(new char[Arrays::kSliceElements * sizeof(float)]);
    sending.run = [arrays, spec, sent] { Update(*arrays, spec, sent.get()); };
    all->push_back(std::move(measured));
    all->push_back(std::move(sending));
  }
}

}  // namespace weir::bench
