// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "absl/strings/str_cat.h"
#include "core/checkpoint_commit.h"
#include "core/checkpoint_part_writer.h"
#include "core/checkpoint_reader.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/core/checkpoint_samples.h"
#include "tests/core/faulty_file_system.h"

namespace weir {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::kRoot;
using testing::Manifest;
using testing::RandomModel;
using testing::SampleModel;
using testing::SmallModel;
using testing::WriteCheckpoint;
using testing::WritePart;

constexpr CheckpointName kName{200, 3};

std::string PathOf(const CheckpointName& name) {
  return absl::StrCat(kRoot, "/", name.Directory());
}

std::string Message(const absl::Status& status) { return std::string(status.message()); }

TEST(CheckpointTest, WhatWasWrittenIsReadBackForAnyLayoutAndNumberOfShards) {
  for (uint64_t seed = 1; seed <= 60; ++seed) {
    FaultyFileSystem files(seed);
    const SampleModel model = RandomModel(seed, seed + 1);
    ASSERT_EQ(WriteCheckpoint(&files, model, kName), absl::OkStatus()) << seed;
    const auto reader = CheckpointReader::Open(&files, PathOf(kName));
    ASSERT_TRUE(reader.ok()) << reader.status();
    EXPECT_EQ(testing::Differences(**reader, model), "") << seed;
    EXPECT_TRUE((*reader)->Verify([](const absl::Status&) {}).ok());
    const CheckpointManifest& manifest = (*reader)->manifest();
    EXPECT_EQ(manifest.job, "digits");
    EXPECT_EQ(manifest.coordinator, std::string("\0\x01record", 8));
    EXPECT_EQ(manifest.optimizer.learning_rate, 0.1);
    EXPECT_EQ(manifest.parts.size(), model.shards);
  }
}

TEST(CheckpointTest, AReaderMayCutTheTensorsAnyOtherWay) {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    FaultyFileSystem files(seed);
    const SampleModel model = RandomModel(seed, seed);
    ASSERT_EQ(WriteCheckpoint(&files, model, kName), absl::OkStatus());
    const auto reader = CheckpointReader::Open(&files, PathOf(kName));
    ASSERT_TRUE(reader.ok()) << reader.status();
    TestRandom random(seed);
    for (int i = 0; i < 50; ++i) {
      const uint32_t id = static_cast<uint32_t>(1 + random.Below(model.layout.tensors.size()));
      const size_t array = random.Below(model.arrays());
      const std::vector<float>& all = model.values[array][id - 1];
      const uint64_t offset = random.Below(all.size());
      const uint64_t count = random.Below(all.size() - offset + 1);
      std::vector<float> found(count);
      ASSERT_EQ((*reader)->Read(array, id, offset, absl::MakeSpan(found)), absl::OkStatus());
      EXPECT_TRUE(std::equal(found.begin(), found.end(), all.begin() + offset)) << seed;
      uint64_t next = offset;
      for (const CheckpointRange& range : (*reader)->Versions(id, offset, count)) {
        EXPECT_EQ(range.offset, next);
        next += range.count;
      }
      EXPECT_EQ(next, offset + count);
    }
  }
}

TEST(CheckpointTest, ARangeThatTheTensorDoesNotHaveIsRefused) {
  FaultyFileSystem files(1);
  ASSERT_EQ(WriteCheckpoint(&files, SmallModel(1), kName), absl::OkStatus());
  const auto reader = CheckpointReader::Open(&files, PathOf(kName));
  ASSERT_TRUE(reader.ok()) << reader.status();
  std::vector<float> out(4);
  for (const auto& [array, id, offset] : std::vector<std::tuple<size_t, uint32_t, uint64_t>>{
           {2, 1, 0}, {0, 0, 0}, {0, 3, 0}, {0, 1, 37}, {0, 1, ~uint64_t{0}}}) {
    EXPECT_TRUE(absl::IsInvalidArgument((*reader)->Read(array, id, offset, absl::MakeSpan(out))));
  }
}

