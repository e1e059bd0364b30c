// SPDX-License-Identifier: Apache-2.0
// From shards to files and back, on the machine's own file system.
#include "launcher/checkpoint_files.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "core/checkpoint_commit.h"
#include "launcher/cut_writer.h"
#include "tests/ps/shard_harness.h"

namespace weir {
namespace {

using ::testing::HasSubstr;

// A model of two tensors on `shards` shards, trained with momentum; one part a step.
class Job {
 public:
  explicit Job(uint32_t shards, ConsistencyMode mode = ConsistencyMode::kBsp) : shards_(shards) {
    for (uint32_t shard = 0; shard < shards; ++shard) {
      harnesses_.push_back(std::make_unique<ShardHarness>(OptionsOf(shard, mode)));
    }
  }

  static std::vector<TensorShape> Tensors() { return {{"b", {5}, {}}, {"a", {8, 8}, {}}}; }

  ShardHarness::Options OptionsOf(uint32_t shard, ConsistencyMode mode) const {
    ShardHarness::Options options;
    options.shard.shard = shard;
    options.shard.mode = mode;
    options.shard.epoch = 5;
    options.shard.schedule.base_rate = 0.5;
    options.shard.optimizer.type = OptimizerType::kMomentum;
    options.tensors = Tensors();
    options.shards = shards_;
    options.install = false;
    return options;
  }

  void Begin() {
    for (auto& harness : harnesses_) ASSERT_TRUE(harness->Install(5).ok());
  }
  Layout layout(uint64_t epoch) const { return *MakeLayout(Tensors(), 64, shards_, epoch); }

  void Steps(int steps) {
    for (auto& harness : harnesses_) {
      const uint64_t session = harness->Connect(1, ++incarnation);
      for (int step = 0; step < steps; ++step) {
        for (uint32_t slice = 0; slice < harness->shard.slice_count(); ++slice) {
          const SliceSnapshot now = harness->shard.snapshot(slice);
          std::vector<float> gradient;
          for (uint64_t i = 0; i < now.spec.count; ++i) {
            gradient.push_back(static_cast<float>(now.spec.tensor_id + now.spec.offset + i) /
                               static_cast<float>(now.version + 1));
          }
          PushFrame push = harness->PushOf(1, ++sequence_, slice, gradient);
          push.batch = now.version;
          EXPECT_EQ(harness->PushReply(session, harness->Send(session, push)).outcome,
                    Outcome::kApplied);
        }
      }
    }
  }

  // The whole model's weights, by tensor and element.
  std::map<std::pair<uint32_t, uint64_t>, float> Weights() {
    std::map<std::pair<uint32_t, uint64_t>, float> weights;
    for (auto& harness : harnesses_) {
      for (uint32_t slice = 0; slice < harness->shard.slice_count(); ++slice) {
        const SliceSpec spec = harness->shard.snapshot(slice).spec;
        const std::vector<float> values = harness->Weights(slice);
        for (uint64_t i = 0; i < spec.count; ++i)
          weights[{spec.tensor_id, spec.offset + i}] = values[i];
      }
    }
    return weights;
  }

  ShardHarness& shard(uint32_t shard) { return *harnesses_[shard]; }

  uint64_t incarnation = 0;  // of the worker that pushed last

 private:
  const uint32_t shards_;
  std::vector<std::unique_ptr<ShardHarness>> harnesses_;
  uint64_t sequence_ = 0;
};

class CheckpointFilesTest : public testing::Test {
 protected:
  CheckpointFilesTest() {
    std::string name = (std::filesystem::temp_directory_path() / "weir-files-XXXXXX").string();
    EXPECT_NE(mkdtemp(name.data()), nullptr);
    directory_ = name;
  }
  ~CheckpointFilesTest() override { std::filesystem::remove_all(directory_); }

