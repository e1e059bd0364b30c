// SPDX-License-Identifier: Apache-2.0
#include "launcher/job_model.h"

#include <string>

namespace weir {
namespace {

const char* FormatName(DataFormat format) {
  switch (format) {
    case DataFormat::kCsv:
      return "csv";
    case DataFormat::kIdx:
      return "idx";
    case DataFormat::kLibsvm:
      return "libsvm";
    case DataFormat::kSynthetic:
      return "synthetic";
  }
  return "unknown";
}

const char* ActivationName(ActivationType activation) {
  switch (activation) {
    case ActivationType::kRelu:
      return "relu";
    case ActivationType::kTanh:
      return "tanh";
    case ActivationType::kSigmoid:
      return "sigmoid";
  }
  return "unknown";
}

DatasetOptions DatasetOptionsOf(const Topology::Dataset& dataset) {
  DatasetOptions options;
  options.format = FormatName(dataset.format);
  options.path = dataset.path;
  options.test_path = dataset.test_path;
  options.images = dataset.images;
  options.labels = dataset.labels;
  options.test_images = dataset.test_images;
  options.test_labels = dataset.test_labels;
  options.test_fraction = dataset.test_fraction.value_or(0);
  options.label_column = dataset.label_column == "first" ? "0" : dataset.label_column;
  options.scale = dataset.scale;
  options.rows = dataset.rows;
  options.features = dataset.features;
  options.classes = dataset.classes;
  return options;
}

}  // namespace

ModelOptions ModelOptionsOf(const Topology& topology) {
  const Topology::Train& train = topology.train;
  ModelOptions options;
  options.type = train.model == ModelType::kMlp ? "mlp" : "softmax";
  if (train.model == ModelType::kMlp) options.hidden = train.hidden;
  options.activation = ActivationName(train.activation);
  options.batch = train.batch;
  options.seed = static_cast<uint64_t>(train.seed);
  options.dataset = DatasetOptionsOf(train.dataset);
  return options;
}

ScheduleSpec ScheduleOf(const Topology& topology, uint64_t steps) {
  ScheduleSpec schedule = topology.train.schedule;
  if (WorkerSetsLearningRate(topology)) schedule.total_steps = steps;
  return schedule;
}

bool WorkerSetsLearningRate(const Topology& topology) {
  const ScheduleSpec& schedule = topology.train.schedule;
  return schedule.type == ScheduleType::kCosine && schedule.total_steps == 0;
}

}  // namespace weir
