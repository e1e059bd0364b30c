// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_CORE_CHECKPOINT_COMMIT_H_
#define WEIR_CORE_CHECKPOINT_COMMIT_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/checkpoint_records.h"
#include "core/file_system.h"

// The coordinator's side of a checkpoint: makes the directory that shards write into, makes it a
// checkpoint when all of them have, and removes what is not needed any more. One process at a time
// for one `root`; no threads of its own.
namespace weir {

// Makes `root`, if it is not there (its parent is), and in it an empty partial directory for
// `name`. To be called before any shard is told to write. ALREADY_EXISTS: there is one of that
// name, partial or not. Else what the file system said.
absl::Status BeginCheckpoint(FileSystem* files, const std::string& root,
                             const CheckpointName& name);

// Makes a checkpoint of the partial directory of manifest.name, in which each of `shards` shards
// has finished its part: checks that the parts agree and hold every element of every tensor once,
// and that the data files have their sizes and headers; writes the manifest; syncs; renames; syncs
// `root`. `manifest.data` and `manifest.parts` are filled in here. Returns the checkpoint's path.
//
// May be called again after any error, and after a crash: what is committed already stays as it is
// and is OK. An error says nothing was committed, but for one that names `root`: then the
// checkpoint, whole, may or may not be there after a crash of the machine.
//
// FAILED_PRECONDITION: a part is missing, or of another cut, epoch or mode; the message names the
// file. DATA_LOSS: what was written does not fit together. INVALID_ARGUMENT: the manifest breaks a
// rule. Else what the file system said, with the path.
absl::StatusOr<std::string> CommitCheckpoint(FileSystem* files, const std::string& root,
                                             CheckpointManifest manifest, uint32_t shards);

struct CheckpointRetention {
  size_t keep = 2;                     // of the newest whole checkpoints; at least 1
  std::vector<CheckpointName> in_use;  // neither these nor their partial directories are removed
};

// Removes from `root` the whole checkpoints older than the newest `keep`, those damaged ones that
// are older still, and every partial directory; not what is in use, nor what a newer Weir wrote,
// nor anything that has no checkpoint's name. What is removed loses its name first, so that a crash
// in the middle leaves nothing that looks like a checkpoint. Returns the names removed. An error,
// of the first that could not be removed, comes after all were tried.
absl::StatusOr<std::vector<std::string>> RetainCheckpoints(FileSystem* files,
                                                           const std::string& root,
                                                           const CheckpointRetention& retention);

}  // namespace weir

#endif  // WEIR_CORE_CHECKPOINT_COMMIT_H_
