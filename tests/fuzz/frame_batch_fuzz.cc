// SPDX-License-Identifier: Apache-2.0
#include <google/protobuf/stubs/logging.h>

#include <cstddef>
#include <cstdint>
#include <string>

#include "tests/fuzz/frame_checks.h"

// The input is what arrives as one message of the stream, from either side.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static google::protobuf::LogSilencer silent;
  const std::string wire(reinterpret_cast<const char*>(data), size);
  weir::fuzz::CheckClientFrames(wire);
  weir::fuzz::CheckServerFrames(wire);
  return 0;
}
