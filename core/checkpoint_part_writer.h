// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_CORE_CHECKPOINT_PART_WRITER_H_
#define WEIR_CORE_CHECKPOINT_PART_WRITER_H_

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/checkpoint_data.h"
#include "core/checkpoint_records.h"
#include "core/file_system.h"
#include "core/layout.h"

namespace weir {

// What one shard is to write.
struct CheckpointPartSpec {
  std::string root;  // where the checkpoints are; holds name.PartialDirectory() already
  CheckpointName name;
  uint32_t shard = 0;
  uint32_t shards = 0;
  std::string mode;
  std::vector<TensorShape> tensors;  // all of the layout, in its order
  size_t arrays = 1;                 // CheckpointManifest::arrays()
};

// One slice of the cut. Borrowed for the call that takes it.
struct CheckpointSlice {
  uint32_t tensor_id = 0;
  uint64_t offset = 0;  // elements
  uint64_t count = 0;
  uint64_t version = 0;
  std::array<const float*, kMaxCheckpointArrays> arrays = {};  // weights, then the state
};

// Writes the part of one shard in a checkpoint: its slices into the data files that all shards
// write, then its own part file. Open, Write each slice, Finish.
//
// The caller gives the pace: between two calls it may wait, count bytes_written() against a clock,
// or give up by destroying the writer. What then lies in the partial directory counts for nothing
// until CommitCheckpoint has seen a part file of every shard, and only Finish writes one. After an
// error the writer is of no more use: the checkpoint is lost, and nothing else.
//
// A writer writes only below its epoch's partial directory, which it does not make: one of an older
// epoch that wakes up finds it gone, or renamed complete, which needed its part.
//
// One thread. Memory: the header of each data file, and 48 bytes a slice.
class CheckpointPartWriter {
 public:
  // Opens the data files, takes their space on the disk and writes their headers.
  //
  // NOT_FOUND: the partial directory is gone, the checkpoint was given up. RESOURCE_EXHAUSTED: the
  // disk has no space for all of it. INVALID_ARGUMENT: a spec that no checkpoint has. Else what the
  // file system said, with the path.
  static absl::StatusOr<std::unique_ptr<CheckpointPartWriter>> Open(FileSystem* files,
                                                                    CheckpointPartSpec spec);

  // INVALID_ARGUMENT: no slice of the tensors. Else what the file system said.
  absl::Status Write(const CheckpointSlice& slice);

  // Makes the data durable, then writes the part file. Once, after the last slice; the coordinator
  // may be told then. ALREADY_EXISTS: another writer of this shard, epoch and cut was first.
  // INVALID_ARGUMENT, RESOURCE_EXHAUSTED: `workers` break a limit. Else what the file system said.
  absl::Status Finish(std::vector<CheckpointWorker> workers);

  uint64_t bytes_written() const { return bytes_written_; }  // of slices

 private:
  CheckpointPartWriter(FileSystem* files, CheckpointPartSpec spec,
                       std::vector<CheckpointDataFile> data);
  std::string PathOf(const std::string& file) const;
  absl::Status OpenData();

  FileSystem* const files_;
  const CheckpointPartSpec spec_;
  const std::vector<CheckpointDataFile> data_;
  std::vector<std::unique_ptr<WritableFile>> open_;  // one a data file
  CheckpointPart part_;
  uint64_t bytes_written_ = 0;
};

}  // namespace weir

#endif  // WEIR_CORE_CHECKPOINT_PART_WRITER_H_
