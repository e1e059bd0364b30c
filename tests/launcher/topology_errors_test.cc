// SPDX-License-Identifier: Apache-2.0
// Lines that make a sound topology malformed: keys, values, what is not built, what does not go
// together, YAML.
#include <gtest/gtest.h>

#include <string>

#include "tests/launcher/malformed_topology.h"

namespace weir {
namespace {

using testing::Case;
using testing::CaseName;
using testing::kGood;
using testing::Lines;
using testing::Parse;

class AddedLines : public ::testing::TestWithParam<Case> {};

TEST_P(AddedLines, AreRefusedWithPlaceAndReason) {
  EXPECT_EQ(Lines(Parse(kGood + GetParam().added).errors), GetParam().errors);
}

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

TEST(TopologyErrorsTest, AMillionMistakesEndInABoundedList) {
  std::string text = kGood;
  for (int i = 0; i < 100000; ++i) text += "a: 1\n";
  const ParsedTopology parsed = Parse(text);
  EXPECT_FALSE(parsed.ok());
  EXPECT_LE(parsed.errors.size(), 1100u);
}

}  // namespace
}  // namespace weir
