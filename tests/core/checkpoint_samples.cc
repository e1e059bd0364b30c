// SPDX-License-Identifier: Apache-2.0
#include "tests/core/checkpoint_samples.h"

#include "absl/strings/str_cat.h"
#include "tests/core/random_floats.h"

namespace weir::testing {
namespace {

void Fill(uint64_t content, SampleModel* model) {
  TestRandom random(content);
  model->values.resize(1 + static_cast<size_t>(StateTensors(model->optimizer)));
  for (auto& tensors : model->values) {
    for (const TensorShape& tensor : model->layout.tensors)
      tensors.push_back(random.Floats(static_cast<size_t>(tensor.count()), -1, 1));
  }
}

}  // namespace

SampleModel RandomModel(uint64_t seed, uint64_t content) {
  TestRandom random(seed);
  const OptimizerType types[] = {OptimizerType::kSgd, OptimizerType::kMomentum,
                                 OptimizerType::kAdam};
  SampleModel model;
  model.optimizer = types[random.Below(3)];
  model.shards = static_cast<uint32_t>(1 + random.Below(5));
  std::vector<TensorShape> tensors;
  const uint64_t count = 1 + random.Below(5);
  for (uint64_t i = 0; i < count; ++i) {
    tensors.push_back(
        {absl::StrCat("layer", random.Below(1000), "/w", i),
         {static_cast<int64_t>(1 + random.Below(40)), static_cast<int64_t>(1 + random.Below(40))},
         {}});
  }
  model.layout = MakeLayout(tensors, 64 * (1 + random.Below(16)), model.shards, 1).value();
  Fill(content, &model);
  return model;
}

SampleModel SmallModel(uint64_t content) {
  SampleModel model;
  model.shards = 2;
  model.layout = MakeLayout({{"fc/w", {8, 5}, {}}, {"b", {3}, {}}}, 64, model.shards, 1).value();
  Fill(content, &model);
  return model;
}

uint64_t VersionOf(uint32_t tensor_id, uint64_t offset) { return 10 * tensor_id + offset % 3; }

std::vector<CheckpointWorker> WorkersOf(uint32_t shard) {
  return {{0, 1, 7, 200, absl::StrCat("state of 0 at ", shard)},
          {3, uint64_t{1} << 63, 9, 199, std::string("\0\xff", 2)}};
}

CheckpointPartSpec PartSpec(const SampleModel& model, const CheckpointName& name, uint32_t shard) {
  CheckpointPartSpec spec;
  spec.root = kRoot;
  spec.name = name;
  spec.shard = shard;
  spec.shards = model.shards;
  spec.mode = "bsp";
  spec.tensors = model.layout.tensors;
  spec.arrays = model.arrays();
  return spec;
}

CheckpointManifest Manifest(const SampleModel& model, const CheckpointName& name) {
  CheckpointManifest manifest;
  manifest.name = name;
  manifest.job = "digits";
  manifest.mode = "bsp";
  manifest.step = name.cut;
  manifest.gradient_shards = 3;
  manifest.seed = 42;
  manifest.slice_bytes = 64;
  manifest.optimizer.type = model.optimizer;
  manifest.optimizer.learning_rate = 0.1;
  manifest.tensors = model.layout.tensors;
  manifest.build = "test";
  manifest.unix_ms = 1'700'000'000'000;
  manifest.coordinator = std::string("\0\x01record", 8);
  return manifest;
}

absl::Status WritePart(FileSystem* files, const SampleModel& model, const CheckpointName& name,
                       uint32_t shard) {
  const auto writer = CheckpointPartWriter::Open(files, PartSpec(model, name, shard));
  if (!writer.ok()) return writer.status();
  for (const SliceSpec& slice : model.layout.slices) {
    if (slice.shard != shard) continue;
    CheckpointSlice given{
        slice.tensor_id, slice.offset, slice.count, VersionOf(slice.tensor_id, slice.offset), {}};
    for (size_t array = 0; array < model.arrays(); ++array)
      given.arrays[array] = model.values[array][slice.tensor_id - 1].data() + slice.offset;
    const absl::Status status = (*writer)->Write(given);
    if (!status.ok()) return status;
  }
  return (*writer)->Finish(WorkersOf(shard));
}

absl::Status WriteCheckpoint(FileSystem* files, const SampleModel& model,
                             const CheckpointName& name) {
  absl::Status status = BeginCheckpoint(files, kRoot, name);
  for (uint32_t shard = 0; status.ok() && shard < model.shards; ++shard)
    status = WritePart(files, model, name, shard);
  if (!status.ok()) return status;
  return CommitCheckpoint(files, kRoot, Manifest(model, name), model.shards).status();
}

std::string Differences(const CheckpointReader& reader, const SampleModel& model) {
  for (uint32_t id = 1; id <= model.layout.tensors.size(); ++id) {
    for (size_t array = 0; array < model.arrays(); ++array) {
      const std::vector<float>& wanted = model.values[array][id - 1];
      std::vector<float> found(wanted.size());
      const absl::Status status = reader.Read(array, id, 0, absl::MakeSpan(found));
      if (!status.ok()) return status.ToString();
      if (found != wanted) return absl::StrCat("array ", array, " of tensor ", id);
    }
  }
  for (const SliceSpec& slice : model.layout.slices) {
    const auto versions = reader.Versions(slice.tensor_id, slice.offset, slice.count);
    const uint64_t version = VersionOf(slice.tensor_id, slice.offset);
    if (versions != std::vector<CheckpointRange>{{slice.offset, slice.count, version}})
      return absl::StrCat("versions of tensor ", slice.tensor_id, " from ", slice.offset);
  }
  for (const CheckpointPart& part : reader.parts()) {
    const std::vector<CheckpointWorker> wanted = WorkersOf(part.shard);
    for (size_t i = 0; i < wanted.size(); ++i) {
      const CheckpointWorker& found = part.workers.at(i);
      if (found.rank != wanted[i].rank || found.incarnation != wanted[i].incarnation ||
          found.next_batch != wanted[i].next_batch || found.clock != wanted[i].clock ||
          found.state != wanted[i].state) {
        return absl::StrCat("worker ", i, " of shard ", part.shard);
      }
    }
  }
  return "";
}

}  // namespace weir::testing
