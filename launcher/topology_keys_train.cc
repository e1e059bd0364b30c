// SPDX-License-Identifier: Apache-2.0
#include <utility>

#include "launcher/topology_row.h"

namespace weir {
namespace {

constexpr double kMaxExactInteger = 9007199254740992;  // 2^53: every reader of YAML keeps it

std::vector<TopologyKey> TrainKeys() {
  return {
      TopologyRow("train.model", KeyType::kChoice, WEIR_FIELD(train.model))
          .OneOf({{"softmax"}, {"mlp"}})
          .OnlyBuiltInWorker()
          .Required()
          .Example("mlp")
          .Means("The model: softmax regression, or a multi-layer perceptron."),
      TopologyRow("train.hidden", KeyType::kIntegers, WEIR_FIELD(train.hidden))
          .OnlyWith("train.model", {"mlp"})
          .OnlyBuiltInWorker()
          .Between(1, 65536)
          .AtMostItems(32)
          .Required()
          .Example("[256, 128]")
          .Means("The size of each hidden layer, from the input to the output."),
      TopologyRow("train.activation", KeyType::kChoice, WEIR_FIELD(train.activation))
          .OnlyWith("train.model", {"mlp"})
          .OnlyBuiltInWorker()
          .OneOf({{"relu"}, {"tanh"}, {"sigmoid"}})
          .Example("relu")
          .Means("What follows each hidden layer."),
      TopologyRow("train.batch", KeyType::kInteger, WEIR_FIELD(train.batch))
          .OnlyBuiltInWorker()
          .Between(1, 1 << 24)
          .Unit("examples")
          .Required()
          .Example("96")
          .Means("The examples of one step, over all workers together."),
      TopologyRow("train.epochs", KeyType::kInteger, WEIR_FIELD(train.epochs))
          .OnlyBuiltInWorker()
          .Between(1, 1000000)
          .Example("10")
          .Means("How often the training set is gone through."),
      TopologyRow("train.seed", KeyType::kInteger, WEIR_FIELD(train.seed))
          .Between(0, kMaxExactInteger)
          .Example("1")
          .Means("Fixes the first weights and every batch."),
      TopologyRow("train.gradient_shards", KeyType::kInteger, WEIR_FIELD(train.gradient_shards))
          .Between(1, 4096)
          .Unit("parts")
          .Default("workers.count")
          .Example("12")
          .Means("G: into how many fixed parts a step's batch is cut. With the same G the weights "
                 "do not depend on "
                 "workers.count."),
      TopologyRow("train.init", KeyType::kPath, WEIR_FIELD(train.init))
          .Default("initialisers from train.seed")
          .Example("start.safetensors")
          .Means("A safetensors file with the first weights."),
      TopologyRow("train.clip_norm", KeyType::kNumber, WEIR_FIELD(train.clip_norm))
          .OnlyBuiltInWorker()
          .Between(0, 1e6)
          .Example("1.0")
          .Means("The largest norm of a worker's gradient, over all tensors; a larger one is "
                 "scaled down. 0 is off."),
  };
}

std::vector<TopologyKey> OptimizerKeys() {
  const char* const type = "train.optimizer.type";
  return {
      TopologyRow(type, KeyType::kChoice, WEIR_FIELD(train.optimizer.type))
          .Example("adamw")
          .OneOf(
              {{"sgd"}, {"momentum"}, {"nesterov"}, {"adagrad"}, {"rmsprop"}, {"adam"}, {"adamw"}})
          .Means("The rule by which the servers turn gradients into new weights."),
      TopologyRow("train.optimizer.learning_rate", KeyType::kNumber,
                  WEIR_FIELD(train.optimizer.learning_rate))
          .Between(0, 1000)
          .MinExcluded()
          .Example("0.05")
          .Means("The learning rate before the schedule."),
      TopologyRow("train.optimizer.momentum", KeyType::kNumber,
                  WEIR_FIELD(train.optimizer.momentum))
          .OnlyWith(type, {"momentum", "nesterov"})
          .Between(0, 1)
          .MaxExcluded()
          .Example("0.9")
          .Means("How much of the last update's direction is kept."),
      TopologyRow("train.optimizer.beta1", KeyType::kNumber, WEIR_FIELD(train.optimizer.beta1))
          .OnlyWith(type, {"adam", "adamw"})
          .Between(0, 1)
          .MaxExcluded()
          .Example("0.9")
          .Means("The decay of the first moment."),
      TopologyRow("train.optimizer.beta2", KeyType::kNumber, WEIR_FIELD(train.optimizer.beta2))
          .OnlyWith(type, {"adam", "adamw"})
          .Between(0, 1)
          .MaxExcluded()
          .Example("0.999")
          .Means("The decay of the second moment."),
      TopologyRow("train.optimizer.epsilon", KeyType::kNumber, WEIR_FIELD(train.optimizer.epsilon))
          .OnlyWith(type, {"adagrad", "rmsprop", "adam", "adamw"})
          .Between(0, 1)
          .MinExcluded()
          .Example("1e-8")
          .Means("Keeps the divisor from zero."),
      TopologyRow("train.optimizer.decay", KeyType::kNumber, WEIR_FIELD(train.optimizer.decay))
          .OnlyWith(type, {"rmsprop"})
          .Between(0, 1)
          .MaxExcluded()
          .Example("0.9")
          .Means("The decay of the mean of squares."),
      TopologyRow("train.optimizer.weight_decay", KeyType::kNumber,
                  WEIR_FIELD(train.optimizer.weight_decay))
          .Between(0, 1)
          .Example("0.01")
          .Means("Pulls weights to zero: decoupled in adamw, added to the gradient in the others."),
      TopologyRow("train.optimizer.clip_value", KeyType::kNumber,
                  WEIR_FIELD(train.optimizer.clip_value))
          .Between(0, 1e6)
          .Example("5")
          .Means("Cuts each element of the gradient, on the servers. 0 is off."),
  };
}

std::vector<TopologyKey> ScheduleKeys() {
  const char* const type = "train.schedule.type";
  return {
      TopologyRow(type, KeyType::kChoice, WEIR_FIELD(train.schedule.type))
          .OneOf({{"constant"}, {"step"}, {"cosine"}})
          .Example("cosine")
          .Means("How the learning rate changes over the steps."),
      TopologyRow("train.schedule.warmup_steps", KeyType::kInteger,
                  WEIR_FIELD(train.schedule.warmup_steps))
          .Between(0, 1e9)
          .Unit("steps")
          .Example("100")
          .Means("At first the rate rises linearly over so many steps, with every type. 0 is off."),
      TopologyRow("train.schedule.every", KeyType::kInteger, WEIR_FIELD(train.schedule.every))
          .OnlyWith(type, {"step"})
          .Between(1, 1e9)
          .Unit("steps")
          .Required()
          .Example("1000")
          .Means("After each so many steps the rate is multiplied by gamma."),
      TopologyRow("train.schedule.gamma", KeyType::kNumber, WEIR_FIELD(train.schedule.gamma))
          .OnlyWith(type, {"step"})
          .Between(0, 1)
          .MinExcluded()
          .Example("0.5")
          .Means("What the rate is multiplied by."),
      TopologyRow("train.schedule.total_steps", KeyType::kInteger,
                  WEIR_FIELD(train.schedule.total_steps))
          .OnlyWith(type, {"cosine"})
          .Between(1, 1e9)
          .Unit("steps")
          .Default("all steps of the run")
          .Example("5000")
          .Means("Where the cosine ends, warm-up included; required with workers.program."),
      TopologyRow("train.schedule.min_rate", KeyType::kNumber, WEIR_FIELD(train.schedule.min_rate))
          .OnlyWith(type, {"cosine"})
          .Between(0, 1000)
          .Example("0.001")
          .Means("The rate at the end of the cosine."),
  };
}

std::vector<TopologyKey> DatasetKeys() {
  const char* const format = "train.dataset.format";
  return {
      TopologyRow(format, KeyType::kChoice, WEIR_FIELD(train.dataset.format))
          .OnlyBuiltInWorker()
          .Required()
          .Example("csv")
          .OneOf({{"csv"}, {"idx"}, {"libsvm"}, {"synthetic"}})
          .Means("What the data set is."),
      TopologyRow("train.dataset.path", KeyType::kPath, WEIR_FIELD(train.dataset.path))
          .OnlyWith(format, {"csv", "libsvm"})
          .OnlyBuiltInWorker()
          .Required()
          .Example("data/train.csv")
          .Means("The training set."),
      TopologyRow("train.dataset.test_path", KeyType::kPath, WEIR_FIELD(train.dataset.test_path))
          .OnlyWith(format, {"csv", "libsvm"})
          .OnlyBuiltInWorker()
          .Default("no test set")
          .Example("data/test.csv")
          .Means("The test set."),
      TopologyRow("train.dataset.images", KeyType::kPath, WEIR_FIELD(train.dataset.images))
          .OnlyWith(format, {"idx"})
          .OnlyBuiltInWorker()
          .Required()
          .Example("train-images-idx3-ubyte.gz")
          .Means("The training images."),
      TopologyRow("train.dataset.labels", KeyType::kPath, WEIR_FIELD(train.dataset.labels))
          .OnlyWith(format, {"idx"})
          .OnlyBuiltInWorker()
          .Required()
          .Example("train-labels-idx1-ubyte.gz")
          .Means("The training labels."),
      TopologyRow("train.dataset.test_images", KeyType::kPath,
                  WEIR_FIELD(train.dataset.test_images))
          .OnlyWith(format, {"idx"})
          .OnlyBuiltInWorker()
          .Default("no test set")
          .Example("t10k-images-idx3-ubyte.gz")
          .Means("The test images."),
      TopologyRow("train.dataset.test_labels", KeyType::kPath,
                  WEIR_FIELD(train.dataset.test_labels))
          .OnlyWith(format, {"idx"})
          .OnlyBuiltInWorker()
          .Default("no test set")
          .Example("t10k-labels-idx1-ubyte.gz")
          .Means("The test labels."),
      TopologyRow("train.dataset.test_fraction", KeyType::kNumber,
                  WEIR_FIELD(train.dataset.test_fraction))
          .OnlyBuiltInWorker()
          .Between(0, 1)
          .MinExcluded()
          .MaxExcluded()
          .Default("no row is held out")
          .Example("0.2")
          .Means("The share of the training set's rows that is held out as test set, in a fixed "
                 "split."),
      TopologyRow("train.dataset.label_column", KeyType::kText,
                  WEIR_FIELD(train.dataset.label_column))
          .OnlyWith(format, {"csv"})
          .OnlyBuiltInWorker()
          .Example("species")
          .Means("Where the label stands: last, a number from 0, or a name in the header "
                 "line."),
      TopologyRow("train.dataset.scale", KeyType::kNumber, WEIR_FIELD(train.dataset.scale))
          .OnlyWith(format, {"csv", "idx", "libsvm"})
          .OnlyBuiltInWorker()
          .Between(0, 1e9)
          .MinExcluded()
          .Default("1/max of the training set")
          .Example("0.0625")
          .Means("What each feature is multiplied by."),
      TopologyRow("train.dataset.rows", KeyType::kInteger, WEIR_FIELD(train.dataset.rows))
          .OnlyWith(format, {"synthetic"})
          .OnlyBuiltInWorker()
          .Between(2, 1e7)
          .Example("1000")
          .Means("How many rows are made up."),
      TopologyRow("train.dataset.features", KeyType::kInteger, WEIR_FIELD(train.dataset.features))
          .OnlyWith(format, {"synthetic"})
          .OnlyBuiltInWorker()
          .Between(1, 65536)
          .Example("16")
          .Means("How many features a row has."),
      TopologyRow("train.dataset.classes", KeyType::kInteger, WEIR_FIELD(train.dataset.classes))
          .OnlyWith(format, {"synthetic"})
          .OnlyBuiltInWorker()
          .Between(2, 65536)
          .Example("4")
          .Means("How many classes there are."),
  };
}

}  // namespace

std::vector<TopologyKey> TrainTopologyKeys() {
  std::vector<TopologyKey> keys;
  for (auto part : {TrainKeys, OptimizerKeys, ScheduleKeys, DatasetKeys}) {
    for (TopologyKey& key : part()) keys.push_back(std::move(key));
  }
  return keys;
}

}  // namespace weir
