// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_CORE_CHECKPOINT_DATA_H_
#define WEIR_CORE_CHECKPOINT_DATA_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "core/checkpoint_records.h"
#include "core/layout.h"

namespace weir {

// Where everything lies in one data file of a checkpoint: a safetensors header, then the tensors in
// the order of their names, each whole. Pure: every shard makes the same bytes of the same
// arguments.
class CheckpointDataFile {
 public:
  // `array` is the position in kCheckpointDataFiles. INVALID_ARGUMENT: the tensors break the rules
  // of ValidateTensors.
  static absl::StatusOr<CheckpointDataFile> Make(const CheckpointName& name,
                                                 const std::vector<TensorShape>& tensors,
                                                 size_t array);

  const std::string& header() const { return header_; }  // as this build writes it
  uint64_t bytes() const { return bytes_; }              // of the whole file

  // The file's byte of that element. REQUIRES: both exist.
  uint64_t OffsetOf(uint32_t tensor_id, uint64_t element) const {
    return begin_[tensor_id - 1] + element * sizeof(float);
  }

  // The same tensors in a file whose header has `header_bytes`: another build may write another
  // one.
  void MoveTensors(uint64_t header_bytes);

  // What the manifest says of it.
  CheckpointManifest::DataFile Record() const;

 private:
  std::string header_;
  std::vector<uint64_t> begin_;  // by tensor, in the order given
  uint64_t tensors_at_ = 0;      // where the first tensor begins
  uint64_t bytes_ = 0;
};

// All data files of a checkpoint with `arrays` of them.
absl::StatusOr<std::vector<CheckpointDataFile>> MakeCheckpointData(
    const CheckpointName& name, const std::vector<TensorShape>& tensors, size_t arrays);

// The blocks of one checkpoint by tensor and offset.
class CheckpointIndex {
 public:
  // A block, and who wrote it.
  struct Entry {
    CheckpointBlock block;
    uint32_t shard = 0;
  };

  // DATA_LOSS, naming tensor, element and shards: the blocks of the parts do not hold every element
  // of every tensor exactly once.
  static absl::StatusOr<CheckpointIndex> Make(const std::vector<TensorShape>& tensors,
                                              const std::vector<CheckpointPart>& parts);

  // All of the tensor, in the order of their offsets. REQUIRES: it exists.
  const std::vector<Entry>& Of(uint32_t tensor_id) const { return entries_[tensor_id - 1]; }

  // The position in Of(tensor_id) of the block that holds the element. REQUIRES: both exist.
  size_t Find(uint32_t tensor_id, uint64_t element) const;

 private:
  std::vector<std::vector<Entry>> entries_;  // by tensor
};

}  // namespace weir

#endif  // WEIR_CORE_CHECKPOINT_DATA_H_
