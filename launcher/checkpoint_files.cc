// SPDX-License-Identifier: Apache-2.0
#include "launcher/checkpoint_files.h"

#include <algorithm>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "core/checkpoint_part_writer.h"

namespace weir {
namespace {

size_t ArraysOf(const CheckpointPlace& place) {
  return 1 + static_cast<size_t>(StateTensors(place.optimizer));
}

std::string ShapeOf(const TensorShape& tensor) {
  return absl::StrCat("'", tensor.name, "' [", absl::StrJoin(tensor.shape, ", "), "]");
}

std::string BytesOf(const Buffer& buffer) {
  return buffer ? std::string(buffer.data(), buffer.size()) : std::string();
}

std::vector<CheckpointWorker> WorkersOf(const ShardCut& cut) {
  std::vector<CheckpointWorker> workers;
  for (const CutWorker& worker : cut.workers) {
    CheckpointWorker record;
    record.rank = static_cast<uint32_t>(worker.worker);
    record.incarnation = worker.incarnation;
    record.next_batch = worker.next_batch;
    record.clock = worker.clock;
    record.state = BytesOf(worker.state);
    workers.push_back(std::move(record));
  }
  return workers;
}

// `count` floats of the checkpoint, in memory of their own.
absl::StatusOr<Payload> ReadArray(const CheckpointReader& reader, size_t array,
                                  const SliceSpec& slice) {
  const auto values = std::make_shared<std::vector<float>>(slice.count);
  absl::Status status = reader.Read(array, slice.tensor_id, slice.offset, absl::MakeSpan(*values));
  if (!status.ok()) return status;
  Payload payload;
  payload.Append(reinterpret_cast<const char*>(values->data()), slice.count * sizeof(float),
                 values);
  return payload;
}

std::vector<CutWorker> JoinWorkers(const std::vector<CheckpointPart>& parts) {
  std::map<uint64_t, CutWorker> joined;
  for (const CheckpointPart& part : parts) {
    for (const CheckpointWorker& record : part.workers) {
      const auto [it, is_new] = joined.try_emplace(record.rank);
      CutWorker& worker = it->second;
      worker.worker = record.rank;
      worker.incarnation = std::max(worker.incarnation, record.incarnation);
      worker.next_batch = std::max(worker.next_batch, record.next_batch);
      worker.clock = is_new ? record.clock : std::min(worker.clock, record.clock);
      if (record.state.empty()) continue;
      BufferPool pool;
      worker.state = pool.Allocate(record.state.size());
      std::copy(record.state.begin(), record.state.end(), worker.state.data());
      worker.state_sequence = 1;  // any that its successor puts is newer
    }
  }
  std::vector<CutWorker> workers;
  for (auto& [rank, worker] : joined) workers.push_back(std::move(worker));
  return workers;
}

}  // namespace

absl::Status WriteShardCut(FileSystem* files, const CheckpointPlace& place, const ShardCut& cut,
                           const std::function<bool()>& goes_on) {
  CheckpointPartSpec spec;
  spec.root = place.root;
  spec.name = {cut.number, cut.epoch};
  spec.shard = cut.shard;
  spec.shards = place.shards;
  spec.mode = place.mode;
  spec.tensors = cut.layout->tensors;
  spec.arrays = ArraysOf(place);
  absl::StatusOr<std::unique_ptr<CheckpointPartWriter>> writer =
      CheckpointPartWriter::Open(files, std::move(spec));
  if (!writer.ok()) return writer.status();
  for (const CutSlice& slice : cut.slices) {
    if (!goes_on()) return absl::CancelledError("the checkpoint was given up");
    CheckpointSlice values{
        slice.spec.tensor_id, slice.spec.offset, slice.spec.count, slice.version, {}};
    values.arrays[0] = slice.weights.floats();
    for (size_t i = 0; i + 1 < ArraysOf(place); ++i) values.arrays[i + 1] = slice.state[i].floats();
    if (absl::Status status = (*writer)->Write(values); !status.ok()) return status;
  }
  return (*writer)->Finish(WorkersOf(cut));
}

absl::Status CheckCheckpointFits(const CheckpointReader& reader, const CheckpointPlace& place,
                                 const Layout& layout) {
  const CheckpointManifest& manifest = reader.manifest();
  const auto differs = [&](const std::string& what) {
    return absl::FailedPreconditionError(
        absl::StrCat("the checkpoint ", reader.directory(), " does not fit this job: ", what));
  };
  if (manifest.mode != place.mode)
    return differs(absl::StrCat("it is of mode ", manifest.mode, ", the job of ", place.mode));
  if (manifest.optimizer.type != place.optimizer) {
    return differs(absl::StrCat("it holds the state of ", OptimizerName(manifest.optimizer.type),
                                ", the job uses ", OptimizerName(place.optimizer)));
  }
  const size_t both = std::min(manifest.tensors.size(), layout.tensors.size());
  for (size_t i = 0; i < both; ++i) {
    const TensorShape& there = manifest.tensors[i];
    const TensorShape& here = layout.tensors[i];
    if (there.name == here.name && there.shape == here.shape) continue;
    return differs(absl::StrCat("its tensor ", i + 1, " is ", ShapeOf(there), ", the model's ",
                                ShapeOf(here)));
  }
  if (manifest.tensors.size() != layout.tensors.size()) {
    return differs(absl::StrCat("it has ", manifest.tensors.size(), " tensors, the model ",
                                layout.tensors.size()));
  }
  return absl::OkStatus();
}

absl::StatusOr<ShardRestore> ReadShardRestore(const CheckpointReader& reader,
                                              const CheckpointPlace& place, const Layout& layout,
                                              uint32_t shard) {
  ShardRestore restore;
  restore.number = reader.manifest().name.cut;
  restore.workers = JoinWorkers(reader.parts());
  for (const SliceSpec& spec : layout.slices) {
    if (spec.shard != shard) continue;
    ShardRestore::Slice slice;
    for (const CheckpointRange& range : reader.Versions(spec.tensor_id, spec.offset, spec.count)) {
      slice.version = std::max(slice.version, range.version);
    }
    for (size_t array = 0; array < ArraysOf(place); ++array) {
      absl::StatusOr<Payload> values = ReadArray(reader, array, spec);
      if (!values.ok()) return values.status();
      (array == 0 ? slice.weights : slice.state[array - 1]) = *std::move(values);
    }
    restore.slices.push_back(std::move(slice));
  }
  return restore;
}

}  // namespace weir
