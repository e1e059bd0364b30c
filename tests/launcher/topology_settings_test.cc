// SPDX-License-Identifier: Apache-2.0
// --set beside a file: its own errors, and what a setting or a choice makes pointless, which is a
// warning.
#include <gtest/gtest.h>

#include <ostream>
#include <string>
#include <vector>

#include "tests/launcher/malformed_topology.h"

namespace weir {
namespace {

using testing::kGood;
using testing::Lines;
using testing::Parse;

// One --set beside kGood.
struct SetCase {
  const char* sentence;
  std::vector<std::string> settings;
  std::string errors;
};

std::ostream& operator<<(std::ostream& out, const SetCase& value) { return out << value.sentence; }

class Setting : public ::testing::TestWithParam<SetCase> {};

TEST_P(Setting, IsRefusedByItsOwnWords) {
  EXPECT_EQ(Lines(Parse(kGood, GetParam().settings).errors), GetParam().errors);
}

INSTANTIATE_TEST_SUITE_P(
    Settings, Setting,
    ::testing::Values(
        SetCase{"WithoutEquals", {"servers.count"}, "--set servers.count: wants key.path=value\n"},
        SetCase{"WithoutKey", {"=3"}, "--set =3: wants key.path=value\n"},
        SetCase{"WithoutValue",
                {"servers.count="},
                "--set servers.count=: servers.count: wants a whole number from 1 to 1024, got "
                "nothing\n"},
        SetCase{
            "UnknownKey",
            {"server.count=3"},
            "--set server.count=3: unknown key 'server.count'; did you mean 'servers.count'?\n"},
        SetCase{"UnknownKeyWithinASection",
                {"train.optimizer.learning_rat=3"},
                "--set train.optimizer.learning_rat=3: unknown key 'train.optimizer.learning_rat'; "
                "did you "
                "mean 'train.optimizer.learning_rate'?\n"},
        SetCase{"WholeSection",
                {"servers=3"},
                "--set servers=3: servers: wants keys below it: count, shards, device\n"},
        SetCase{"WrongType",
                {"servers.count=two"},
                "--set servers.count=two: servers.count: wants a whole number from 1 to 1024, got "
                "'two'\n"},
        SetCase{"Twice",
                {"servers.count=2", "servers.count=3"},
                "--set servers.count=3: servers.count: set twice\n"},
        SetCase{"MalformedList",
                {"train.hidden=[8"},
                "--set train.hidden=[8: train.hidden: not YAML: end of sequence flow not found\n"},
        SetCase{"ListWithoutBrackets",
                {"train.model=mlp", "train.hidden=8"},
                "--set train.hidden=8: train.hidden: wants a list of 1 to 32 whole numbers from 1 "
                "to 65536 "
                "(as [256, 128]), got '8'\n"},
        SetCase{"NotBuiltYet",
                {"servers.device=cuda"},
                "--set servers.device=cuda: servers.device: cuda is not built yet; use cpu\n"},
        SetCase{"AgainstTheFile",
                {"workers.count=31"},
                "--set workers.count=31: workers.count: a batch of 30 examples (train.batch) "
                "cannot be shared "
                "by 31 workers\n"},
        SetCase{"BytesThatWouldSpoilATerminal",
                {"name=\x1b[2J"},
                "--set name=\\033[2J: name: wants a name of 1 to 64 letters, digits, '.', '_' and "
                "'-', got "
                "'\\033[2J'\n"}),
    [](const ::testing::TestParamInfo<SetCase>& info) { return std::string(info.param.sentence); });

TEST(TopologySettingsTest, FileAndSettingsAreBothNamedFileFirst) {
  EXPECT_EQ(
      Lines(
          Parse(std::string(kGood) + "codec: f33\n", {"servers.count=0", "worker.count=1"}).errors),
      "t.yaml:6:8: codec: wants one of f32, f16, bf16, int8, got 'f33'; did you mean "
      "f32?\n"
      "--set servers.count=0: servers.count: wants a whole number from 1 to 1024, got '0'\n"
      "--set worker.count=1: unknown key 'worker.count'; did you mean 'workers.count'?\n");
}

TEST(TopologySettingsTest, KeyOfAnotherDataFormatIsIgnoredWithAWarning) {
  const ParsedTopology parsed = Parse(
      "version: 1\ntrain:\n  model: softmax\n  batch: 8\n  dataset: {format: synthetic, path: "
      "a.csv}\n");
  EXPECT_EQ(Lines(parsed.errors), "");
  EXPECT_EQ(Lines(parsed.warnings),
            "t.yaml:5:32: train.dataset.path: has no effect with train.dataset.format: synthetic; "
            "it belongs "
            "to train.dataset.format: csv or libsvm; ignored\n");
  EXPECT_EQ(parsed.topology.train.dataset.path, "");
}

TEST(TopologySettingsTest, KeyThatASettingMadePointlessIsIgnoredWithAWarning) {
  const ParsedTopology parsed =
      Parse(std::string(kGood) + "consistency: {mode: asp, max_staleness: 7}\n",
            {"consistency.mode=bsp"});
  EXPECT_EQ(Lines(parsed.errors), "");
  EXPECT_EQ(Lines(parsed.warnings),
            "t.yaml:6:26: consistency.max_staleness: has no effect with consistency.mode: bsp; it "
            "belongs to "
            "consistency.mode: ssp or asp; ignored\n");
  EXPECT_FALSE(parsed.topology.consistency.max_staleness.has_value());
}

TEST(TopologySettingsTest, IgnoredKeyHasItsDefaultAgain) {
  const ParsedTopology parsed = Parse(
      "version: 1\ntrain:\n  model: mlp\n  hidden: [8]\n  activation: tanh\n  batch: 8\n"
      "  dataset: {format: synthetic}\n",
      {"train.model=softmax"});
  EXPECT_EQ(Lines(parsed.errors), "");
  EXPECT_EQ(parsed.warnings.size(), 2u);
  EXPECT_TRUE(parsed.topology.train.hidden.empty());
  EXPECT_EQ(parsed.topology.train.activation, ActivationType::kRelu);
}

TEST(TopologySettingsTest, WrongLineStaysAnErrorUnderASettingThatIsCheckedWithTheRest) {
  EXPECT_EQ(
      Lines(Parse(std::string(kGood) + "workers: {count: two}\n", {"workers.count=31"}).errors),
      "t.yaml:6:18: workers.count: wants a whole number from 1 to 1024, got 'two'\n"
      "--set workers.count=31: workers.count: a batch of 30 examples (train.batch) cannot be "
      "shared by 31 workers\n");
}

TEST(TopologySettingsTest, KeyOfTheBuiltInWorkerBesideAProgramIsIgnoredWithAWarning) {
  const ParsedTopology parsed =
      Parse("version: 1\nworkers: {program: [./train]}\ntrain: {model: softmax}\n");
  EXPECT_EQ(Lines(parsed.errors), "");
  EXPECT_EQ(Lines(parsed.warnings),
            "t.yaml:3:9: train.model: has no effect with workers.program; ignored\n");
}

TEST(TopologySettingsTest, LowShareOfAdmittedPushesIsAWarning) {
  const ParsedTopology parsed = Parse(
      std::string(kGood) + "workers: {count: 3}\nconsistency: {mode: asp, max_staleness: 0}\n");
  EXPECT_EQ(Lines(parsed.errors), "");
  EXPECT_EQ(
      Lines(parsed.warnings),
      "t.yaml:7:26: consistency.max_staleness: with 3 workers and a bound of 0 about 33% of the "
      "pushes "
      "are admitted at once, the others are stale and computed again; a bound of 2 admits all\n");
}

}  // namespace
}  // namespace weir
