// SPDX-License-Identifier: Apache-2.0
#include "core/checkpoint_part_writer.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "core/crc32c.h"

namespace weir {

CheckpointPartWriter::CheckpointPartWriter(FileSystem* files, CheckpointPartSpec spec,
                                           std::vector<CheckpointDataFile> data)
    : files_(files), spec_(std::move(spec)), data_(std::move(data)) {
  part_.name = spec_.name;
  part_.shard = spec_.shard;
  part_.shards = spec_.shards;
  part_.mode = spec_.mode;
  for (const CheckpointDataFile& file : data_) part_.header_crc.push_back(Crc32c(file.header()));
}

std::string CheckpointPartWriter::PathOf(const std::string& file) const {
  return absl::StrCat(spec_.root, "/", spec_.name.PartialDirectory(), "/", file);
}

absl::StatusOr<std::unique_ptr<CheckpointPartWriter>> CheckpointPartWriter::Open(
    FileSystem* files, CheckpointPartSpec spec) {
  if (spec.shard >= spec.shards || spec.shards > kMaxCheckpointShards || spec.arrays == 0 ||
      spec.arrays > kMaxCheckpointArrays) {
    return absl::InvalidArgumentError(absl::StrCat("a checkpoint has no shard ", spec.shard, " of ",
                                                   spec.shards, " with ", spec.arrays,
                                                   " data files"));
  }
  absl::StatusOr<std::vector<CheckpointDataFile>> data =
      MakeCheckpointData(spec.name, spec.tensors, spec.arrays);
  if (!data.ok()) return data.status();
  std::unique_ptr<CheckpointPartWriter> writer(
      new CheckpointPartWriter(files, std::move(spec), *std::move(data)));
  const absl::Status status = writer->OpenData();
  if (!status.ok()) return status;
  return writer;
}

absl::Status CheckpointPartWriter::OpenData() {
  for (size_t array = 0; array < data_.size(); ++array) {
    auto file = files_->OpenForWriting(PathOf(kCheckpointDataFiles[array]), OpenMode::kShare);
    if (!file.ok()) return file.status();
    const absl::Status status = (*file)->Allocate(data_[array].bytes());
    if (!status.ok()) return status;
    open_.push_back(*std::move(file));
  }
  for (size_t array = 0; array < data_.size(); ++array) {
    const absl::Status status = open_[array]->WriteAt(0, data_[array].header());
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::Status CheckpointPartWriter::Write(const CheckpointSlice& slice) {
  const bool known = slice.tensor_id >= 1 && slice.tensor_id <= spec_.tensors.size();
  const uint64_t elements =
      known ? static_cast<uint64_t>(spec_.tensors[slice.tensor_id - 1].count()) : 0;
  if (slice.count == 0 || slice.offset > elements || slice.count > elements - slice.offset) {
    return absl::InvalidArgumentError(absl::StrCat("elements ", slice.offset, " to ",
                                                   slice.offset + slice.count, " of tensor ",
                                                   slice.tensor_id, " are no slice to write"));
  }
  CheckpointBlock block{slice.tensor_id, slice.offset, slice.count, slice.version, {}};
  const size_t bytes = slice.count * sizeof(float);
  for (size_t array = 0; array < data_.size(); ++array) {
    const char* const values = reinterpret_cast<const char*>(slice.arrays[array]);
    block.crc[array] = ExtendCrc32c(0, values, bytes);
    const absl::Status status = open_[array]->WriteAt(
        data_[array].OffsetOf(slice.tensor_id, slice.offset), absl::string_view(values, bytes));
    if (!status.ok()) return status;
    bytes_written_ += bytes;
  }
  part_.blocks.push_back(block);
  return absl::OkStatus();
}

absl::Status CheckpointPartWriter::Finish(std::vector<CheckpointWorker> workers) {
  part_.workers = std::move(workers);
  const absl::StatusOr<std::string> text = FormatPart(part_);
  if (!text.ok()) {
    return absl::Status(text.status().code(), absl::StrCat(PathOf(CheckpointPartFile(spec_.shard)),
                                                           ": ", text.status().message()));
  }
  for (const std::unique_ptr<WritableFile>& file : open_) {
    absl::Status status = file->Sync();
    if (status.ok()) status = file->Close();
    if (!status.ok()) return status;
  }
  open_.clear();
  return WriteWholeFile(files_, PathOf(CheckpointPartFile(spec_.shard)), OpenMode::kNew, *text);
}

}  // namespace weir
