// SPDX-License-Identifier: Apache-2.0
//
// plain_train TOPOLOGY [--set key=value ...]
//
// Trains the topology's model in a plain loop, in this one process, without servers, workers,
// slices or parts, and prints the SHA-256 of the weights: what a cluster with one worker and
// gradient_shards = 1 must give bit for bit.
#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include "core/initializer.h"
#include "core/optimizer.h"
#include "core/pages.h"
#include "core/safetensors.h"
#include "core/schedule.h"
#include "launcher/job_model.h"
#include "launcher/topology_parse.h"
#include "models/matrix.h"
#include "worker/gradient_set.h"

namespace weir {
namespace {

int Fail(const std::string& message) {
  std::cerr << "plain_train: " << message << "\n";
  return 1;
}

class PlainLoop {
 public:
  PlainLoop(const Topology& topology, Model& model)
      : train_(topology.train),
        model_(model),
        tensors_(model.Tensors()),
        steps_(static_cast<uint64_t>(train_.epochs) * model.StepsPerEpoch()),
        schedule_(ScheduleOf(topology, steps_)),
        weights_(tensors_, Memory()),
        gradient_(tensors_, Memory()),
        state_{GradientSet(tensors_, Memory()), GradientSet(tensors_, Memory())} {
    for (size_t t = 0; t < tensors_.size(); ++t) {
      TensorShape shape;
      shape.name = tensors_[t].name;
      shape.shape = tensors_[t].shape;
      shape.initializer.kind = static_cast<InitializerSpec::Kind>(tensors_[t].initializer.kind);
      shape.initializer.a = tensors_[t].initializer.a;
      shape.initializer.b = tensors_[t].initializer.b;
      Initialize(shape, static_cast<uint64_t>(train_.seed), 0, Count(t), Floats(weights_, t));
    }
  }

  Status Run() {
    for (uint64_t step = 0; step < steps_; ++step) {
      const Result<PartResult> part =
          model_.Gradient({step, 0, 1}, weights_.const_views(), gradient_.views());
      if (!part.ok()) return part.status();
      if (train_.clip_norm > 0) gradient_.ClipMeanNorm(part.value().examples, train_.clip_norm);
      for (size_t t = 0; t < tensors_.size(); ++t) Update(step, part.value().examples, t);
    }
    return Status();
  }

  std::string Digest() {
    std::vector<WeightsView> views;
    for (size_t t = 0; t < tensors_.size(); ++t) {
      views.push_back({tensors_[t].name, tensors_[t].shape,
                       absl::Span<const float>(Floats(weights_, t), Count(t))});
    }
    return WeightsSha256(views);
  }

 private:
  TensorMemory Memory() const {
    const size_t bytes = GradientSet::Bytes(tensors_);
    return TensorMemory(MapPages(bytes).value(), bytes);
  }
  size_t Count(size_t tensor) const {
    return static_cast<size_t>(ElementCount(tensors_[tensor].shape));
  }
  static float* Floats(const GradientSet& set, size_t tensor) {
    return static_cast<float*>(set.views()[tensor].data);
  }

  void Update(uint64_t step, uint64_t examples, size_t tensor) {
    ApplyCall call;
    call.gradient = Floats(gradient_, tensor);
    call.scale = 1.0f / static_cast<float>(examples);
    call.learning_rate = LearningRate(schedule_, step);
    call.update = step + 1;
    call.weights = call.weights_out = Floats(weights_, tensor);
    for (int i = 0; i < 2; ++i) call.state[i] = call.state_out[i] = Floats(state_[i], tensor);
    call.count = Count(tensor);
    Apply(train_.optimizer, call);
  }

  const Topology::Train train_;
  Model& model_;
  const std::vector<TensorSpec> tensors_;
  const uint64_t steps_;
  const ScheduleSpec schedule_;
  GradientSet weights_;
  GradientSet gradient_;
  GradientSet state_[2];
};

int Run(const std::string& path, const std::vector<std::string>& settings) {
  const ParsedTopology parsed = LoadTopology(path, settings);
  if (!parsed.ok()) return Fail(parsed.errors[0].ToString());
  Result<std::unique_ptr<Model>> model = MakeModel(ModelOptionsOf(parsed.topology));
  if (!model.ok()) return Fail(model.status().ToString());
  PlainLoop loop(parsed.topology, **model);
  if (const Status status = loop.Run(); !status.ok()) return Fail(status.ToString());
  std::cout << loop.Digest() << "\n";
  return 0;
}

}  // namespace
}  // namespace weir

int main(int argc, char** argv) {
  if (argc < 2) return weir::Fail("TOPOLOGY [--set key=value ...]");
  weir::FixEigenArithmetic();
  std::vector<std::string> settings;
  for (int i = 2; i + 1 < argc; i += 2) settings.push_back(argv[i + 1]);
  return weir::Run(argv[1], settings);
}
