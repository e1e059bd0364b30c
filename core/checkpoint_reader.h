// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_CORE_CHECKPOINT_READER_H_
#define WEIR_CORE_CHECKPOINT_READER_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "core/checkpoint_data.h"
#include "core/checkpoint_records.h"
#include "core/file_system.h"

namespace weir {

// A range of a tensor and the version that the checkpoint holds of it.
struct CheckpointRange {
  uint64_t offset = 0;  // elements
  uint64_t count = 0;
  uint64_t version = 0;

  bool operator==(const CheckpointRange& o) const {
    return offset == o.offset && count == o.count && version == o.version;
  }
};

// Reads a checkpoint. No byte is believed before its CRC was checked: the small files when it is
// opened, the tensors block by block as they are read.
//
// Keeps the data files open, so a checkpoint that is removed meanwhile can be read to its end.
// Thread-safe after Open. Memory: the manifest and the parts.
class CheckpointReader {
 public:
  // Opens the directory, whatever its name, and checks manifest, parts, and the data files' sizes
  // and headers.
  //
  // NOT_FOUND: there is no manifest; it was never finished, or is no checkpoint.
  // FAILED_PRECONDITION: a newer Weir wrote it. DATA_LOSS: damaged or cut off; file, and byte
  // offset or member, are named. Else what the file system said.
  static absl::StatusOr<std::unique_ptr<CheckpointReader>> Open(FileSystem* files,
                                                                const std::string& directory);

  const std::string& directory() const { return directory_; }
  const CheckpointManifest& manifest() const { return manifest_; }
  const std::vector<CheckpointPart>& parts() const { return parts_; }  // by shard
  // All blocks of the tensor, in order.
  const std::vector<CheckpointIndex::Entry>& blocks(uint32_t tensor_id) const {
    return index_.Of(tensor_id);
  }

  // Elements `offset` and on of array `array` (0: the weights; 1 and 2: the optimizer's state) of
  // the tensor, however the writers had cut it. Reads every block that it touches whole, to check
  // it, through a buffer of 256 KiB.
  //
  // DATA_LOSS, naming file, byte offset and tensor: a block is damaged; `out` holds no good values
  // then. INVALID_ARGUMENT: there is no such array, tensor or range.
  absl::Status Read(size_t array, uint32_t tensor_id, uint64_t offset, absl::Span<float> out) const;

  // The versions in that range, in order, neighbours of one version as one.
  // REQUIRES: the range is the tensor's.
  std::vector<CheckpointRange> Versions(uint32_t tensor_id, uint64_t offset, uint64_t count) const;

  // Reads every block of every array, and calls `damaged` with the status of each that is not as it
  // was written. OK: none was.
  absl::Status Verify(const std::function<void(const absl::Status&)>& damaged) const;

 private:
  CheckpointReader(FileSystem* files, std::string directory)
      : files_(files), directory_(std::move(directory)) {}
  absl::Status ReadManifest();
  absl::Status ReadParts();
  absl::Status OpenData();
  absl::Status ReadBlock(size_t array, const CheckpointIndex::Entry& entry, uint64_t offset,
                         absl::Span<float> out, std::string* buffer) const;
  std::string PathOf(const std::string& file) const;

  FileSystem* const files_;
  const std::string directory_;
  CheckpointManifest manifest_;
  std::vector<CheckpointPart> parts_;
  CheckpointIndex index_;
  std::vector<CheckpointDataFile> layout_;           // one a data file
  std::vector<std::unique_ptr<ReadableFile>> data_;  // the same
};

// What there is below a root.
struct FoundCheckpoints {
  struct PassedOver {
    std::string directory;  // its name, without the root
    absl::Status why;
  };
  std::vector<CheckpointName> whole;  // newest first
  std::vector<PassedOver>
      passed_over;  // whatever has a checkpoint's name but is none, newest first
};

// Opens every checkpoint below `root`, blocks unread. NOT_FOUND and the like: `root` cannot be
// listed.
absl::StatusOr<FoundCheckpoints> FindCheckpoints(FileSystem* files, const std::string& root);

// The newest checkpoint below `root` of which every block is as it was written; those passed over
// for it are added to `passed_over`. NOT_FOUND: there is none. Reads whole data files.
absl::StatusOr<std::unique_ptr<CheckpointReader>> OpenNewestCheckpoint(
    FileSystem* files, const std::string& root,
    std::vector<FoundCheckpoints::PassedOver>* passed_over);

}  // namespace weir

#endif  // WEIR_CORE_CHECKPOINT_READER_H_
