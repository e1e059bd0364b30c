// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_CORE_SAFETENSORS_H_
#define WEIR_CORE_SAFETENSORS_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"

// Weights in files that every framework reads: the safetensors format,
// https://github.com/huggingface/safetensors ("Format").
//
//   8 bytes         n, the length of the header, little-endian
//   n bytes         JSON: {"NAME": {"dtype": "F32", "shape": [2, 3], "data_offsets": [begin, end]},
//   ...,
//                   "__metadata__": {"key": "value", ...}}, padded with spaces
//   the rest        the tensors' bytes, little-endian, row-major; offsets count from here
namespace weir {

// Limits of the format's reference implementation, and ours.
inline constexpr uint64_t kMaxSafetensorsHeaderBytes = 100'000'000;
inline constexpr size_t kMaxSafetensorsRank = 64;

// A float32 tensor to write. Borrowed.
struct WeightsView {
  std::string name;
  std::vector<int64_t> shape;
  absl::Span<const float> data;  // as many as the shape says
};

// Writes `tensors` as F32, in the order of their names whatever the order given, with the data
// 8-byte aligned. The file appears under `path` whole or not at all: it is written beside as
// `path`.partial, fsynced, renamed, and the directory fsynced.
//
// INVALID_ARGUMENT: two tensors of one name, a name that is empty, "__metadata__" or not UTF-8, a
// shape that does not fit its data. Anything else: what the file system said, with the file's name;
// a file of that name from before is unchanged.
absl::Status WriteSafetensors(const std::string& path, std::vector<WeightsView> tensors,
                              const std::map<std::string, std::string>& metadata);

// SHA-256, in hexadecimal, of the tensors' data in the order of their names: little-endian float32,
// nothing between. Equal weights give equal digests however they were split, stored or named by
// position.
std::string WeightsSha256(std::vector<WeightsView> tensors);

// A tensor in a file.
struct SafetensorsEntry {
  std::string name;
  std::string dtype;  // "F32", "BF16", ...
  std::vector<int64_t> shape;
  uint64_t elements = 0;
  absl::Span<const char> data;  // in the file's mapping, at any alignment
};

// A file of tensors, mapped read-only. Owns the mapping: the entries' data live as long as it does.
// Thread-safe after Open. A file that another process shortens while it is mapped ends this one
// with SIGBUS, as for every mapping: write beside and rename.
class SafetensorsFile {
 public:
  // Maps `path` and checks all of its header.
  //
  // NOT_FOUND, PERMISSION_DENIED and the like: what the file system said. DATA_LOSS: not a
  // safetensors file, or damaged; the message names the file, the byte offset in it where that
  // makes sense, and what is wrong: a header length beyond the limit or the file, a header that
  // does not start with '{', bad JSON, a key given twice, an unknown field or dtype, a shape whose
  // size overflows or does not fit data_offsets, tensors that overlap, bytes that belong to no
  // tensor, a file shorter or longer than the header says.
  static absl::StatusOr<std::unique_ptr<SafetensorsFile>> Open(const std::string& path);

  ~SafetensorsFile();
  SafetensorsFile(const SafetensorsFile&) = delete;
  SafetensorsFile& operator=(const SafetensorsFile&) = delete;

  // In the order of their names.
  const std::vector<SafetensorsEntry>& tensors() const { return tensors_; }

  // Null if there is none.
  const SafetensorsEntry* Find(absl::string_view name) const;

  const std::map<std::string, std::string>& metadata() const { return metadata_; }

 private:
  SafetensorsFile() = default;

  const char* bytes_ = nullptr;
  size_t size_ = 0;
  std::vector<SafetensorsEntry> tensors_;
  std::map<std::string, std::string> metadata_;
};

}  // namespace weir

#endif  // WEIR_CORE_SAFETENSORS_H_