TEST(CheckpointTest, CommitWaitsForThePartOfEveryShard) {
  FaultyFileSystem files(1);
  const SampleModel model = SmallModel(1);
  ASSERT_EQ(BeginCheckpoint(&files, kRoot, kName), absl::OkStatus());
  ASSERT_EQ(WritePart(&files, model, kName, 0), absl::OkStatus());
  const auto committed = CommitCheckpoint(&files, kRoot, Manifest(model, kName), 2);
  EXPECT_TRUE(absl::IsFailedPrecondition(committed.status()));
  EXPECT_THAT(Message(committed.status()), HasSubstr("shard-00001.json: the shard has not"));
  EXPECT_TRUE(absl::IsNotFound(CheckpointReader::Open(&files, PathOf(kName)).status()));
  ASSERT_EQ(WritePart(&files, model, kName, 1), absl::OkStatus());
  EXPECT_EQ(CommitCheckpoint(&files, kRoot, Manifest(model, kName), 2).value(), PathOf(kName));
}

TEST(CheckpointTest, WhatIsCommittedStaysAsItIsWhenItIsCommittedAgain) {
  FaultyFileSystem files(1);
  const SampleModel model = SmallModel(1);
  ASSERT_EQ(WriteCheckpoint(&files, model, kName), absl::OkStatus());
  EXPECT_TRUE(CommitCheckpoint(&files, kRoot, Manifest(model, kName), 2).ok());
  EXPECT_TRUE(absl::IsAlreadyExists(BeginCheckpoint(&files, kRoot, kName)));
  EXPECT_EQ(testing::Differences(**CheckpointReader::Open(&files, PathOf(kName)), model), "");
}

TEST(CheckpointTest, ElementsThatNoShardOrTwoShardsWroteAreNamed) {
  SampleModel model = SmallModel(1);
  const SampleModel whole = model;
  model.layout.slices.pop_back();  // of tensor 2
  FaultyFileSystem files(1);
  absl::Status status = WriteCheckpoint(&files, model, kName);
  EXPECT_TRUE(absl::IsDataLoss(status));
  EXPECT_THAT(Message(status), HasSubstr("tensor 'b': element 0 is in no shard's part"));

  model = whole;
  model.layout.slices.push_back(model.layout.slices.front());
  model.layout.slices.back().shard ^= 1;
  status = WriteCheckpoint(&files, model, {200, 4});
  EXPECT_TRUE(absl::IsDataLoss(status));
  EXPECT_THAT(Message(status), HasSubstr("element 0 is in more than one block"));
}

TEST(CheckpointTest, APartOfAnotherModeTensorOrCountOfShardsIsNotCommitted) {
  const SampleModel model = SmallModel(1);
  const auto commit = [&](FileSystem* files, const CheckpointManifest& manifest, uint32_t shards) {
    return CommitCheckpoint(files, kRoot, manifest, shards).status();
  };
  FaultyFileSystem files(1);
  ASSERT_EQ(BeginCheckpoint(&files, kRoot, kName), absl::OkStatus());
  for (uint32_t shard = 0; shard < 2; ++shard)
    ASSERT_EQ(WritePart(&files, model, kName, shard), absl::OkStatus());
  CheckpointManifest manifest = Manifest(model, kName);
  manifest.mode = "asp";
  EXPECT_TRUE(absl::IsFailedPrecondition(commit(&files, manifest, 2)));
  manifest = Manifest(model, kName);
  manifest.tensors[0].name = "fc/v";
  EXPECT_TRUE(absl::IsFailedPrecondition(commit(&files, manifest, 2)));
  EXPECT_TRUE(absl::IsFailedPrecondition(commit(&files, Manifest(model, kName), 1)));
  manifest = Manifest(model, kName);
  manifest.job = std::string(300, 'j');
  EXPECT_TRUE(absl::IsInvalidArgument(commit(&files, manifest, 2)));
  EXPECT_TRUE(absl::IsInvalidArgument(commit(&files, Manifest(model, kName), 0)));
  EXPECT_EQ(commit(&files, Manifest(model, kName), 2), absl::OkStatus());
}

