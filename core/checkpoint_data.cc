// SPDX-License-Identifier: Apache-2.0
#include "core/checkpoint_data.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/crc32c.h"
#include "core/safetensors_header.h"

namespace weir {
namespace {

// "tensor 'fc1/w' (shard 3)".
std::string Naming(const TensorShape& tensor, const CheckpointIndex::Entry& entry) {
  return absl::StrCat("tensor '", tensor.name, "' (", CheckpointPartFile(entry.shard), ")");
}

// That `entries`, sorted by offset, follow one another from the tensor's first element to its last.
absl::Status CheckCover(const TensorShape& tensor,
                        const std::vector<CheckpointIndex::Entry>& entries) {
  const uint64_t count = static_cast<uint64_t>(tensor.count());
  uint64_t next = 0;
  for (const CheckpointIndex::Entry& entry : entries) {
    const CheckpointBlock& block = entry.block;
    if (block.offset > next) break;
    if (block.offset < next) {
      return absl::DataLossError(absl::StrCat(Naming(tensor, entry), ": element ", block.offset,
                                              " is in more than one block"));
    }
    if (block.count > count - next) {
      return absl::DataLossError(absl::StrCat(Naming(tensor, entry), ": the block at element ",
                                              block.offset, " reaches beyond the tensor's ", count,
                                              " elements"));
    }
    next += block.count;
  }
  if (next == count) return absl::OkStatus();
  return absl::DataLossError(
      absl::StrCat("tensor '", tensor.name, "': element ", next, " is in no shard's part"));
}

}  // namespace

absl::StatusOr<CheckpointDataFile> CheckpointDataFile::Make(const CheckpointName& name,
                                                            const std::vector<TensorShape>& tensors,
                                                            size_t array) {
  absl::Status status = ValidateTensors(tensors);
  if (!status.ok()) return status;
  std::vector<size_t> by_name(tensors.size());
  std::iota(by_name.begin(), by_name.end(), size_t{0});
  std::sort(by_name.begin(), by_name.end(),
            [&](size_t a, size_t b) { return tensors[a].name < tensors[b].name; });
  SafetensorsHeader header;
  header.metadata = {{"weir_checkpoint", name.Directory()},
                     {"weir_array", kCheckpointDataFiles[array]}};
  CheckpointDataFile file;
  file.begin_.resize(tensors.size());
  uint64_t offset = 0;
  for (const size_t position : by_name) {
    const TensorShape& tensor = tensors[position];
    file.begin_[position] = offset;
    uint64_t end;
    if (__builtin_add_overflow(offset, static_cast<uint64_t>(tensor.count()) * sizeof(float), &end))
      return absl::InvalidArgumentError("the tensors have more bytes than a file can");
    header.tensors.push_back(
        {tensor.name, "F32", tensor.shape, offset, end, static_cast<uint64_t>(tensor.count())});
    offset = end;
  }
  absl::StatusOr<std::string> text = EncodeSafetensorsHeader(header);
  if (!text.ok()) return text.status();
  file.header_ = *std::move(text);
  file.bytes_ = offset;
  file.MoveTensors(file.header_.size());
  return file;
}

void CheckpointDataFile::MoveTensors(uint64_t header_bytes) {
  for (uint64_t& begin : begin_) begin += header_bytes - tensors_at_;
  bytes_ += header_bytes - tensors_at_;
  tensors_at_ = header_bytes;
}

CheckpointManifest::DataFile CheckpointDataFile::Record() const {
  return {bytes_, header_.size(), Crc32c(header_)};
}

absl::StatusOr<std::vector<CheckpointDataFile>> MakeCheckpointData(
    const CheckpointName& name, const std::vector<TensorShape>& tensors, size_t arrays) {
  std::vector<CheckpointDataFile> files;
  for (size_t array = 0; array < arrays; ++array) {
    absl::StatusOr<CheckpointDataFile> file = CheckpointDataFile::Make(name, tensors, array);
    if (!file.ok()) return file.status();
    files.push_back(*std::move(file));
  }
  return files;
}

absl::StatusOr<CheckpointIndex> CheckpointIndex::Make(const std::vector<TensorShape>& tensors,
                                                      const std::vector<CheckpointPart>& parts) {
  CheckpointIndex index;
  index.entries_.resize(tensors.size());
  for (const CheckpointPart& part : parts) {
    for (const CheckpointBlock& block : part.blocks) {
      if (block.tensor_id > tensors.size()) {
        return absl::DataLossError(absl::StrCat(CheckpointPartFile(part.shard),
                                                ": holds a block of tensor ", block.tensor_id,
                                                "; there are ", tensors.size()));
      }
      index.entries_[block.tensor_id - 1].push_back({block, part.shard});
    }
  }
  for (size_t i = 0; i < tensors.size(); ++i) {
    std::vector<Entry>& entries = index.entries_[i];
    std::sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) {
      return std::pair(a.block.offset, a.shard) < std::pair(b.block.offset, b.shard);
    });
    const absl::Status covered = CheckCover(tensors[i], entries);
    if (!covered.ok()) return covered;
  }
  return index;
}

size_t CheckpointIndex::Find(uint32_t tensor_id, uint64_t element) const {
  const std::vector<Entry>& entries = Of(tensor_id);
  const auto after = std::upper_bound(
      entries.begin(), entries.end(), element,
      [](uint64_t wanted, const Entry& entry) { return wanted < entry.block.offset; });
  return static_cast<size_t>(after - entries.begin()) - 1;
}

}  // namespace weir
