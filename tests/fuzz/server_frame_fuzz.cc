// SPDX-License-Identifier: Apache-2.0
#include <google/protobuf/stubs/logging.h>

#include <cstddef>
#include <cstdint>
#include <string>

#include "tests/fuzz/frame_checks.h"

// The input is what arrives as one frame from a server.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static google::protobuf::LogSilencer silent;
  weir::fuzz::CheckServerFrame(std::string(reinterpret_cast<const char*>(data), size));
  return 0;
}