TEST(CheckpointTest, WritersOfAllShardsMayWriteAtOnce) {
  const SampleModel model = RandomModel(6, 1);
  ASSERT_GT(model.shards, 2u);
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    FaultyFileSystem files(seed);
    ASSERT_EQ(BeginCheckpoint(&files, kRoot, kName), absl::OkStatus());
    std::vector<std::unique_ptr<CheckpointPartWriter>> writers;
    for (uint32_t shard = 0; shard < model.shards; ++shard)
      writers.push_back(
          CheckpointPartWriter::Open(&files, testing::PartSpec(model, kName, shard)).value());
    std::vector<SliceSpec> slices = model.layout.slices;
    TestRandom random(seed);
    for (size_t i = slices.size(); i > 1; --i) std::swap(slices[i - 1], slices[random.Below(i)]);
    for (const SliceSpec& slice : slices) {
      CheckpointSlice given{slice.tensor_id,
                            slice.offset,
                            slice.count,
                            testing::VersionOf(slice.tensor_id, slice.offset),
                            {}};
      for (size_t array = 0; array < model.arrays(); ++array)
        given.arrays[array] = model.values[array][slice.tensor_id - 1].data() + slice.offset;
      ASSERT_EQ(writers[slice.shard]->Write(given), absl::OkStatus());
    }
    for (uint32_t shard = 0; shard < model.shards; ++shard)
      ASSERT_EQ(writers[shard]->Finish(testing::WorkersOf(shard)), absl::OkStatus());
    ASSERT_TRUE(CommitCheckpoint(&files, kRoot, Manifest(model, kName), model.shards).ok());
    EXPECT_EQ(testing::Differences(**CheckpointReader::Open(&files, PathOf(kName)), model), "");
  }
}

TEST(CheckpointTest, OfTwoWritersOfOneShardTheSecondIsTold) {
  FaultyFileSystem files(1);
  const SampleModel model = SmallModel(1);
  ASSERT_EQ(BeginCheckpoint(&files, kRoot, kName), absl::OkStatus());
  ASSERT_EQ(WritePart(&files, model, kName, 0), absl::OkStatus());
  EXPECT_TRUE(absl::IsAlreadyExists(WritePart(&files, model, kName, 0)));
}

TEST(CheckpointTest, AWriterThatIsGivenUpLeavesNothingThatCounts) {
  FaultyFileSystem files(1);
  const SampleModel model = SmallModel(1);
  ASSERT_EQ(BeginCheckpoint(&files, kRoot, kName), absl::OkStatus());
  ASSERT_EQ(WritePart(&files, model, kName, 0), absl::OkStatus());
  {
    const auto writer =
        CheckpointPartWriter::Open(&files, testing::PartSpec(model, kName, 1)).value();
    const SliceSpec& slice = model.layout.slices[0];
    ASSERT_EQ(writer->Write({slice.tensor_id,
                             slice.offset,
                             slice.count,
                             1,
                             {model.values[0][0].data(), model.values[1][0].data()}}),
              absl::OkStatus());
    EXPECT_EQ(writer->bytes_written(), 2 * slice.count * sizeof(float));
  }
  EXPECT_FALSE(CommitCheckpoint(&files, kRoot, Manifest(model, kName), 2).ok());
  EXPECT_THAT(FindCheckpoints(&files, kRoot)->whole, IsEmpty());
}

TEST(CheckpointTest, ASliceThatIsNoneOfTheTensorsIsNotWritten) {
  FaultyFileSystem files(1);
  const SampleModel model = SmallModel(1);
  ASSERT_EQ(BeginCheckpoint(&files, kRoot, kName), absl::OkStatus());
  const auto writer =
      CheckpointPartWriter::Open(&files, testing::PartSpec(model, kName, 0)).value();
  const float* const values = model.values[0][0].data();
  for (const CheckpointSlice& slice :
       std::vector<CheckpointSlice>{{0, 0, 1, 1, {values, values}},
                                    {3, 0, 1, 1, {values, values}},
                                    {1, 0, 0, 1, {values, values}},
                                    {1, 39, 2, 1, {values, values}},
                                    {1, ~uint64_t{0}, 2, 1, {values, values}}}) {
    EXPECT_TRUE(absl::IsInvalidArgument(writer->Write(slice)));
  }
}

