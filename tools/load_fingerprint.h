// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_TOOLS_LOAD_FINGERPRINT_H_
#define WEIR_TOOLS_LOAD_FINGERPRINT_H_

#include <string>

#include "nlohmann/json.hpp"

namespace weir {

// What a figure depends on beside the program's sources: processor, cores, last cache, memory,
// kernel, transparent huge pages, build, compiler, gRPC, Protobuf, allocator, vector instructions.
nlohmann::json MachineFingerprint();

// The same as one line, for people.
std::string FingerprintLine(const nlohmann::json& fingerprint);

}  // namespace weir

#endif  // WEIR_TOOLS_LOAD_FINGERPRINT_H_
