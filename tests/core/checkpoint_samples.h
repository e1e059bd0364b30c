// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_TESTS_CORE_CHECKPOINT_SAMPLES_H_
#define WEIR_TESTS_CORE_CHECKPOINT_SAMPLES_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "core/checkpoint_commit.h"
#include "core/checkpoint_part_writer.h"
#include "core/checkpoint_reader.h"
#include "core/checkpoint_records.h"
#include "core/file_system.h"

// Small models at one cut, for tests of checkpoints.
namespace weir::testing {

inline constexpr const char* kRoot = "/checkpoints";

// A model, its values and how they are cut among shards.
struct SampleModel {
  OptimizerType optimizer = OptimizerType::kMomentum;
  Layout layout;
  uint32_t shards = 1;
  // By array and tensor.
  std::vector<std::vector<std::vector<float>>> values;

  size_t arrays() const { return values.size(); }
};

// Everything is drawn from the seed: a few tensors of a few hundred elements, whose order is not
// that of their names; one to five shards; slices of 64 to 1,024 bytes; no, one or two arrays of
// state. Values of another `content` are other ones.
SampleModel RandomModel(uint64_t seed, uint64_t content);
// Two tensors of 40 and 3 elements on two shards, momentum.
SampleModel SmallModel(uint64_t content);

// The version that the sample's slice at that element has.
uint64_t VersionOf(uint32_t tensor_id, uint64_t offset);
std::vector<CheckpointWorker> WorkersOf(uint32_t shard);

CheckpointPartSpec PartSpec(const SampleModel& model, const CheckpointName& name, uint32_t shard);
CheckpointManifest Manifest(const SampleModel& model, const CheckpointName& name);

// Writes the part of one shard.
absl::Status WritePart(FileSystem* files, const SampleModel& model, const CheckpointName& name,
                       uint32_t shard);
// Begins, writes the part of every shard and commits.
absl::Status WriteCheckpoint(FileSystem* files, const SampleModel& model,
                             const CheckpointName& name);

// That the checkpoint holds the model's values, versions and workers: "", or what differs.
std::string Differences(const CheckpointReader& reader, const SampleModel& model);

}  // namespace weir::testing

#endif  // WEIR_TESTS_CORE_CHECKPOINT_SAMPLES_H_
