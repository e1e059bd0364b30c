// SPDX-License-Identifier: Apache-2.0
#include "tests/sim/reference.h"

#include <utility>

#include "core/initializer.h"
#include "core/optimizer.h"
#include "core/schedule.h"
#include "tests/sim/gradient.h"

namespace weir::sim {

Reference::Reference(const Scenario& scenario)
    : options_(scenario.shard), layout_(scenario.layout) {}

size_t Reference::Find(uint32_t tensor_id, uint64_t offset) const {
  for (size_t i = 0; i < layout_.slices.size(); ++i) {
    if (layout_.slices[i].tensor_id == tensor_id && layout_.slices[i].offset == offset) return i;
  }
  return layout_.slices.size();
}

Reference::History* Reference::Of(uint64_t epoch, size_t slice) {
  const auto at = histories_.find({epoch, slice});
  return at == histories_.end() ? nullptr : &at->second;
}

const Reference::History* Reference::Of(uint64_t epoch, size_t slice) const {
  const auto at = histories_.find({epoch, slice});
  return at == histories_.end() ? nullptr : &at->second;
}

void Reference::Begin(uint64_t epoch, size_t slice) {
  History& history = histories_[{epoch, slice}];
  const SliceSpec& at = spec(slice);
  history.weights.emplace_back(at.count);
  Initialize(layout_.tensors[at.tensor_id - 1], options_.seed, at.offset, at.count,
             history.weights[0].data());
  for (int i = 0; i < StateTensors(options_.optimizer.type); ++i)
    history.state[i].assign(at.count, 0);
}

const std::vector<float>* Reference::At(uint64_t epoch, size_t slice, uint64_t version) const {
  const History* history = Of(epoch, slice);
  return history == nullptr || version >= history->weights.size() ? nullptr
                                                                  : &history->weights[version];
}

uint64_t Reference::newest(uint64_t epoch, size_t slice) const {
  const History* history = Of(epoch, slice);
  return history == nullptr ? 0 : history->weights.size() - 1;
}

void Reference::CommitStep(uint64_t epoch, size_t slice) {
  History* history = Of(epoch, slice);
  const uint64_t step = history->weights.size() - 1;
  const std::vector<float>& weights = history->weights.back();
  const SliceSpec& at = spec(slice);
  const PartSum sum = SumParts({0, options_.gradient_shards}, [&](uint32_t part) {
    PartSum one;
    const uint64_t source = PartSource(options_.seed, step, part);
    one.examples = PartExamples(source);
    if (one.examples == 0) return one;
    one.gradient.resize(at.count);
    FillGradient(source, one.examples, at.tensor_id, at.offset, weights.data(), at.count,
                 one.gradient.data());
    return one;
  });
  Commit(history, sum.gradient, sum.examples, StepLearningRate(options_.seed, step));
}

void Reference::CommitPush(uint64_t epoch, size_t slice, const SentPush& push) {
  Commit(Of(epoch, slice), push.gradient, push.examples, push.learning_rate);
}

void Reference::Commit(History* history, const std::vector<float>& gradient, uint64_t examples,
                       double learning_rate) {
  const uint64_t version = history->weights.size() - 1;
  history->weights.push_back(history->weights.back());
  if (examples == 0) return;
  std::vector<float>& next = history->weights.back();
  ApplyCall call;
  call.gradient = gradient.data();
  call.scale = 1.0f / static_cast<float>(examples);
  call.learning_rate = learning_rate != 0 ? static_cast<float>(learning_rate)
                                          : LearningRate(options_.schedule, version);
  call.update = version + 1;
  call.weights = next.data();
  call.weights_out = next.data();
  for (size_t i = 0; i < history->state.size(); ++i) {
    if (history->state[i].empty()) continue;
    call.state[i] = history->state[i].data();
    call.state_out[i] = history->state[i].data();
  }
  call.count = next.size();
  Apply(options_.optimizer, call);
}

}  // namespace weir::sim
