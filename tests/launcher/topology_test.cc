// SPDX-License-Identifier: Apache-2.0
#include "launcher/topology.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "core/optimizer.h"
#include "launcher/topology_parse.h"
#include "launcher/topology_print.h"
#include "launcher/topology_schema.h"
#include "launcher/topology_value.h"

namespace weir {
namespace {

constexpr char kIris[] =
    "version: 1\n"
    "train:\n"
    "  model: softmax\n"
    "  batch: 30\n"
    "  dataset: {format: csv, path: data/iris.csv, label_column: species, test_fraction: 0.2}\n";

constexpr char kEverything[] = R"(version: 1
name: everything
backend: {type: local}
hosts: [localhost]
servers: {count: 3, shards: 2, device: cpu}
workers: {count: 4}
slice_bytes: 4KiB
consistency: {mode: asp, max_staleness: 5}
transport: tcp
codec:
  push: int8
  pull: bf16
  error_feedback: true
  tensors: {"fc.*": f32, "*.bias": {push: f16}}
network: {interface: lo}
train:
  model: mlp
  hidden: [64, 32]
  activation: tanh
  batch: 96
  epochs: 7
  seed: 9007199254740992
  gradient_shards: 12
  init: ../start here.safetensors
  clip_norm: 0.1
  optimizer: {type: adamw, learning_rate: 3e-4, beta1: 0.85, beta2: 0.99, epsilon: 1e-7, weight_decay: 0.01, clip_value: 5}
  schedule: {type: cosine, warmup_steps: 10, total_steps: 500, min_rate: 1e-5}
  dataset:
    format: idx
    images: /data/i.gz
    labels: /data/l.gz
    test_images: ti
    test_labels: "t\"l\\"
    scale: 0.00390625
checkpoint: {every_steps: 0, keep: 2}
restart: {workers: 7, servers: 0, window: 1h, backoff: 250ms}
security: {mode: token}
)";

std::string Lines(const std::vector<TopologyProblem>& problems) {
  std::string lines;
  for (const TopologyProblem& problem : problems) lines += problem.ToString() + "\n";
  return lines;
}

Topology Parse(const std::string& text, const std::vector<std::string>& settings = {}) {
  TopologySource source;
  source.text = text;
  source.file = "jobs/iris.yaml";
  source.directory = "/job";
  source.settings = settings;
  source.settings_directory = "/here";
  const ParsedTopology parsed = ParseTopology(source);
  EXPECT_EQ(Lines(parsed.errors), "");
  return parsed.topology;
}

std::string ReadFile(const std::filesystem::path& path) {
  std::ifstream in(path);
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

// A directory of this test's own, gone at its end.
class TemporaryDirectory {
 public:
  TemporaryDirectory() {
    std::string name = (std::filesystem::temp_directory_path() / "weir_topology_XXXXXX").string();
    if (mkdtemp(name.data()) != nullptr) path_ = name;
  }
  ~TemporaryDirectory() { std::filesystem::remove_all(path_); }

  std::filesystem::path Write(const std::string& name, const std::string& text) const {
    std::ofstream(path_ / name) << text;
    return path_ / name;
  }
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

TEST(TopologyTest, WhatIsNotGivenHasItsDefault) {
  const Topology topology = Parse(kIris);
  EXPECT_EQ(topology.name, "iris");
  EXPECT_EQ(topology.servers.count, 1);
  EXPECT_EQ(topology.slice_bytes, 1 << 20);
  EXPECT_EQ(topology.consistency.mode, ModeType::kBsp);
  EXPECT_EQ(topology.train.optimizer.type, OptimizerType::kSgd);
  EXPECT_EQ(topology.train.gradient_shards, 1);
  EXPECT_FALSE(topology.train.dataset.scale.has_value());
}

TEST(TopologyTest, EveryKeyIsReadIntoItsMember) {
  const Topology topology = Parse(kEverything);
  EXPECT_EQ(topology.name, "everything");
  EXPECT_EQ(topology.servers.count, 3);
  EXPECT_EQ(topology.servers.shards, 2);
  EXPECT_EQ(topology.workers.count, 4);
  EXPECT_EQ(topology.slice_bytes, 4096);
  EXPECT_EQ(topology.consistency.mode, ModeType::kAsp);
  EXPECT_EQ(topology.consistency.max_staleness, 5);
  EXPECT_EQ(topology.transport, TransportType::kTcp);
  EXPECT_EQ(topology.train.model, ModelType::kMlp);
  EXPECT_EQ(topology.train.hidden, (std::vector<int64_t>{64, 32}));
  EXPECT_EQ(topology.train.activation, ActivationType::kTanh);
  EXPECT_EQ(topology.train.batch, 96);
  EXPECT_EQ(topology.train.epochs, 7);
  EXPECT_EQ(topology.train.seed, 9007199254740992);
  EXPECT_EQ(topology.train.gradient_shards, 12);
  EXPECT_EQ(topology.train.clip_norm, 0.1);
  EXPECT_EQ(topology.train.optimizer.type, OptimizerType::kAdamW);
  EXPECT_EQ(topology.train.optimizer.learning_rate, 3e-4);
  EXPECT_EQ(topology.train.optimizer.beta1, 0.85);
  EXPECT_EQ(topology.train.optimizer.beta2, 0.99);
  EXPECT_EQ(topology.train.optimizer.epsilon, 1e-7);
  EXPECT_EQ(topology.train.optimizer.weight_decay, 0.01);
  EXPECT_EQ(topology.train.optimizer.clip_value, 5);
  EXPECT_EQ(topology.train.schedule.type, ScheduleType::kCosine);
  EXPECT_EQ(topology.train.schedule.base_rate, 3e-4);
  EXPECT_EQ(topology.train.schedule.warmup_steps, 10u);
  EXPECT_EQ(topology.train.schedule.total_steps, 500u);
  EXPECT_EQ(topology.train.schedule.min_rate, 1e-5);
  EXPECT_EQ(topology.train.dataset.format, DataFormat::kIdx);
  EXPECT_EQ(topology.train.dataset.test_labels, "/job/t\"l\\");
  EXPECT_EQ(topology.train.dataset.scale, 0.00390625);
}

TEST(TopologyTest, PathsOfTheFileLieBesideItAndPathsOfSettingsInTheCurrentDirectory) {
  const Topology topology = Parse(kEverything, {"train.dataset.labels=../l.gz"});
  EXPECT_EQ(topology.train.init, "/start here.safetensors");
  EXPECT_EQ(topology.train.dataset.images, "/data/i.gz");
  EXPECT_EQ(topology.train.dataset.test_images, "/job/ti");
  EXPECT_EQ(topology.train.dataset.labels, "/l.gz");
}

TEST(TopologyTest, SettingWinsOverTheFile) {
  const Topology topology =
      Parse(kEverything, {"workers.count=2", "train.hidden=[8]", "name=a.b-c",
                          "train.optimizer.learning_rate=0.5", "slice_bytes=1MiB"});
  EXPECT_EQ(topology.workers.count, 2);
  EXPECT_EQ(topology.train.hidden, std::vector<int64_t>{8});
  EXPECT_EQ(topology.name, "a.b-c");
  EXPECT_EQ(topology.train.optimizer.learning_rate, 0.5);
  EXPECT_EQ(topology.slice_bytes, 1 << 20);
}

TEST(TopologyTest, SettingsSwitchToAnotherDataFormat) {
  const Topology topology =
      Parse(kIris, {"train.dataset.format=idx", "train.dataset.images=i=1.gz",
                    "train.dataset.labels=l.gz", "train.model=mlp", "train.hidden=[32]"});
  EXPECT_EQ(topology.train.dataset.format, DataFormat::kIdx);
  EXPECT_EQ(topology.train.dataset.images, "/here/i=1.gz");
  EXPECT_EQ(topology.train.dataset.path, "");
}

TEST(TopologyTest, ProgramNeedsNoModelAndStartsBesideTheFile) {
  const Topology topology =
      Parse("version: 1\nworkers: {count: 2, program: [python3, train.py, '']}\n");
  EXPECT_EQ(topology.workers.program, (std::vector<std::string>{"python3", "train.py", ""}));
  EXPECT_EQ(topology.workers.directory, "/job");
  EXPECT_EQ(topology.train.gradient_shards, 2);
}

class RoundTrip : public ::testing::TestWithParam<const char*> {};

TEST_P(RoundTrip, ResolvedTopologyReadsBackToTheSameTopologyAnywhere) {
  const Topology topology = Parse(GetParam());
  TopologySource source;
  source.text = ResolvedYaml(topology);
  source.file = "elsewhere.yaml";
  source.directory = "/elsewhere";
  const ParsedTopology parsed = ParseTopology(source);
  EXPECT_EQ(Lines(parsed.errors), "") << source.text;
  EXPECT_EQ(Lines(parsed.warnings), "") << source.text;
  EXPECT_TRUE(parsed.topology == topology) << source.text;
  EXPECT_EQ(ResolvedYaml(parsed.topology), source.text);
}

INSTANTIATE_TEST_SUITE_P(
    Topologies, RoundTrip,
    ::testing::Values(
        kIris, kEverything,
        "version: 1\nworkers: {count: 2, program: [a, '', ': #', \"x\\\"\\\\\", '5', null_, "
        "'null']}\n",
        "version: 1\ntrain: {model: softmax, batch: 4, dataset: {format: synthetic, classes: 3}}\n",
        "version: 1\ntrain: {model: softmax, batch: 4, dataset: {format: libsvm, path: 'ü x'}}\n"));

// Each text with one byte replaced, or cut there, is refused or means something that prints and
// reads back.
TEST(TopologyTest, BrokenTextsAreRefusedOrReadBack) {
  const std::string text = kEverything;
  for (size_t i = 0; i < text.size(); ++i) {
    for (const char c : {'\n', ':', '9', '"', '\0'}) {
      TopologySource source;
      source.text = c == '\0' ? text.substr(0, i) : text;
      if (c != '\0') source.text[i] = c;
      source.file = "t.yaml";
      const ParsedTopology parsed = ParseTopology(source);
      if (!parsed.ok()) continue;
      TopologySource again;
      again.text = ResolvedYaml(parsed.topology);
      const ParsedTopology back = ParseTopology(again);
      EXPECT_EQ(Lines(back.errors), "") << source.text;
      EXPECT_TRUE(back.topology == parsed.topology) << source.text;
    }
  }
}

TEST(TopologyTest, EqualityLooksAtEveryKey) {
  const Topology topology = Parse(kEverything);
  Topology other = topology;
  EXPECT_TRUE(other == topology);
  other.train.optimizer.beta2 = 0.99001;
  EXPECT_TRUE(other != topology);
}

TEST(TopologyTest, ResolvedTopologyOfIrisIsThisText) {
  EXPECT_EQ(ResolvedYaml(Parse(kIris)), R"(version: 1
name: iris
backend:
  type: local
hosts: [localhost]
servers:
  count: 1
  shards: 1
  device: cpu
workers:
  count: 1
slice_bytes: 1048576
consistency:
  mode: bsp
transport: auto
codec: f32
network:
  interface: lo
train:
  model: softmax
  batch: 30
  epochs: 1
  seed: 1
  gradient_shards: 1
  clip_norm: 0
  optimizer:
    type: sgd
    learning_rate: 0.01
    weight_decay: 0
    clip_value: 0
  schedule:
    type: constant
    warmup_steps: 0
  dataset:
    format: csv
    path: /job/data/iris.csv
    test_fraction: 0.2
    label_column: species
checkpoint:
  every_steps: 0
  keep: 2
restart:
  workers: 3
  servers: 0
  window: 10m
  backoff: 1s
security:
  mode: token
)");
}

TEST(ExpectedAdmittedShareTest, BoundInVersionsAdmitsSPlusOneOfW) {
  EXPECT_EQ(ExpectedAdmittedShare(ModeType::kAsp, 16, 3), 0.25);
  EXPECT_EQ(ExpectedAdmittedShare(ModeType::kAsp, 16, 0), 1.0 / 16);
  EXPECT_EQ(ExpectedAdmittedShare(ModeType::kAsp, 3, 2), 1);
  EXPECT_EQ(ExpectedAdmittedShare(ModeType::kAsp, 3, 200), 1);
}

TEST(ExpectedAdmittedShareTest, WithoutABoundInVersionsAllIsAdmitted) {
  EXPECT_EQ(ExpectedAdmittedShare(ModeType::kAsp, 16, std::nullopt), 1);
  EXPECT_EQ(ExpectedAdmittedShare(ModeType::kBsp, 16, std::nullopt), 1);
  EXPECT_EQ(ExpectedAdmittedShare(ModeType::kSsp, 16, 3), 1);
}

TEST(PromiseOfTest, SameBitsArePromisedInLockstepOnly) {
  EXPECT_EQ(PromiseOf(Parse(kIris, {"workers.count=3"})).substr(0, 10), "Same bits:");
  EXPECT_NE(PromiseOf(Parse(kIris, {"workers.count=3"})).find("gradient_shards stays 3"),
            std::string::npos);
  EXPECT_EQ(PromiseOf(Parse(kIris, {"consistency.mode=asp"})).substr(0, 18), "Not the same bits:");
}

TEST(PromiseOfTest, PushesInAnotherCodecPromiseTheBitsForAFixedNumberOfWorkers) {
  EXPECT_EQ(PromiseOf(Parse(kIris, {"workers.count=3", "codec=bf16"})).substr(0, 25),
            "Same bits for 3 workers: ");
  EXPECT_EQ(PromiseOf(Parse(kIris, {"codec={pull: int8}"})), PromiseOf(Parse(kIris)));
}

TEST(PromiseOfTest, ErrorFeedbackPromisesNoBits) {
  EXPECT_EQ(PromiseOf(Parse(kIris, {"codec={push: int8, error_feedback: true}"})).substr(0, 35),
            "Not the same bits: error feedback (");
}

TEST(TopologyCodecTest, AMapOfTheFileAndOneOfASettingAreTheSame) {
  const std::string map = "{push: int8, pull: bf16, tensors: {\"w*\": f32}}";
  const Topology file = Parse(std::string(kIris) + "codec: " + map + "\n");
  EXPECT_EQ(file.codec.all, (TensorCodec{Codec::kInt8, Codec::kBf16, false}));
  ASSERT_EQ(file.codec.tensors.size(), 1u);
  EXPECT_EQ(file.codec.tensors[0].pattern, "w*");
  EXPECT_TRUE(Parse(kIris, {"codec=" + map}) == file);
}

TEST(LoadTopologyTest, ReadsAFileAndTakesPathsFromItsDirectory) {
  const TemporaryDirectory directory;
  const ParsedTopology parsed = LoadTopology(directory.Write("iris.yaml", kIris).string(), {});
  EXPECT_EQ(Lines(parsed.errors), "");
  EXPECT_EQ(parsed.topology.train.dataset.path, (directory.path() / "data/iris.csv").string());
}

TEST(LoadTopologyTest, MissingFileIsNamed) {
  EXPECT_EQ(Lines(LoadTopology("/nowhere/x.yaml", {}).errors),
            "/nowhere/x.yaml: cannot be read: No such file or directory\n");
}

TEST(LoadTopologyTest, DirectoryIsNoTopology) {
  EXPECT_EQ(Lines(LoadTopology("/", {}).errors), "/: a directory; a topology is a file\n");
}

TEST(LoadTopologyTest, FileWithoutEndIsReadToTheLimitOnly) {
  EXPECT_EQ(Lines(LoadTopology("/dev/zero", {}).errors),
            "/dev/zero: larger than 1 MiB: not a topology\n");
}

TEST(LoadTopologyTest, LargestFileIsReadAndOneByteMoreIsRefused) {
  const TemporaryDirectory directory;
  std::string text = std::string(kIris) + "#";
  text.resize(kMaxTopologyBytes, 'x');
  EXPECT_EQ(Lines(LoadTopology(directory.Write("a.yaml", text).string(), {}).errors), "");
  const std::string path = directory.Write("b.yaml", text + "x").string();
  EXPECT_EQ(Lines(LoadTopology(path, {}).errors), path + ": larger than 1 MiB: not a topology\n");
}

// The rows of the schema themselves.

TEST(TopologySchemaTest, EveryExampleIsAValueOfItsKey) {
  for (const TopologyKey& key : TopologyKeys()) {
    const YamlDocument document = ReadYaml(key.example);
    Topology topology;
    const auto problem = ReadValue(key, document.root, "/", &topology);
    EXPECT_FALSE(problem.has_value()) << key.path << ": " << problem->message;
  }
}

TEST(TopologySchemaTest, EveryDefaultIsAValueOfItsKey) {
  for (const TopologyKey& key : TopologyKeys()) {
    const std::string text = ValueText(key, Topology{});
    if (text.empty() || key.required) continue;
    Topology topology;
    const auto problem = ReadValue(key, ReadYaml(text).root, "/", &topology);
    EXPECT_FALSE(problem.has_value()) << key.path << ": " << problem->message;
    EXPECT_TRUE(topology == Topology{}) << key.path;
  }
}

TEST(TopologySchemaTest, NoTwoKeysShareAPathOrAMember) {
  const std::vector<TopologyKey>& keys = TopologyKeys();
  for (const TopologyKey& changed : keys) {
    Topology topology;
    if (ReadValue(changed, ReadYaml(changed.example).root, "/", &topology).has_value()) continue;
    for (const TopologyKey& other : keys) {
      if (&other == &changed) continue;
      EXPECT_STRNE(other.path, changed.path);
      EXPECT_EQ(ValueText(other, topology), ValueText(other, Topology{}))
          << changed.path << " and " << other.path;
    }
  }
}

TEST(TopologySchemaTest, ConditionsNameKeysAndTheirChoices) {
  for (const TopologyKey& key : TopologyKeys()) {
    for (const Condition& condition : key.conditions) {
      const TopologyKey* other = FindTopologyKey(condition.key);
      ASSERT_NE(other, nullptr) << key.path;
      for (const std::string& value : condition.values) {
        if (value.empty()) continue;
        Topology topology;
        EXPECT_FALSE(ReadValue(*other, ReadYaml(value).root, "/", &topology).has_value())
            << key.path;
      }
    }
  }
}

TEST(TopologySchemaTest, OptimizersAndSchedulesAreNamedAsTheServersNameThem) {
  const TopologyKey& key = *FindTopologyKey("train.optimizer.type");
  for (size_t i = 0; i < key.choices.size(); ++i) {
    EXPECT_EQ(OptimizerName(static_cast<OptimizerType>(i)), key.choices[i].name);
  }
  const TopologyKey& schedule = *FindTopologyKey("train.schedule.type");
  for (size_t i = 0; i < schedule.choices.size(); ++i) {
    EXPECT_EQ(ScheduleName(static_cast<ScheduleType>(i)), schedule.choices[i].name);
  }
}

TEST(TopologySchemaTest, SmallestTopologyOfThePageIsWhole) {
  const std::string page = TopologyKeysPage();
  const size_t begin = page.find("```yaml\n") + 8, end = page.find("```", begin);
  ASSERT_NE(end, std::string::npos);
  Parse(page.substr(begin, end - begin));
}

TEST(TopologySchemaTest, PageOfAllKeysIsTheOneInDocs) {
  const char* const source = std::getenv("WEIR_SOURCE_DIR");
  ASSERT_NE(source, nullptr) << "run by ctest, which sets WEIR_SOURCE_DIR";
  EXPECT_EQ(ReadFile(std::filesystem::path(source) / "docs/topology.md"), TopologyKeysPage())
      << "write it again: weir validate --keys > docs/topology.md";
}

}  // namespace
}  // namespace weir