  CheckpointPlace Place(uint32_t shards, const std::string& mode = "bsp") const {
    return {directory_ + "/checkpoints", mode, shards, OptimizerType::kMomentum};
  }
  static CheckpointManifest Manifest(CheckpointName name, const std::string& mode = "bsp") {
    CheckpointManifest manifest;
    manifest.name = name;
    manifest.job = "test";
    manifest.mode = mode;
    manifest.step = name.cut;
    manifest.gradient_shards = 1;
    manifest.slice_bytes = 64;
    manifest.optimizer.type = OptimizerType::kMomentum;
    manifest.tensors = Job::Tensors();
    manifest.build = "b";
    return manifest;
  }
  // A checkpoint of the job as it stands.
  std::unique_ptr<CheckpointReader> Save(Job* job, uint32_t shards, uint64_t cut,
                                         const std::string& mode = "bsp") {
    const CheckpointPlace place = Place(shards, mode);
    EXPECT_TRUE(BeginCheckpoint(files_, place.root, {cut, 5}).ok());
    for (uint32_t shard = 0; shard < shards; ++shard) {
      EXPECT_TRUE(job->shard(shard).Cut(cut).ok());
      const absl::Status written =
          WriteShardCut(files_, place, *job->shard(shard).cuts.back(), [] { return true; });
      EXPECT_TRUE(written.ok()) << written;
    }
    const auto path = CommitCheckpoint(files_, place.root, Manifest({cut, 5}, mode), shards);
    EXPECT_TRUE(path.ok()) << path.status();
    auto reader = CheckpointReader::Open(files_, *path);
    EXPECT_TRUE(reader.ok()) << reader.status();
    return *std::move(reader);
  }

