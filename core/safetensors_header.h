// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_CORE_SAFETENSORS_HEADER_H_
#define WEIR_CORE_SAFETENSORS_HEADER_H_

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

// The JSON header of a safetensors file. For who writes or reads such files piece by piece; whole
// ones are safetensors.h's.
namespace weir {

struct SafetensorsHeader {
  struct Tensor {
    std::string name;
    std::string dtype;
    std::vector<int64_t> shape;
    uint64_t begin = 0;     // bytes from the start of the data
    uint64_t end = 0;       // exclusive
    uint64_t elements = 0;  // product of the shape
  };
  std::vector<Tensor> tensors;  // in the order of their names
  std::map<std::string, std::string> metadata;
};

// Parses and checks a header: its grammar, every tensor by itself, and that the tensors together
// cover exactly [0, data_bytes), without overlap or hole. DATA_LOSS says what is wrong; an offset
// in the message counts from the header's first byte plus `header_offset`, its place in the file.
// Bytes are data: never crashes, memory at most a small multiple of `json`.
absl::StatusOr<SafetensorsHeader> ParseSafetensorsHeader(absl::string_view json,
                                                         uint64_t header_offset,
                                                         uint64_t data_bytes);

// Everything of a file that stands before the data: length, JSON and padding to 8 bytes. The same
// bytes for the same header. `elements` is not looked at.
//
// INVALID_ARGUMENT: a name or metadata that is not UTF-8, or more than kMaxSafetensorsHeaderBytes.
absl::StatusOr<std::string> EncodeSafetensorsHeader(const SafetensorsHeader& header);

}  // namespace weir

#endif  // WEIR_CORE_SAFETENSORS_HEADER_H_
