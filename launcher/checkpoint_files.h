// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_LAUNCHER_CHECKPOINT_FILES_H_
#define WEIR_LAUNCHER_CHECKPOINT_FILES_H_

#include <cstdint>
#include <functional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/checkpoint_reader.h"
#include "core/file_system.h"
#include "core/layout.h"
#include "core/optimizer.h"
#include "ps/cut.h"

// Between a shard's cuts and the files of checkpoints.
namespace weir {

// Where a job's checkpoints are, and what each of their parts says of the job.
struct CheckpointPlace {
  std::string root;
  std::string mode;  // "bsp" ...
  uint32_t shards = 0;
  OptimizerType optimizer = OptimizerType::kSgd;
};

// Writes the shard's part of the checkpoint into the directory that the coordinator has made; asks
// `goes_on` before each slice. When it returns OK the part is durable. CANCELLED: goes_on said no.
// Else as CheckpointPartWriter.
absl::Status WriteShardCut(FileSystem* files, const CheckpointPlace& place, const ShardCut& cut,
                           const std::function<bool()>& goes_on);

// Whether `reader` is a checkpoint of such a job: the same tensors in the same order, optimizer and
// mode. FAILED_PRECONDITION, naming the first difference.
absl::Status CheckCheckpointFits(const CheckpointReader& reader, const CheckpointPlace& place,
                                 const Layout& layout);

// What shard `shard` of `layout` begins with, however many shards have written it. Every byte is
// checked. A slice that was several takes the greatest of their versions (in bsp all are one). What
// several shards know of a worker is joined: the greatest batch and incarnation, the least clock.
// DATA_LOSS, naming file and offset. REQUIRES: CheckCheckpointFits is OK.
absl::StatusOr<ShardRestore> ReadShardRestore(const CheckpointReader& reader,
                                              const CheckpointPlace& place, const Layout& layout,
                                              uint32_t shard);

}  // namespace weir

#endif  // WEIR_LAUNCHER_CHECKPOINT_FILES_H_
