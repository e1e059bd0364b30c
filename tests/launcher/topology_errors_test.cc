// SPDX-License-Identifier: Apache-2.0
// Malformed topologies, each with the exact words that its author reads.
#include <gtest/gtest.h>

#include <ostream>
#include <string>
#include <vector>

#include "launcher/topology_parse.h"

namespace weir {
namespace {

// Five lines and no mistake; cases add lines from 6 on.
constexpr char kGood[] =
    "version: 1\n"
    "train:\n"
    "  model: softmax\n"
    "  batch: 30\n"
    "  dataset: {format: csv, path: iris.csv}\n";

std::string Lines(const std::vector<TopologyProblem>& problems) {
  std::string lines;
  for (const TopologyProblem& problem : problems) lines += problem.ToString() + "\n";
  return lines;
}

ParsedTopology Parse(const std::string& text, const std::vector<std::string>& settings = {}) {
  TopologySource source;
  source.text = text;
  source.file = "t.yaml";
  source.directory = "/job";
  source.settings = settings;
  source.settings_directory = "/here";
  return ParseTopology(source);
}

// One malformed topology: what is added to kGood, and all the errors.
struct Case {
  const char* sentence;
  std::string added;
  std::string errors;
};

std::ostream& operator<<(std::ostream& out, const Case& value) { return out << value.added; }

class AddedLines : public ::testing::TestWithParam<Case> {};

TEST_P(AddedLines, AreRefusedWithPlaceAndReason) {
  EXPECT_EQ(Lines(Parse(kGood + GetParam().added).errors), GetParam().errors);
}

std::string CaseName(const ::testing::TestParamInfo<Case>& info) { return info.param.sentence; }

INSTANTIATE_TEST_SUITE_P(
    Keys, AddedLines,
    ::testing::Values(
        Case{"UnknownKeyNamesTheNearest", "servers: {cuont: 2}\n",
             "t.yaml:6:11: unknown key 'servers.cuont'; did you mean 'servers.count'?\n"},
        Case{"UnknownSectionNamesTheNearest", "server:\n  count: 2\n",
             "t.yaml:6:1: unknown key 'server'; did you mean 'servers'?\n"},
        Case{"KeyOfAnotherSectionIsFound", "learning_rate: 0.1\n",
             "t.yaml:6:1: unknown key 'learning_rate'; did you mean "
             "'train.optimizer.learning_rate'?\n"},
        Case{"UnknownKeyWithoutANearOneListsTheSection", "servers: {flavour: 2}\n",
             "t.yaml:6:11: unknown key 'servers.flavour'; known here: count, shards, device\n"},
        Case{"DottedKeyInAFile", "servers.count: 2\n",
             "t.yaml:6:1: unknown key 'servers.count': in a file keys are nested, not dotted\n"},
        Case{"DuplicateKey", "servers:\n  count: 2\n  count: 3\n",
             "t.yaml:8:3: duplicate key 'count': it stands already at line 7, column 3\n"},
        Case{"DuplicateSection", "servers: {count: 2}\nservers: {shards: 2}\n",
             "t.yaml:7:1: duplicate key 'servers': it stands already at line 6, column 1\n"},
        Case{"DuplicateTopLevelKeyInQuotes", "\"version\": 1\n",
             "t.yaml:6:1: duplicate key 'version': it stands already at line 1, column 1\n"},
        Case{"SectionWithAValue", "servers: 3\n",
             "t.yaml:6:10: servers: wants keys below it: count, shards, device\n"},
        Case{"SectionWithoutKeys", "servers:\nworkers: {count: 2}\n",
             "t.yaml:6:1: servers: wants keys below it: count, shards, device\n"},
        Case{"SectionWithAList", "servers: [count]\n",
             "t.yaml:6:10: servers: wants keys below it: count, shards, device\n"},
        Case{"ListAsKey", "[a, b]: 1\n", "t.yaml:6:1: a key is a plain text\n"}),
    CaseName);

INSTANTIATE_TEST_SUITE_P(
    Values, AddedLines,
    ::testing::Values(
        Case{"CountInWords", "servers:\n  count: two\n",
             "t.yaml:7:10: servers.count: wants a whole number from 1 to 1024, got 'two'\n"},
        Case{"CountOfZero", "servers: {count: 0}\n",
             "t.yaml:6:18: servers.count: wants a whole number from 1 to 1024, got '0'\n"},
        Case{"NegativeCount", "workers: {count: -3}\n",
             "t.yaml:6:18: workers.count: wants a whole number from 1 to 1024, got '-3'\n"},
        Case{"AbsurdCount", "workers: {count: 100000}\n",
             "t.yaml:6:18: workers.count: wants a whole number from 1 to 1024, got '100000'\n"},
        Case{"CountOverEveryInteger", "servers: {count: 99999999999999999999999}\n",
             "t.yaml:6:18: servers.count: wants a whole number from 1 to 1024, got "
             "'99999999999999999999999'\n"},
        Case{"FractionOfAServer", "servers: {count: 1.5}\n",
             "t.yaml:6:18: servers.count: wants a whole number from 1 to 1024, got '1.5'\n"},
        Case{"LeadingZero", "servers: {count: 010}\n",
             "t.yaml:6:18: servers.count: wants a whole number from 1 to 1024, got '010'\n"},
        Case{"QuotedCount", "servers: {count: \"2\"}\n",
             "t.yaml:6:18: servers.count: wants a whole number from 1 to 1024, got the quoted text "
             "'2': "
             "remove the quotes\n"},
        Case{"NoValue", "servers:\n  count:\n",
             "t.yaml:7:3: servers.count: wants a whole number from 1 to 1024, got nothing\n"},
        Case{"NullValue", "name: null\n",
             "t.yaml:6:1: name: wants a name of 1 to 64 letters, digits, '.', '_' and '-', got "
             "nothing\n"},
        Case{"ListForANumber", "servers: {count: [1, 2]}\n",
             "t.yaml:6:18: servers.count: wants a whole number from 1 to 1024, got a list\n"},
        Case{"MapForANumber", "servers: {count: {a: 1}}\n",
             "t.yaml:6:18: servers.count: wants a whole number from 1 to 1024, got a map\n"},
        Case{"TooManyShards", "servers: {shards: 65}\n",
             "t.yaml:6:19: servers.shards: wants a whole number from 1 to 64, got '65'\n"},
        Case{"TooManyShardsTogether", "servers: {count: 65, shards: 64}\n",
             "t.yaml:6:22: servers.shards: 65 servers of 64 shards are 4160 shards, at most 4096 "
             "make a job\n"},
        Case{"TinySlices", "slice_bytes: 8\n",
             "t.yaml:6:14: slice_bytes: wants bytes from 1KiB to 3MiB, a multiple of 4 (as 65536, "
             "64KiB or "
             "1MiB), got '8'\n"},
        Case{"SlicesOverAFrame", "slice_bytes: 4MiB\n",
             "t.yaml:6:14: slice_bytes: wants bytes from 1KiB to 3MiB, a multiple of 4 (as 65536, "
             "64KiB or "
             "1MiB), got '4MiB'\n"},
        Case{"SlicesThatCutAFloat", "slice_bytes: 4099\n",
             "t.yaml:6:14: slice_bytes: wants bytes from 1KiB to 3MiB, a multiple of 4 (as 65536, "
             "64KiB or "
             "1MiB), got '4099'\n"},
        Case{"UnknownUnit", "slice_bytes: 1MB\n",
             "t.yaml:6:14: slice_bytes: wants bytes from 1KiB to 3MiB, a multiple of 4 (as 65536, "
             "64KiB or "
             "1MiB), got '1MB'\n"},
        Case{"SlicesOverEveryInteger", "slice_bytes: 9223372036854775807MiB\n",
             "t.yaml:6:14: slice_bytes: wants bytes from 1KiB to 3MiB, a multiple of 4 (as 65536, "
             "64KiB or "
             "1MiB), got '9223372036854775807MiB'\n"},
        Case{"MisspeltChoiceNamesTheNearest", "consistency: {mode: bps}\n",
             "t.yaml:6:21: consistency.mode: wants one of bsp, quorum, ssp, asp, got 'bps'; did "
             "you mean "
             "bsp?\n"},
        Case{"ForeignChoice", "transport: pigeon\n",
             "t.yaml:6:12: transport: wants one of auto, tcp, uds, shm, got 'pigeon'\n"},
        Case{"NameWithASlash", "name: a/b\n",
             "t.yaml:6:7: name: wants a name of 1 to 64 letters, digits, '.', '_' and '-', got "
             "'a/b'\n"},
        Case{"NameThatLeavesTheDirectory", "name: ..\n",
             "t.yaml:6:7: name: wants a name of 1 to 64 letters, digits, '.', '_' and '-', got "
             "'..'\n"},
        Case{"EmptyListOfHosts", "hosts: []\n",
             "t.yaml:6:8: hosts: wants a list of 1 to 4096 texts (as [localhost]), got a list\n"},
        Case{"HostsThatAreNoList", "hosts: localhost\n",
             "t.yaml:6:8: hosts: wants a list of 1 to 4096 texts (as [localhost]), got "
             "'localhost'\n"},
        Case{"ProgramOfMaps", "workers: {program: [python3, {a: 1}]}\n",
             "t.yaml:6:30: workers.program: wants a list of 1 to 256 texts (as [python3, "
             "train.py]), got a map\n"}),
    CaseName);

INSTANTIATE_TEST_SUITE_P(
    NotBuiltYet, AddedLines,
    ::testing::Values(
        Case{"OtherBackends", "backend: {type: ssh}\n",
             "t.yaml:6:11: backend.type: ssh is not built yet; use local\n"},
        Case{"SlurmWithItsKeys",
             "backend:\n  type: slurm\n  slurm: {partition: gpu, time_limit: 4h}\n",
             "t.yaml:7:3: backend.type: slurm is not built yet; use local\n"},
        Case{"SlurmKeysOnTheLocalBackend", "backend:\n  slurm: {partition: gpu}\n",
             "t.yaml:7:11: backend.slurm.partition: has no effect with backend.type: local; it "
             "belongs to "
             "backend.type: slurm\n"},
        Case{"SparseGradients", "codec: topk\n",
             "t.yaml:6:8: codec: topk is not built yet; use int8\n"},
        Case{"OneBitForOneTensor", "codec: {push: f16, tensors: {b: {push: onebit}}}\n",
             "t.yaml:6:40: codec: tensors.b.push: onebit is not built yet; use int8\n"},
        Case{"CudaServers", "servers: {device: cuda}\n",
             "t.yaml:6:11: servers.device: cuda is not built yet; use cpu\n"},
        Case{"BoundedClocks", "consistency: {mode: ssp, max_staleness: 2}\n",
             "t.yaml:6:15: consistency.mode: ssp is not built yet; use bsp or asp\n"},
        Case{"OtherHosts", "hosts: [localhost, node7]\n",
             "t.yaml:6:1: hosts: 'node7' is another machine, which is not built yet; use "
             "localhost, or start "
             "the processes by hand\n"},
        Case{"OtherInterfaces", "network: {interface: eth0}\n",
             "t.yaml:6:11: network.interface: not built yet: all processes meet on lo\n"},
        Case{"Checkpoints", "checkpoint: {dir: c, every_steps: 10, keep: 2}\n",
             "t.yaml:6:14: checkpoint.dir: not built yet: no checkpoint is written\n"
             "t.yaml:6:22: checkpoint.every_steps: not built yet: no checkpoint is written\n"},
        Case{"Restarts", "restart: {servers: 3}\n",
             "t.yaml:6:11: restart.servers: not built yet: a lost server ends the run\n"},
        Case{"Tls", "security: {mode: tls, ca_file: ca.pem}\n",
             "t.yaml:6:12: security.mode: tls is not built yet; use token\n"
             "t.yaml:6:23: security.ca_file: not built yet: each run makes a token of its own and "
             "stays on "
             "loopback, without TLS\n"}),
    CaseName);

INSTANTIATE_TEST_SUITE_P(
    Together, AddedLines,
    ::testing::Values(
        Case{"StalenessInLockstep", "consistency: {mode: bsp, max_staleness: 2}\n",
             "t.yaml:6:26: consistency.max_staleness: has no effect with consistency.mode: bsp; it "
             "belongs to "
             "consistency.mode: ssp or asp\n"},
        Case{"QuorumInLockstep", "consistency: {quorum: 2}\n",
             "t.yaml:6:15: consistency.quorum: has no effect with consistency.mode: bsp; it "
             "belongs to "
             "consistency.mode: quorum\n"},
        Case{"MoreWorkersThanExamples", "workers: {count: 31}\n",
             "t.yaml:6:11: workers.count: a batch of 30 examples (train.batch) cannot be shared by "
             "31 workers\n"},
        Case{"HostTwice", "hosts: [localhost, localhost]\n",
             "t.yaml:6:1: hosts: 'localhost' is named twice\n"},
        Case{"DirectoryWithoutAProgram", "workers: {directory: x}\n",
             "t.yaml:6:11: workers.directory: has no effect without workers.program\n"},
        Case{"ErrorsOfManyKindsAllAtOnce",
             "workers: {count: 0}\nserver: {count: 2}\nslice_bytes: 1\nslice_bytes: 2\ncodec: "
             "topk\n",
             "t.yaml:6:18: workers.count: wants a whole number from 1 to 1024, got '0'\n"
             "t.yaml:7:1: unknown key 'server'; did you mean 'servers'?\n"
             "t.yaml:8:14: slice_bytes: wants bytes from 1KiB to 3MiB, a multiple of 4 (as 65536, "
             "64KiB or "
             "1MiB), got '1'\n"
             "t.yaml:9:1: duplicate key 'slice_bytes': it stands already at line 8, column 1\n"
             "t.yaml:10:8: codec: topk is not built yet; use int8\n"}),
    CaseName);

INSTANTIATE_TEST_SUITE_P(
    Yaml, AddedLines,
    ::testing::Values(
        Case{"TabInTheIndentation", "servers:\n\tcount: 2\n",
             "t.yaml:7:1: a tab in the indentation: YAML wants spaces\n"},
        Case{"ListNeverClosed", "hosts: [localhost\n",
             "t.yaml:7:1: not YAML: end of sequence flow not found\n"},
        Case{"TextNeverClosed", "name: \"a\n", "t.yaml:6:7: a text in quotes that never ends\n"},
        Case{"TwoColons", "name: a: b\n", "t.yaml:6:8: not YAML: illegal map value\n"},
        Case{"Anchor", "name: &x digits\n", "t.yaml:6:7: anchors (&name) are not accepted\n"},
        Case{"Alias", "hosts: [&x localhost, *x]\n",
             "t.yaml:6:9: anchors (&name) are not accepted\n"
             "t.yaml:6:23: aliases (*name) are not accepted: write the value out\n"
             "t.yaml:6:23: hosts: wants a list of 1 to 4096 texts (as [localhost]), got nothing\n"},
        Case{"AliasToNothing", "name: *x\n",
             "t.yaml:6:7: not YAML: the referenced anchor is not defined\n"},
        Case{"Tag", "name: !!python/object digits\n",
             "t.yaml:6:7: tags are not accepted, got 'tag:yaml.org,2002:python/object'\n"},
        Case{"SecondDocument", "---\nversion: 1\n",
             "t.yaml:6:1: a second document (after '---') is not accepted\n"},
        Case{"NestedTooDeep", "hosts: [[[[[[[[[[[[[[[[[x]]]]]]]]]]]]]]]]]\n",
             "t.yaml:6:23: nested more than 16 levels deep\n"},
        Case{"ByteThatIsNoText", std::string("name: a\0b\n", 10),
             "t.yaml:6:8: byte 0x00 is not text: is this a YAML file?\n"}),
    CaseName);

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
            "t.yaml:2:15: consistency.mode: quorum is not built yet; use bsp or asp\n"
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

TEST(TopologyErrorsTest, FileAndSettingsAreBothNamedFileFirst) {
  EXPECT_EQ(
      Lines(
          Parse(std::string(kGood) + "codec: f33\n", {"servers.count=0", "worker.count=1"}).errors),
      "t.yaml:6:8: codec: wants one of f32, f16, bf16, int8, got 'f33'; did you mean "
      "f32?\n"
      "--set servers.count=0: servers.count: wants a whole number from 1 to 1024, got '0'\n"
      "--set worker.count=1: unknown key 'worker.count'; did you mean 'workers.count'?\n");
}

TEST(TopologyErrorsTest, KeyOfAnotherDataFormatIsIgnoredWithAWarning) {
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

TEST(TopologyErrorsTest, KeyThatASettingMadePointlessIsIgnoredWithAWarning) {
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

TEST(TopologyErrorsTest, IgnoredKeyHasItsDefaultAgain) {
  const ParsedTopology parsed = Parse(
      "version: 1\ntrain:\n  model: mlp\n  hidden: [8]\n  activation: tanh\n  batch: 8\n"
      "  dataset: {format: synthetic}\n",
      {"train.model=softmax"});
  EXPECT_EQ(Lines(parsed.errors), "");
  EXPECT_EQ(parsed.warnings.size(), 2u);
  EXPECT_TRUE(parsed.topology.train.hidden.empty());
  EXPECT_EQ(parsed.topology.train.activation, ActivationType::kRelu);
}

TEST(TopologyErrorsTest, WrongLineStaysAnErrorUnderASettingThatIsCheckedWithTheRest) {
  EXPECT_EQ(
      Lines(Parse(std::string(kGood) + "workers: {count: two}\n", {"workers.count=31"}).errors),
      "t.yaml:6:18: workers.count: wants a whole number from 1 to 1024, got 'two'\n"
      "--set workers.count=31: workers.count: a batch of 30 examples (train.batch) cannot be "
      "shared by 31 workers\n");
}

TEST(TopologyErrorsTest, KeyOfTheBuiltInWorkerBesideAProgramIsIgnoredWithAWarning) {
  const ParsedTopology parsed =
      Parse("version: 1\nworkers: {program: [./train]}\ntrain: {model: softmax}\n");
  EXPECT_EQ(Lines(parsed.errors), "");
  EXPECT_EQ(Lines(parsed.warnings),
            "t.yaml:3:9: train.model: has no effect with workers.program; ignored\n");
}

TEST(TopologyErrorsTest, LowShareOfAdmittedPushesIsAWarning) {
  const ParsedTopology parsed = Parse(
      std::string(kGood) + "workers: {count: 3}\nconsistency: {mode: asp, max_staleness: 0}\n");
  EXPECT_EQ(Lines(parsed.errors), "");
  EXPECT_EQ(
      Lines(parsed.warnings),
      "t.yaml:7:26: consistency.max_staleness: with 3 workers and a bound of 0 about 33% of the "
      "pushes "
      "are admitted at once, the others are stale and computed again; a bound of 2 admits all\n");
}

TEST(TopologyErrorsTest, AMillionMistakesEndInABoundedList) {
  std::string text = kGood;
  for (int i = 0; i < 100000; ++i) text += "a: 1\n";
  const ParsedTopology parsed = Parse(text);
  EXPECT_FALSE(parsed.ok());
  EXPECT_LE(parsed.errors.size(), 1100u);
}

}  // namespace
}  // namespace weir