  FileSystem* const files_ = PosixFileSystem();
  std::string directory_;
};

TEST_F(CheckpointFilesTest, AJobGoesOnWithTheSameBitsOnAnotherNumberOfShards) {
  Job calm(2);
  calm.Begin();
  calm.Steps(3);
  const auto reader = Save(&calm, 2, 3);
  calm.Steps(4);
  for (const uint32_t shards : {1u, 2u, 3u}) {
    Job other(shards);
    const Layout layout = other.layout(6);
    EXPECT_TRUE(CheckCheckpointFits(*reader, Place(shards), layout).ok());
    for (uint32_t shard = 0; shard < shards; ++shard) {
      const auto restore = ReadShardRestore(*reader, Place(shards), layout, shard);
      ASSERT_TRUE(restore.ok()) << restore.status();
      ASSERT_TRUE(other.shard(shard).InstallRestored(6, *restore).ok());
      EXPECT_EQ(other.shard(shard).shard.status().step, 3u);
    }
    other.incarnation = calm.incarnation;  // older ones are fenced
    other.Steps(4);
    EXPECT_EQ(other.Weights(), calm.Weights()) << shards;
  }
}

TEST_F(CheckpointFilesTest, WhatSeveralShardsKnowOfAWorkerIsJoined) {
  Job job(2, ConsistencyMode::kAsp);
  job.Begin();
  job.Steps(3);
  const uint64_t session = job.shard(1).Connect(1, /*incarnation=*/9);
  PutStateFrame put;
  put.sequence = 4;
  put.state.Append("abc", 3, nullptr);
  job.shard(1).Send(session, put);
  const auto reader = Save(&job, 2, 1, "asp");
  const auto restore = ReadShardRestore(*reader, Place(1, "asp"), Job(1).layout(6), 0);
  ASSERT_TRUE(restore.ok());
  ASSERT_EQ(restore->workers.size(), 1u);
  EXPECT_EQ(restore->workers[0].incarnation, 9u);
  EXPECT_EQ(restore->workers[0].next_batch, 3u);
  EXPECT_EQ(std::string(restore->workers[0].state.data(), 3), "abc");
  EXPECT_EQ(restore->workers[0].state_sequence, 1u);
}

TEST_F(CheckpointFilesTest, ACheckpointOfAnotherJobIsRefusedNamingTheFirstDifference) {
  Job job(1);
  job.Begin();
  const auto reader = Save(&job, 1, 0);
  CheckpointPlace place = Place(1);
  const Layout layout = job.layout(6);
  Layout renamed = layout;
  renamed.tensors[1].name = "c";
  EXPECT_THAT(std::string(CheckCheckpointFits(*reader, place, renamed).message()),
              HasSubstr("tensor 2 is 'a' [8, 8], the model's 'c' [8, 8]"));
  Layout shorter = layout;
  shorter.tensors.pop_back();
  EXPECT_THAT(std::string(CheckCheckpointFits(*reader, place, shorter).message()),
              HasSubstr("it has 2 tensors, the model 1"));
  place.optimizer = OptimizerType::kAdam;
  EXPECT_THAT(std::string(CheckCheckpointFits(*reader, place, layout).message()),
              HasSubstr("the state of momentum, the job uses adam"));
  place = Place(1, "asp");
  EXPECT_EQ(CheckCheckpointFits(*reader, place, layout).code(),
            absl::StatusCode::kFailedPrecondition);
}

TEST_F(CheckpointFilesTest, ADamagedBlockIsNamedAndNothingIsRestored) {
  Job job(1);
  job.Begin();
  job.Steps(1);
  const auto reader = Save(&job, 1, 1);
  const std::string file = reader->directory() + "/state-0.safetensors";
  const auto size = std::filesystem::file_size(file);
  {
    auto out = files_->OpenForWriting(file, OpenMode::kShare);
    ASSERT_TRUE(out.ok());
    ASSERT_TRUE((*out)->WriteAt(size - 3, "x").ok());
  }
  const auto restore = ReadShardRestore(*reader, Place(1), job.layout(6), 0);
  EXPECT_EQ(restore.status().code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(std::string(restore.status().message()), HasSubstr("state-0.safetensors"));
}

TEST_F(CheckpointFilesTest, TheWriterWritesWhatIsWantedAndTellsWhenAllIsDurable) {
  Job job(2);
  job.Begin();
  job.Steps(2);
  const CheckpointPlace place = Place(2);
  ASSERT_TRUE(BeginCheckpoint(files_, place.root, {2, 5}).ok());
  CutWriter writer({files_, place, 2});
  EXPECT_EQ(writer.report().state, CutReport::State::kNone);
  ASSERT_TRUE(job.shard(0).Cut(2).ok());
  ASSERT_TRUE(job.shard(1).Cut(2).ok());
  writer.Add(job.shard(0).cuts[0]);  // not wanted yet: dropped
  writer.Expect(2, 5);
  writer.Add(job.shard(0).cuts[0]);
  writer.Add(job.shard(1).cuts[0]);
  writer.AwaitEnd(absl::Seconds(60));
  EXPECT_EQ(writer.report().cut, 2u);
  EXPECT_EQ(writer.report().state, CutReport::State::kWritten) << writer.report().why;
  EXPECT_TRUE(CommitCheckpoint(files_, place.root, Manifest({2, 5}), 2).ok());
}

TEST_F(CheckpointFilesTest, TheWriterSaysWhyACutCouldNotBeWrittenAndGoesOnWithTheNext) {
  Job job(1);
  job.Begin();
  const CheckpointPlace place = Place(1);
  CutWriter writer({files_, place, 1});
  ASSERT_TRUE(job.shard(0).Cut(0).ok());
  writer.Expect(0 + 7, 5);
  writer.Fail(CutReport::State::kLate, "it is past");
  EXPECT_EQ(writer.report().state, CutReport::State::kLate);
  job.shard(0).CutDone();
  job.Steps(1);
  ASSERT_TRUE(job.shard(0).Cut(1).ok());
  writer.Expect(1, 5);
  writer.Add(job.shard(0).cuts.back());  // nobody has made the directory
  writer.AwaitEnd(absl::Seconds(60));
  EXPECT_EQ(writer.report().state, CutReport::State::kFailed);
  EXPECT_THAT(writer.report().why, HasSubstr(place.root));
  ASSERT_TRUE(BeginCheckpoint(files_, place.root, {1, 5}).ok());
  writer.Expect(1, 5);
  writer.Add(job.shard(0).cuts.back());
  writer.AwaitEnd(absl::Seconds(60));
  EXPECT_EQ(writer.report().state, CutReport::State::kWritten) << writer.report().why;
}

}  // namespace
}  // namespace weir