TEST(CheckpointTest, AWriterOfAnOlderEpochThatWakesUpChangesNothing) {
  FaultyFileSystem files(1);
  const SampleModel old_model = SmallModel(1);
  const SampleModel model = SmallModel(2);
  const CheckpointName old_name{200, 3};
  const CheckpointName name{200, 4};
  ASSERT_EQ(BeginCheckpoint(&files, kRoot, old_name), absl::OkStatus());
  const auto paused =
      CheckpointPartWriter::Open(&files, testing::PartSpec(old_model, old_name, 0)).value();
  // The epoch rises: what the older one began is removed, and the cut is made again.
  EXPECT_THAT(RetainCheckpoints(&files, kRoot, {2, {}}).value(),
              ElementsAre(old_name.PartialDirectory()));
  ASSERT_EQ(WriteCheckpoint(&files, model, name), absl::OkStatus());
  const SliceSpec& slice = old_model.layout.slices[0];
  ASSERT_EQ(paused->Write({slice.tensor_id,
                           slice.offset,
                           slice.count,
                           1,
                           {old_model.values[0][0].data(), old_model.values[1][0].data()}}),
            absl::OkStatus());
  EXPECT_TRUE(absl::IsNotFound(paused->Finish({})));
  EXPECT_TRUE(absl::IsNotFound(WritePart(&files, old_model, old_name, 1)));
  EXPECT_THAT(files.List(kRoot).value(), ElementsAre(name.Directory()));
  EXPECT_EQ(testing::Differences(**CheckpointReader::Open(&files, PathOf(name)), model), "");
}

TEST(CheckpointTest, TheNewestIsThatOfTheLatestEpochThenOfTheLargestCut) {
  FaultyFileSystem files(1);
  const SampleModel model = SmallModel(1);
  for (const CheckpointName& name :
       std::vector<CheckpointName>{{400, 3}, {200, 3}, {300, 4}, {1'000'000'000'000, 2}})
    ASSERT_EQ(WriteCheckpoint(&files, model, name), absl::OkStatus());
  ASSERT_EQ(BeginCheckpoint(&files, kRoot, {400, 4}), absl::OkStatus());
  const FoundCheckpoints found = FindCheckpoints(&files, kRoot).value();
  EXPECT_THAT(found.whole,
              ElementsAre(CheckpointName{300, 4}, CheckpointName{400, 3}, CheckpointName{200, 3},
                          CheckpointName{1'000'000'000'000, 2}));
  ASSERT_EQ(found.passed_over.size(), 1u);
  EXPECT_EQ(found.passed_over[0].directory, "step-000000000400.e4.partial");
  EXPECT_THAT(Message(found.passed_over[0].why), HasSubstr("was not finished"));
}

TEST(CheckpointTest, ADamagedOneIsPassedOverForTheOneBefore) {
  FaultyFileSystem files(1);
  const SampleModel model = SmallModel(1);
  for (const uint64_t cut : {100, 200, 300})
    ASSERT_EQ(WriteCheckpoint(&files, model, {cut, 1}), absl::OkStatus());
  const std::string manifest = PathOf({300, 1}) + "/manifest.json";
  files.Spoil(manifest, files.Contents(manifest).substr(1));
  const std::string data = PathOf({200, 1}) + "/state-0.safetensors";
  std::string bytes = files.Contents(data);
  bytes.back() ^= 1;
  files.Spoil(data, bytes);
  std::vector<FoundCheckpoints::PassedOver> passed_over;
  const auto reader = OpenNewestCheckpoint(&files, kRoot, &passed_over);
  ASSERT_TRUE(reader.ok()) << reader.status();
  EXPECT_EQ((*reader)->manifest().name.cut, 100u);
  ASSERT_EQ(passed_over.size(), 2u);
  EXPECT_THAT(Message(passed_over[0].why), HasSubstr(manifest));
  EXPECT_THAT(Message(passed_over[1].why), HasSubstr(data + ": the block at byte "));
}

