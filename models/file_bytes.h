// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_MODELS_FILE_BYTES_H_
#define WEIR_MODELS_FILE_BYTES_H_

#include <cstddef>
#include <string>

#include "weir/status.h"

namespace weir {

// The content of a file, unpacked where it is gzip (seen by its first bytes, not by its name).
//
// NOT_FOUND: no such file, or it cannot be opened. INVALID_ARGUMENT: not a regular file.
// RESOURCE_EXHAUSTED: more than `limit` bytes, after unpacking; no more than that is ever held.
// DATA_LOSS: gzip that is damaged or cut off, or an error while reading.
Result<std::string> ReadFileBytes(const std::string& path, size_t limit);

}  // namespace weir

#endif  // WEIR_MODELS_FILE_BYTES_H_
