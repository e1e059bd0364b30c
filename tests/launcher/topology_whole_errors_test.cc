// SPDX-License-Identifier: Apache-2.0
// Whole texts that are no topology: empty or foreign, without what is required, and what the keys
// of training demand of each other.
#include <gtest/gtest.h>

#include "tests/launcher/malformed_topology.h"

namespace weir {
namespace {

using testing::Case;
using testing::CaseName;
using testing::Lines;
using testing::Parse;

// A whole text, not additions.
class WholeText : public ::testing::TestWithParam<Case> {};

TEST_P(WholeText, IsRefusedWithPlaceAndReason) {
  EXPECT_EQ(Lines(Parse(GetParam().added).errors), GetParam().errors);
}

INSTANTIATE_TEST_SUITE_P(
    Root, WholeText,
    ::testing::Values(
        Case{"Empty", "", "t.yaml:1:1: empty: a topology starts with 'version: 1'\n"},
        Case{"OnlyAComment", "# later\n",
             "t.yaml:1:1: empty: a topology starts with 'version: 1'\n"},
        Case{"List", "- version: 1\n",
             "t.yaml:1:1: a topology is a map of keys, starting with 'version: 1'\n"},
        Case{"Word", "hello\n",
             "t.yaml:1:1: a topology is a map of keys, starting with 'version: 1'\n"},
        Case{"WithoutRequiredKeys", "name: x\n",
             "t.yaml:1:1: version: missing; wants 1\n"
             "t.yaml:1:1: train.model: missing; wants one of softmax, mlp\n"
             "t.yaml:1:1: train.batch: missing; wants a whole number from 1 to 16777216\n"
             "t.yaml:1:1: train.dataset.format: missing; wants one of csv, idx, libsvm, "
             "synthetic\n"},
        Case{"MissingKeysStandAtTheirSection",
             "version: 1\ntrain:\n  model: mlp\n  batch: 8\n  dataset:\n    format: idx\n    "
             "images: i\n",
             "t.yaml:3:3: train.hidden: missing; wants a list of 1 to 32 whole numbers from 1 to "
             "65536 (as "
             "[256, 128])\n"
             "t.yaml:6:5: train.dataset.labels: missing; wants a path\n"},
        Case{"AnotherVersion",
             "version: 2\ntrain: {model: softmax, batch: 1, dataset: {format: synthetic}}\n",
             "t.yaml:1:10: version: wants 1, got '2'\n"},
        Case{"HiddenLayersOfSoftmax",
             "version: 1\ntrain: {model: softmax, hidden: [8], batch: 1, dataset: {format: "
             "synthetic}}\n",
             "t.yaml:2:25: train.hidden: has no effect with train.model: softmax; it belongs to "
             "train.model: "
             "mlp\n"},
        Case{"EmptyLayer",
             "version: 1\ntrain: {model: mlp, hidden: [8, 0], batch: 1, dataset: {format: "
             "synthetic}}\n",
             "t.yaml:2:33: train.hidden: wants a list of 1 to 32 whole numbers from 1 to 65536 (as "
             "[256, "
             "128]), got '0'\n"},
        Case{"MorePartsThanExamples",
             "version: 1\ntrain: {model: softmax, gradient_shards: 9, batch: 8, dataset: {format: "
             "synthetic}}\n",
             "t.yaml:2:25: train.gradient_shards: a batch of 8 examples (train.batch) cannot be "
             "cut into 9 "
             "parts\n"},
        Case{
            "MoreWorkersThanTheOnePart",
            "version: 1\nworkers: {count: 3}\n"
            "train: {model: softmax, gradient_shards: 1, batch: 8, dataset: {format: synthetic}}\n",
            "t.yaml:2:11: workers.count: 3 workers share the 1 part of a step "
            "(train.gradient_shards), and "
            "each needs at least one: lower workers.count or raise train.gradient_shards\n"},
        Case{
            "MoreWorkersThanParts",
            "version: 1\nworkers: {count: 3}\n"
            "train: {model: softmax, gradient_shards: 2, batch: 8, dataset: {format: synthetic}}\n",
            "t.yaml:2:11: workers.count: 3 workers share the 2 parts of a step "
            "(train.gradient_shards), and "
            "each needs at least one: lower workers.count or raise train.gradient_shards\n"},
        Case{
            "QuorumOverAllParts",
            "version: 1\nconsistency: {mode: quorum, quorum: 5}\n"
            "train: {model: softmax, gradient_shards: 4, batch: 8, dataset: {format: synthetic}}\n",
            "t.yaml:2:15: consistency.mode: quorum is not built yet; use bsp, ssp or asp\n"
            "t.yaml:2:29: consistency.quorum: 5 parts are more than the 4 of a step "
            "(train.gradient_shards)\n"},
        Case{"MomentumOfSgd",
             "version: 1\ntrain:\n  model: softmax\n  batch: 8\n  dataset: {format: synthetic}\n"
             "  optimizer: {type: sgd, momentum: 0.9}\n",
             "t.yaml:6:26: train.optimizer.momentum: has no effect with train.optimizer.type: sgd; "
             "it belongs "
             "to train.optimizer.type: momentum or nesterov\n"},
        Case{"OptimizerNumbersOutOfRange",
             "version: 1\ntrain:\n  model: softmax\n  batch: 8\n  dataset: {format: synthetic}\n"
             "  optimizer: {type: adam, learning_rate: 0, beta1: 1, beta2: nan, epsilon: 1e-400}\n",
             "t.yaml:6:42: train.optimizer.learning_rate: wants a number over 0 and at most 1000, "
             "got '0'\n"
             "t.yaml:6:52: train.optimizer.beta1: wants a number of at least 0 and below 1, got "
             "'1'\n"
             "t.yaml:6:62: train.optimizer.beta2: wants a number of at least 0 and below 1, got "
             "'nan'\n"
             "t.yaml:6:76: train.optimizer.epsilon: wants a number over 0 and at most 1, got "
             "'1e-400'\n"},
        Case{"StepScheduleWithoutItsSteps",
             "version: 1\ntrain:\n  model: softmax\n  batch: 8\n  dataset: {format: synthetic}\n"
             "  schedule: {type: step, gamma: 0}\n",
             "t.yaml:6:14: train.schedule.every: missing; wants a whole number from 1 to "
             "1000000000\n"
             "t.yaml:6:33: train.schedule.gamma: wants a number over 0 and at most 1, got '0'\n"},
        Case{"CosineThatEndsInTheWarmUp",
             "version: 1\ntrain:\n  model: softmax\n  batch: 8\n  dataset: {format: synthetic}\n"
             "  schedule: {type: cosine, warmup_steps: 9, total_steps: 9}\n",
             "t.yaml:6:14: train.schedule.type: schedule total_steps is 9; it must be above "
             "warmup_steps, which is 9, and at most 2^52\n"},
        Case{"CosineThatEndsAboveTheRate",
             "version: 1\ntrain:\n  model: softmax\n  batch: 8\n  dataset: {format: synthetic}\n"
             "  schedule: {type: cosine, min_rate: 0.5}\n",
             "t.yaml:6:14: train.schedule.type: schedule min_rate is 0.5; it must be from 0 to "
             "base_rate, which is 0.01\n"},
        Case{"CosineOfAProgramWithoutItsEnd",
             "version: 1\nworkers: {program: [./train]}\ntrain: {schedule: {type: cosine}}\n",
             "t.yaml:3:20: train.schedule.type: cosine wants train.schedule.total_steps: only "
             "workers.program knows how long it trains\n"},
        Case{"NumberThatAFloatCannotHold",
             "version: 1\ntrain:\n  model: softmax\n  batch: 8\n  dataset: {format: synthetic}\n"
             "  optimizer: {type: adam, beta1: 0.99999999999}\n",
             "t.yaml:6:15: train.optimizer.type: optimizer beta1 is 1; it must be at least 0 and "
             "below 1\n"},
        Case{"TwoTestSets",
             "version: 1\ntrain:\n  model: softmax\n  batch: 8\n"
             "  dataset: {format: csv, path: a, test_path: b, test_fraction: 0.5}\n",
             "t.yaml:5:49: train.dataset.test_fraction: there is a test set already "
             "(train.dataset.test_path): give one of the two\n"},
        Case{"TestImagesWithoutLabels",
             "version: 1\ntrain:\n  model: softmax\n  batch: 8\n"
             "  dataset: {format: idx, images: a, labels: b, test_images: c}\n",
             "t.yaml:5:48: train.dataset.test_images: needs train.dataset.test_labels beside it\n"},
        Case{"TestFractionOfAll",
             "version: 1\ntrain:\n  model: softmax\n  batch: 8\n"
             "  dataset: {format: csv, path: a, test_fraction: 1}\n",
             "t.yaml:5:50: train.dataset.test_fraction: wants a number over 0 and below 1, got "
             "'1'\n"},
        Case{"EmptyPath",
             "version: 1\ntrain: {model: softmax, batch: 8, dataset: {format: csv, path: \"\"}}\n",
             "t.yaml:2:64: train.dataset.path: wants a path, got the quoted text ''\n"},
        Case{"PathWithANewline",
             "version: 1\ntrain: {model: softmax, batch: 8, dataset: {format: csv, path: "
             "\"a\\nb\"}}\n",
             "t.yaml:2:64: train.dataset.path: wants a path, got the quoted text 'a\\nb'\n"}),
    CaseName);

}  // namespace
}  // namespace weir
