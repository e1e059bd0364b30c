// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_CORE_CHECKPOINT_RECORDS_H_
#define WEIR_CORE_CHECKPOINT_RECORDS_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "core/layout.h"
#include "core/optimizer.h"

// What stands in a checkpoint beside the tensors' bytes, and its way to and from the files. The
// format is docs/checkpoints.md. Pure; no files.
namespace weir {

inline constexpr uint64_t kCheckpointVersion = 1;
inline constexpr size_t kMaxCheckpointShards = 4096;
inline constexpr size_t kMaxCheckpointWorkers = 4096;  // that one shard knows
inline constexpr size_t kMaxWorkerStateBytes = size_t{64} << 10;
inline constexpr size_t kMaxCoordinatorBytes = size_t{4} << 20;
inline constexpr uint64_t kMaxCheckpointRecordBytes = uint64_t{64} << 20;  // a manifest, a part

// The arrays of a tensor that a checkpoint keeps, one data file each.
inline constexpr size_t kMaxCheckpointArrays = 3;  // weights, and two of the optimizer
inline constexpr const char* kCheckpointDataFiles[kMaxCheckpointArrays] = {
    "weights.safetensors", "state-0.safetensors", "state-1.safetensors"};
inline constexpr const char* kCheckpointManifestFile = "manifest.json";

// "shard-00003.json".
std::string CheckpointPartFile(uint32_t shard);

// Which checkpoint: its directory is "step-000000000200.e3", and "step-000000000200.e3.partial"
// while it is written.
struct CheckpointName {
  uint64_t cut = 0;    // the step in bsp, else the number of the cut
  uint64_t epoch = 0;  // in which the cut was made

  std::string Directory() const;
  std::string PartialDirectory() const;
  bool operator==(const CheckpointName& o) const { return cut == o.cut && epoch == o.epoch; }
};

// Whether what is called `a` is the older: what a later epoch holds is what counts, even if it went
// back to a smaller cut.
inline bool IsOlder(const CheckpointName& a, const CheckpointName& b) {
  return a.epoch != b.epoch ? a.epoch < b.epoch : a.cut < b.cut;
}

// The name of a directory; nothing when it is no checkpoint's. `*partial`: whether it is being
// written.
std::optional<CheckpointName> ParseCheckpointDirectory(absl::string_view directory, bool* partial);

// A slice as one shard wrote it.
struct CheckpointBlock {
  uint32_t tensor_id = 0;  // 1-based position among the manifest's tensors
  uint64_t offset = 0;     // elements
  uint64_t count = 0;      // elements, at least 1
  uint64_t version = 0;
  std::array<uint32_t, kMaxCheckpointArrays> crc = {};  // CRC-32C of its bytes in each data file
};

// What a shard knows of a worker.
struct CheckpointWorker {
  uint32_t rank = 0;
  uint64_t incarnation = 0;
  uint64_t next_batch = 0;
  uint64_t clock = 0;
  std::string state;  // opaque; at most kMaxWorkerStateBytes
};

// shard-NNNNN.json.
struct CheckpointPart {
  CheckpointName name;
  uint32_t shard = 0;
  uint32_t shards = 0;
  std::string mode;                  // "bsp" ...
  std::vector<uint32_t> header_crc;  // CRC-32C of each data file's header; one an array
  std::vector<CheckpointBlock> blocks;
  std::vector<CheckpointWorker> workers;

  size_t arrays() const { return header_crc.size(); }
};

// manifest.json. The part that the caller of CommitCheckpoint fills in comes first.
struct CheckpointManifest {
  CheckpointName name;
  std::string job;
  std::string mode;
  uint64_t step = 0;
  uint32_t gradient_shards = 0;
  uint64_t seed = 0;
  uint64_t slice_bytes = 0;
  OptimizerSpec optimizer;
  std::vector<TensorShape> tensors;  // as they were declared; initializers are not kept
  std::string build;                 // the id of the program's build
  uint64_t unix_ms = 0;              // when it was committed
  std::string coordinator;           // opaque; at most kMaxCoordinatorBytes

  struct DataFile {
    uint64_t bytes = 0;
    uint64_t header_bytes = 0;  // before the first tensor
    uint32_t header_crc = 0;
  };
  struct PartFile {
    uint64_t bytes = 0;
    uint32_t crc = 0;  // of the whole file
  };
  std::vector<DataFile> data;   // in the order of kCheckpointDataFiles
  std::vector<PartFile> parts;  // by shard

  // Weights, and what the optimizer keeps.
  size_t arrays() const { return 1 + static_cast<size_t>(StateTensors(optimizer.type)); }
};

// The text of the file. INVALID_ARGUMENT, a sentence: the record breaks a limit or a rule that
// Parse... would refuse; RESOURCE_EXHAUSTED: it would exceed kMaxCheckpointRecordBytes.
absl::StatusOr<std::string> FormatPart(const CheckpointPart& part);
absl::StatusOr<std::string> FormatManifest(const CheckpointManifest& manifest);

// Reads what Format... wrote. DATA_LOSS, with a byte offset or the member's path: damaged, cut off,
// or not such a file. FAILED_PRECONDITION: a whole one of a newer format. The caller adds the
// file's name. Bytes are data: never crashes, memory at most a small multiple of `text`.
absl::StatusOr<CheckpointPart> ParsePart(absl::string_view text);
absl::StatusOr<CheckpointManifest> ParseManifest(absl::string_view text);

}  // namespace weir

#endif  // WEIR_CORE_CHECKPOINT_RECORDS_H_
