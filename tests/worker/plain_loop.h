// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_TESTS_WORKER_PLAIN_LOOP_H_
#define WEIR_TESTS_WORKER_PLAIN_LOOP_H_

#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

#include "core/buffer.h"
#include "core/initializer.h"
#include "core/layout.h"
#include "core/optimizer.h"
#include "core/schedule.h"
#include "core/tensor_sum.h"
#include "weir/model.h"

namespace weir {

// Training as one would write it without Weir: one process, one loop, the kernels of core/ called
// directly. What a synchronous run must equal bit for bit, whatever its shards and workers. It
// shares no code with the client, the shard or the training loop.
class PlainLoop {
 public:
  struct Options {
    uint32_t gradient_shards = 1;
    uint64_t seed = 0;
    OptimizerSpec optimizer;
    ScheduleSpec schedule;
    double clip_norm = 0;
  };
  using Tensors = std::vector<std::vector<float>>;

  PlainLoop(Model& model, const Options& options)
      : model_(model), options_(options), specs_(model.Tensors()) {
    for (const TensorSpec& spec : specs_) {
      const auto kind = static_cast<InitializerSpec::Kind>(spec.initializer.kind);
      const TensorShape shape{
          spec.name, spec.shape, {kind, spec.initializer.a, spec.initializer.b}};
      const size_t count = static_cast<size_t>(shape.count());
      weights_.push_back(Aligned(count));
      Initialize(shape, options.seed, 0, count, weights_.back().floats());
      for (int i = 0; i < 2; ++i) {
        state_[i].push_back(Aligned(count));
        std::memset(state_[i].back().data(), 0, count * sizeof(float));
      }
    }
  }

  void Run(uint64_t steps) {
    for (uint64_t step = 0; step < steps; ++step) Step(step);
  }

  Tensors weights() const {
    Tensors all;
    for (size_t i = 0; i < specs_.size(); ++i) {
      all.emplace_back(weights_[i].floats(), weights_[i].floats() + Count(i));
    }
    return all;
  }
  double last_loss() const { return last_loss_; }

 private:
  struct Sum {
    uint64_t examples = 0;
    double loss_sum = 0;
    std::vector<Buffer> gradient;
  };

  Buffer Aligned(size_t count) { return pool_.Allocate(count * sizeof(float)); }
  size_t Count(size_t tensor) const {
    return static_cast<size_t>(ElementCount(specs_[tensor].shape));
  }

  Sum Part(uint64_t step, uint32_t part) {
    Sum sum;
    std::vector<TensorView> weights;
    std::vector<MutableTensorView> gradients;
    for (size_t i = 0; i < specs_.size(); ++i) {
      sum.gradient.push_back(Aligned(Count(i)));
      weights.push_back(
          {weights_[i].data(), ElementType::kFloat32, static_cast<int64_t>(Count(i))});
      gradients.push_back(
          {sum.gradient[i].data(), ElementType::kFloat32, static_cast<int64_t>(Count(i))});
    }
    Result<PartResult> result =
        model_.Gradient({step, part, options_.gradient_shards}, weights, gradients);
    sum.examples = result.value().examples;
    sum.loss_sum = result.value().loss_sum;
    if (sum.examples == 0 || options_.clip_norm == 0) return sum;
    double squares = 0;
    for (size_t i = 0; i < specs_.size(); ++i)
      squares += SumOfSquares(sum.gradient[i].data(), Count(i));
    const double norm = std::sqrt(squares) / static_cast<double>(sum.examples);
    if (norm <= options_.clip_norm) return sum;
    const float scale = static_cast<float>(options_.clip_norm / norm);
    for (size_t i = 0; i < specs_.size(); ++i)
      weir::Scale(sum.gradient[i].data(), scale, sum.gradient[i].floats(), Count(i));
    return sum;
  }

  // The sum over parts [first, first + size) that exist, size a power of two.
  Sum Tree(uint64_t step, uint32_t first, uint32_t size) {
    if (size == 1) return Part(step, first);
    Sum left = Tree(step, first, size / 2);
    if (first + size / 2 >= options_.gradient_shards) return left;
    Sum right = Tree(step, first + size / 2, size / 2);
    left.loss_sum += right.loss_sum;
    if (right.examples == 0) return left;
    if (left.examples == 0) {
      right.loss_sum = left.loss_sum;
      return right;
    }
    left.examples += right.examples;
    for (size_t i = 0; i < specs_.size(); ++i) {
      for (size_t j = 0; j < Count(i); ++j)
        left.gradient[i].floats()[j] += right.gradient[i].floats()[j];
    }
    return left;
  }

  void Step(uint64_t step) {
    uint32_t size = 1;
    while (size < options_.gradient_shards) size *= 2;
    const Sum sum = Tree(step, 0, size);
    if (sum.examples == 0) return;
    last_loss_ = sum.loss_sum / static_cast<double>(sum.examples);
    for (size_t i = 0; i < specs_.size(); ++i) {
      ApplyCall call;
      call.gradient = sum.gradient[i].data();
      call.scale = 1.0f / static_cast<float>(sum.examples);
      call.learning_rate = LearningRate(options_.schedule, step);
      call.update = step + 1;
      call.weights = weights_[i].floats();
      call.weights_out = weights_[i].floats();
      for (int s = 0; s < 2; ++s) call.state[s] = call.state_out[s] = state_[s][i].floats();
      call.count = Count(i);
      Apply(options_.optimizer, call);
    }
  }

  Model& model_;
  const Options options_;
  const std::vector<TensorSpec> specs_;
  BufferPool pool_;
  std::vector<Buffer> weights_;
  std::vector<Buffer> state_[2];
  double last_loss_ = 0;
};

}  // namespace weir

#endif  // WEIR_TESTS_WORKER_PLAIN_LOOP_H_