TEST(CheckpointTest, ARootWithoutAWholeCheckpointSaysSo) {
  FaultyFileSystem files(1);
  std::vector<FoundCheckpoints::PassedOver> passed_over;
  EXPECT_TRUE(absl::IsNotFound(OpenNewestCheckpoint(&files, kRoot, &passed_over).status()));
  ASSERT_EQ(BeginCheckpoint(&files, kRoot, kName), absl::OkStatus());
  const absl::Status status = OpenNewestCheckpoint(&files, kRoot, &passed_over).status();
  EXPECT_TRUE(absl::IsNotFound(status));
  EXPECT_THAT(Message(status), HasSubstr("holds no whole checkpoint"));
}

TEST(CheckpointTest, ACheckpointUnderAnothersNameIsPassedOver) {
  FaultyFileSystem files(1);
  ASSERT_EQ(WriteCheckpoint(&files, SmallModel(1), kName), absl::OkStatus());
  ASSERT_EQ(files.Rename(PathOf(kName), PathOf({900, 9})), absl::OkStatus());
  const FoundCheckpoints found = FindCheckpoints(&files, kRoot).value();
  EXPECT_THAT(found.whole, IsEmpty());
  EXPECT_THAT(Message(found.passed_over.at(0).why), HasSubstr("holds step-000000000200.e3"));
}

TEST(CheckpointTest, RetentionKeepsTheNewestWholeOnesAndWhatIsInUse) {
  FaultyFileSystem files(1);
  const SampleModel model = SmallModel(1);
  for (const uint64_t cut : {100, 200, 300, 400, 500, 600})
    ASSERT_EQ(WriteCheckpoint(&files, model, {cut, 1}), absl::OkStatus());
  const auto spoil = [&](uint64_t cut) {
    files.Spoil(PathOf({cut, 1}) + "/manifest.json", "rotten");
  };
  spoil(200);
  spoil(500);
  ASSERT_EQ(BeginCheckpoint(&files, kRoot, {700, 1}), absl::OkStatus());
  ASSERT_EQ(BeginCheckpoint(&files, kRoot, {800, 1}), absl::OkStatus());
  ASSERT_EQ(files.MakeDirectory(absl::StrCat(kRoot, "/mine")), absl::OkStatus());
  // 600 and 400 are whole and stay; 500 is newer than the last that stays; 100 and 800 are in use.
  EXPECT_THAT(
      RetainCheckpoints(&files, kRoot, {2, {{100, 1}, {800, 1}}}).value(),
      ElementsAre("step-000000000300.e1", "step-000000000700.e1.partial", "step-000000000200.e1"));
  EXPECT_THAT(
      files.List(kRoot).value(),
      ElementsAre("mine", "step-000000000100.e1", "step-000000000400.e1", "step-000000000500.e1",
                  "step-000000000600.e1", "step-000000000800.e1.partial"));
}

TEST(CheckpointTest, ACheckpointThatIsRemovedIsReadToItsEnd) {
  FaultyFileSystem files(1);
  const SampleModel model = SmallModel(1);
  ASSERT_EQ(WriteCheckpoint(&files, model, {100, 1}), absl::OkStatus());
  const auto reader = CheckpointReader::Open(&files, PathOf({100, 1})).value();
  ASSERT_EQ(WriteCheckpoint(&files, model, {200, 1}), absl::OkStatus());
  EXPECT_THAT(RetainCheckpoints(&files, kRoot, {1, {}}).value(),
              ElementsAre("step-000000000100.e1"));
  EXPECT_EQ(testing::Differences(*reader, model), "");
}

}  // namespace
}  // namespace weir
